"""task=train_measures: the segmenter, the encoder and the age regression that evaluate measures with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from diffx.errors import DataError
from diffx.evaluation import Baseline, Figure
from diffx.noise import derive
from diffx.plugins.weights import resolve_weights

from ...codec import BrainCodec
from ..config import WEIGHTS
from ..evaluate import encoder
from ..evaluate.ages import anatomy, fit_ages
from ..evaluate.encoder import Lessons, Tutor
from ..evaluate.fitting import fit
from ..evaluate.measures import Measures
from ..evaluate.scans import Posed
from ..evaluate.sets import check_folder, parts, read_scans
from ..segmentation import segment
from ..segmentation.tissues import CLASSES

RATE = 2e-3


def train_measures(run: Any) -> None:
    """Train on the scans of ``data.root`` that are not held out, and say on those that are how good it is.

    The folder needs region maps (derivatives/*/ with muse_mapping_derived.csv) and ages. Killed, it goes on with
    ``resume=true`` to the same weights. Raises DataError where maps or ages are missing.
    """
    cfg = run.cfg
    check_folder(cfg)
    posed = read_scans(run, BrainCodec.of_weights(resolve_weights(cfg.from_ or WEIGHTS, "mri_synth")))
    train, held_out, _ = parts(posed.scans, cfg.seed)
    training, testing = posed[train], posed[held_out]
    labelled = [i for i in range(len(training)) if training.labelled[i]]
    ages = torch.tensor([np.nan if s.age is None else s.age for s in training.scans], dtype=torch.float32)
    men = torch.tensor([np.nan if s.sex is None else float(s.sex == "M") for s in training.scans])
    if len(labelled) < 4 or int(ages.isfinite().sum()) < 8:
        raise DataError(
            f"{cfg.data.root}: {len(labelled)} training scans have region maps and {int(ages.isfinite().sum())} an age;"
            " the segmenter takes at least 4, the age regression 8"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(cfg.seed, "measures"))
        net, tutor = segment.segmenter(), Tutor(training.images.shape[1:])
    images, tissues = training.images[labelled], training.tissues[labelled]
    tutor.encoder.settle(training.images)
    lessons = Lessons.of(tutor.encoder, training.images, cfg.seed)
    folder = run.checkpoints
    fit(
        net,
        lambda step: segment.loss(net, images, tissues, cfg.seed, step),
        cfg.evaluate.segmenter_steps,
        RATE,
        folder / "segmenter.safetensors",
        run,
    )
    fit(
        tutor,
        lambda step: tutor.loss(lessons, ages, men, cfg.seed, step),
        cfg.evaluate.encoder_steps,
        RATE,
        folder / "encoder.safetensors",
        run,
    )
    finish(run, net, tutor, lessons, training, testing, ages)


def finish(
    run: Any, net: Any, tutor: Tutor, lessons: Lessons, training: Posed, testing: Posed, ages: torch.Tensor
) -> None:
    """The age regression on what the segmenter sees, the unit of the features, the file, and the figures."""
    seen = np.stack([segment.segment(net, image) for image in training.images])
    known = ages.isfinite()
    regression = fit_ages(anatomy(seen[known.numpy()]), ages[known])
    mean, axes = lessons.unit(tutor.encoder)
    facts = {
        "scans": len(training),
        "grid": list(training.images.shape[1:]),
        "features": encoder.FEATURES,
        "age_mae_left_out": float(regression.errors.abs().mean()),
        "classes": list(CLASSES),
    }
    measures = Measures(net, tutor.encoder, regression, mean, axes, facts)
    path = run.checkpoints / "measures.safetensors"
    measures.save(path, kind="weights", step=run.cfg.evaluate.segmenter_steps + run.cfg.evaluate.encoder_steps)
    measures = Measures.load(path)  # as it will be used: in half precision
    run.metric(
        "age_mae_left_out",
        Figure(float(regression.errors.abs().mean()), n=int(known.sum()), unit="years", better="lower"),
    )
    run.metric("encoder_sha256", measures.encoder_sha256)
    report(run, measures, training, testing, float(ages[known].mean()))
    run.log(f"measures: {path}")


def report(run: Any, measures: Measures, training: Posed, testing: Posed, middle: float) -> None:
    """Dice and volumes of the segmenter, and the error of the age regression, on the held-out scans."""
    found = measures.read(testing.images, testing.affine)
    ages = torch.tensor([np.nan if s.age is None else s.age for s in testing.scans], dtype=torch.float64)
    known = ages.isfinite()
    if known.any():
        error, trivial = ((x - ages)[known].abs().mean() for x in (found.years, torch.full_like(ages, middle)))
        mean = [Baseline("mean age", float(trivial))]
        run.metric(
            "age_mae_held_out",
            Figure(float(error), baselines=mean, n=int(known.sum()), unit="years", better="lower"),
        )
    labelled = np.flatnonzero(testing.labelled)
    if not len(labelled):
        run.flag("no held-out scan has a region map: the segmenter's Dice is not known")
        return
    typical = training.tissues[training.labelled]
    common = np.stack([(typical == k).mean(0) for k in range(len(CLASSES))]).argmax(0)  # the vote of the training maps
    scores = np.array([segment.dice(found.tissues[i], testing.tissues[i]) for i in labelled])
    common_scores = np.array([segment.dice(common, testing.tissues[i]) for i in labelled])
    truth = np.array([segment.litres(testing.tissues[i], testing.affine) for i in labelled])
    rows = []
    for k, name in enumerate(CLASSES[1:]):
        key = name.replace(" ", "_")
        volume = found.litres[labelled, k].numpy()
        r = float(np.corrcoef(volume, truth[:, k])[0, 1]) if len(labelled) > 2 else None
        run.metric(f"dice_{key}", Figure(
            float(scores[:, k].mean()), baselines=[Baseline("mean map", float(common_scores[:, k].mean()))],
            n=len(labelled), better="higher",
        ))  # fmt: skip
        run.metric(f"volume_r_{key}", Figure(r, n=len(labelled), better="higher"))
        rows.append(
            {
                "tissue": name,
                "Dice": float(scores[:, k].mean()),
                "worst Dice": float(scores[:, k].min()),
                "Dice of the mean map": float(common_scores[:, k].mean()),
                "volume (l)": float(volume.mean()),
                "volume by the maps (l)": float(truth[:, k].mean()),
                "correlation of volumes": r,
                "error of volumes, mean |%|": float(100 * np.abs(volume / truth[:, k] - 1).mean()),
            }
        )
    run.report.table("Segmenter on held-out scans", rows, f"n = {len(labelled)}, against the automatic region maps.")
