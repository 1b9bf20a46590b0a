"""The pictures of an evaluation, and what they show; goals and figures come from metrics.json by themselves."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ... import pictures
from ..denoising import TITLE, denoising
from ..face import BrainSynth
from ..segmentation.kept import STEP
from . import sheets
from .drawing import SWEEP, Drawn
from .figures import Brains
from .scans import Posed


def pages(
    run: Any,
    synth: BrainSynth,
    sets: dict[str, Brains],
    drawn: Drawn,
    held_out: Posed,
    train: Posed,
    known: Tensor,
) -> None:
    """Headline and pictures, the worst first. `known`: pixels of the training scans and of their mirror images."""
    affine = held_out.affine
    run.report.facts(
        {"synthetic brains": len(drawn.people), "held-out scans": len(held_out), "other scans": len(train)}
    )
    run.report.picture(
        "Worst cases",
        sheets.worst_and_typical(drawn.images, drawn.people, sets["synthetic"], affine),
        "The synthetic brains whose age is read most wrongly by an independent regression, and a typical one.",
    )
    run.report.picture(
        "One synthetic brain",
        pictures.three_planes(drawn.images[0] * STEP, affine, "synthetic: no such person exists"),
        "Slices through the centre of mass.",
    )
    run.report.picture(
        "Real and synthetic",
        sheets.side_by_side(held_out.images, held_out.scans, drawn.images, drawn.people, affine),
        "Held-out scans, and below them synthetic brains of the same age and sex.",
    )
    run.report.picture(
        "One seed at five ages",
        pictures.sweep([b * STEP for b in drawn.sweep], affine, [f"{age:.0f} y" for age in SWEEP]),
        "Only the age asked for differs: the ventricles should open and the folds widen.",
    )
    run.report.picture(
        "Age",
        sheets.scatter(sets["train"], sets["held out"], sets["synthetic"]),
        "Ventricle volumes as the segmenter measures them, and ages as read by a regression that was not trained on "
        "these brains. The line is where the age read is the age given.",
    )
    if drawn.way:
        run.report.picture(TITLE, *denoising(synth, drawn.way, drawn.images[0] * STEP))
    run.report.picture(
        "Nearest training scans",
        sheets.neighbours(drawn.images, drawn.people, train, sets["synthetic"].pixels, known),
        "The synthetic brains nearest to a training scan or its mirror image, by distance between images smoothed at "
        "8 mm. A copy would have the same folds.",
    )
    run.report.picture(
        "Spectrum",
        sheets.spectra(sets["held out"], sets["synthetic"]),
        "Power at each spatial frequency. Too little at the right means blur, too much means grain.",
    )
