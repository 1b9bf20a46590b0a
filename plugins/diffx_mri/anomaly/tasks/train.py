"""task=train: a model of healthy brains."""

from __future__ import annotations

from diffx import tasks as core
from diffx.run import Run

from ..training import training_data


def train(run: Run) -> None:
    """A diffusion that heals slices, or the regression or autoencoder that it is compared with (``method=``)."""
    sets, facts = training_data(run.cfg, run.log, run.fail)
    places = sets["train"].slices
    run.report.facts({"training scans": len(places.select("train")), "held out": len(places.select("val"))})
    core.train(run, meta=facts, data=sets)
