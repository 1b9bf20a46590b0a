"""`task=train`: learn from metered houses."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from diffx import tasks as core
from diffx.pipeline import Pipeline

from ..data import packed
from ..face import PLUGIN
from ..widen import known, start_file


def train(run: Any) -> None:
    """Train on the houses of ``data.root``; the weights say what each appliance is."""
    cfg = run.cfg
    source = Pipeline.load(cfg.from_, "cpu", plugin=PLUGIN, extensions=cfg.extensions) if cfg.from_ else None
    if source and not cfg.appliances:
        cfg.appliances = [a.key for a in known(source)]
    houses, appliances = packed(cfg, run.log)
    cfg.appliances = cfg.appliances or [a.key for a in appliances]
    run.report.table(
        "Houses",
        [
            {
                "house": house.name,
                "days known": round(house.known_days(cfg.data.period), 1),
                **{
                    f"{a.key} activations": len(own) if metered else None
                    for a, own, metered in zip(appliances, house.activations, house.metered, strict=True)
                },
            }
            for house in houses
        ],
        "Runs of each appliance that its own meter saw whole; none where it was not metered.",
    )
    if source and (start := start_file(source, cfg, appliances, run.checkpoints / "start.safetensors")):
        run.log(f"{cfg.from_} is widened to {', '.join(a.key for a in appliances)}: {start}")
        cfg.from_ = str(start)
    core.train(run, meta={"appliances": [asdict(a) for a in appliances]})
