"""`task=train`: learn from a folder of sounds."""

from __future__ import annotations

from typing import Any

from diffx import tasks as core

from ..pack import load_sounds
from ..usual import usual


def train(run: Any) -> None:
    """Train on the sounds of ``data.root``; the weights hold the classes and what lengths are usual."""
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
    core.train(run, meta={"usual": usual(sounds)})
