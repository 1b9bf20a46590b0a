"""The report of an evaluation: the goals, the pictures, what they show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ... import pictures
from ..face import BrainSynth
from . import sheets
from .figures import Brains
from .scans import STEP, Posed

if TYPE_CHECKING:
    from .task import Drawn


def pages(
    run: Any,
    synth: BrainSynth,
    sets: dict[str, Brains],
    drawn: Drawn,
    held_out: Posed,
    train: Posed,
    known: Tensor,
) -> None:
    """Headline, goals and pictures. `known`: pixels of the training scans and of their mirror images."""
    from .task import SWEEP

    affine = held_out.affine
    run.report.facts({"synthetic": len(drawn.people), "held out": len(held_out), "others": len(train)})
    run.report.table(
        "Goals", goals(run.metrics), "Real against real is the floor. A goal missed is a goal missed: see the figures."
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
        "Volumes by the segmenter, the age by a regression that never saw these brains. The line is a perfect reading.",
    )
    if drawn.way:
        steps = [drawn.way[i] for i in sorted({round(x) for x in np.linspace(0, len(drawn.way) - 1, 6)})]
        stages = [synth.codec.decode(z.to(synth.codec.mean.device))[0].float().cpu().numpy() for _, z in steps]
        run.report.picture(
            "From noise to brain",
            pictures.strip(stages, affine, [f"step {i + 1}" for i, _ in steps]),
            "What the network predicts the first brain to be.",
        )
    run.report.picture(
        "Nearest training scans",
        sheets.neighbours(drawn.images, drawn.people, train, sets["synthetic"].pixels, known),
        "The synthetic brains nearest to a training scan or its mirror image, in the image smoothed at 8 mm. Copies "
        "would have the same folds.",
    )
    run.report.picture(
        "Spectrum",
        sheets.spectra(sets["held out"], sets["synthetic"]),
        "Too little power at the right is blur, too much is grain.",
    )


def goals(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """The goals of the domain that these figures speak to: what, goal, value, met."""

    def of(name: str) -> float | None:
        figure = metrics.get(name)
        value = figure.get("value") if isinstance(figure, dict) else figure
        return None if value is None else float(value)

    rows: list[dict[str, Any]] = []

    def goal(what: str, text: str, value: float | None, met: bool) -> None:
        rows.append({"goal": what, "wanted": text, "value": value, "met": "yes" if met else "no"})

    frechet, floor = of("frechet"), of("frechet_floor")
    if frechet is not None and floor:
        goal("Fréchet distance over its floor", "at most 1.5", frechet / floor, frechet <= 1.5 * floor)
    synthetic, real = of("age_mae_synth"), of("age_mae_real")
    if synthetic is not None and real:
        goal(
            "error of the age read back, over that of real scans",
            "at most 1.25",
            synthetic / real,
            synthetic <= 1.25 * real,
        )
    r, truth = of("ventricle_age_r_synth"), metrics.get("ventricle_age_r_real")
    if r is not None and truth:
        low, high = truth["interval"]
        goal("correlation of ventricles with age", f"{low:.2f} to {high:.2f}", r, low <= r <= high)
    copies = [of(name) for name in ("memorisation_copies", "memorisation_pixel_copies") if name in metrics]
    if copies:
        goal("memorised brains", "none", max(c or 0.0 for c in copies), not any(copies))
    seconds = of("seconds_per_volume")
    if seconds is not None:
        goal("seconds a volume", "under 20 on 2 cores", seconds, seconds < 20)
    return rows
