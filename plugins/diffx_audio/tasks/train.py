"""`task=train`: learn from a folder of sounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from diffx import tasks as core

from ..pack import codec_of, load_sounds


def train(run: Any) -> None:
    """Train on the sounds of ``data.root``; the weights hold the classes and the usual lengths."""
    cfg = run.cfg
    sounds = load_sounds(cfg, run.log)
    cfg.classes = cfg.classes or sounds.fields()
    used = sounds.of(False)
    lengths = np.array([sounds.seconds(k) for k in used])
    run.report.table(
        "Sounds",
        [{"for": name, "sounds": len(which), "minutes": round(sum(map(sounds.seconds, which)) / 60, 1)}
         for name, which in (("training", used), ("validation", sounds.of(True)))],
    )  # fmt: skip
    core.train(run, meta={"codec": codec_of(cfg).to_json(), "seconds": [float(v) for v in np.quantile(lengths, (0, 0.5, 1))]})
