"""task=train: the regression first, then the diffusion of what it leaves."""

from __future__ import annotations

from dataclasses import replace

from diffx import tasks as core
from diffx.run import Run

from ..training import training_data


def train(run: Run) -> None:
    """A regression (``regression=true``), or a diffusion of what the regression ``from=`` leaves unexplained."""
    asked = run.cfg
    data = training_data(asked, run.log, run.fail, lambda items, label: run.progress(items, label, unit="scan"))
    slices = data.sets["train"].slices
    run.report.facts({"training scans": len(slices.select("train")), "held out": len(slices.select("val"))})
    try:
        if not data.start:  # the regression is no start for a network of another kind
            run.cfg = replace(asked, from_=None)
        core.train(run, data.tensors, data.facts, data.sets)
    finally:
        run.cfg = asked
