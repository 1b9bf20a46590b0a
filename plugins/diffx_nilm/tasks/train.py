"""`task=train`: learn from metered houses."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from diffx import tasks as core

from ..data import packed


def train(run: Any) -> None:
    """Train on the houses of ``data.root``; the weights say what each appliance is."""
    cfg = run.cfg
    houses, appliances = packed(cfg, run.log)
    run.report.table(
        "Houses",
        [
            {
                "house": house.name,
                "days known": round((len(house) - int(house.unknown[-1])) * cfg.data.period / 86_400, 1),
                **{f"{a.key} activations": len(own) for a, own in zip(appliances, house.activations, strict=True)},
            }
            for house in houses
        ],
        "Runs of each appliance that its own meter saw whole.",
    )
    core.train(run, meta={"appliances": [asdict(a) for a in appliances]})
