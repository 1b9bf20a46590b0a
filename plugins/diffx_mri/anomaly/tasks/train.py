"""task=train: a model of healthy brains, and what its draws are worth."""

from __future__ import annotations

import torch

from diffx import tasks as core
from diffx.run import Run

from ..inputs import check_inputs
from ..model import HealthyModel
from ..training import training_data
from ..weighing import weigh


def train(run: Run) -> None:
    """A diffusion that heals slices, or the regression or autoencoder that it is compared with (``method=``).

    What its draws are worth in a score is then weighed on held-out slices, and kept with the weights.
    """
    check_inputs(run.cfg)
    sets, facts = training_data(run.cfg, run.log, run.fail)
    places = sets["train"].slices
    run.report.facts({"training scans": len(places.select("train")), "held out": len(places.select("val"))})
    core.train(run, meta=facts, data=sets)
    if run.cfg.method == "autoencoder" or not len(sets["val"]):
        return
    model = HealthyModel.load(run.folder, run.cfg.device, extensions=run.cfg.extensions)
    found = weigh(model, sets["val"], say=run.log)
    path, extra = model.pipeline.path, model.pipeline.extra
    assert path is not None
    model.pipeline.save(path, extra={**extra, "evidence": torch.from_numpy(found.weights)})
