"""`task=train`: learn from a folder of sounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from diffx import tasks as core
from diffx.errors import ExtraError

from ..pack import load_sounds
from ..reader import train_reader
from ..usual import usual


def train(run: Any) -> None:
    """Train on the sounds of ``data.root``; the weights hold the classes, a reader of prompts, and what is usual."""
    cfg = run.cfg
    sounds = load_sounds(cfg, run.log)
    cfg.classes = cfg.classes or sounds.fields()
    run.report.table(
        "Sounds",
        [
            {"for": name, "sounds": len(which), "minutes": round(float(sounds.seconds[which].sum()) / 60, 1)}
            for name, which in (("training", sounds.of(False)), ("validation", sounds.of(True)))
        ],
    )
    core.train(run, extra=_reader(run, cfg.classes), meta={"usual": usual(sounds)})


def _reader(run: Any, entries: Sequence[str]) -> dict[str, Tensor]:
    """Weights of a reader of prompts for these classes; none, and said so, where the sentence encoder is missing."""
    if not entries:
        return {}
    named = (entry.partition(":") for entry in entries)
    try:
        reader = train_reader({name: labels.split("|") for name, _, labels in named}, seed=run.cfg.seed)
    except ExtraError as error:
        run.flag(f"the weights will understand no prompts: {error}")
        return {}
    return {f"reader.{name}": value.detach() for name, value in reader.state_dict().items()}
