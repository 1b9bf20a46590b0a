"""The page of an evaluation of docking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from diffx.evaluation import typical, worst

from .. import pictures, viewer
from ..known import Known
from ..report import VIEW, judged_by
from .figures import ENERGY, Case, known_reliability, table
from .vina import NAME

_SHOWN = 5  # worst cases in the viewer, and a typical one


def write(run: Any, cases: Sequence[Case], known: dict[str, Known]) -> None:
    """All sections, of cases that were docked and of what is known of them by name."""
    report = run.report
    confident = cases[0].docking.poses[0].confidence is not None
    first = "by confidence" if confident else ENERGY
    curves = {f"first pose {first}": [c.rmsd[0] for c in cases]}
    if confident:
        curves[f"first pose {ENERGY}"] = [c.rmsd_by_energy[0] for c in cases]
    if all(c.vina is not None for c in cases):
        curves[NAME] = [c.vina.rmsd[0] for c in cases if c.vina]
    curves["best candidate"] = [c.rmsd.min() for c in cases]
    report.picture(
        "How far off the first pose is", pictures.distribution(curves),
        "Symmetry-corrected RMSD of heavy atoms to the crystal's pose, without superposition; conformers made afresh.",
    )  # fmt: skip
    if confident:
        report.picture(
            "Reliability of the confidence", pictures.reliability_picture(known_reliability(cases)),
            "First-ranked poses: what was said against how often it was so. Numbers: complexes.",
        )  # fmt: skip
    off = np.concatenate([c.rmsd for c in cases])
    score = np.concatenate([[_score(pose) for pose in c.docking.poses] for c in cases])
    top = np.concatenate([np.arange(len(c.rmsd)) == 0 for c in cases])
    label = "confidence" if confident else "energy (kcal/mol)"
    report.picture("Score against RMSD", pictures.score_against_rmsd(score, off, top, label), "Every candidate.")
    shown = worst(cases, lambda c: float(c.rmsd[0]), _SHOWN)
    middle = typical(cases, lambda c: float(c.rmsd[0]))
    shown += [] if middle in shown else [middle]
    page = viewer.page([c.docking for c in shown], [known[c.docking.name].truth for c in shown])
    caption = f"{VIEW} Grey: the pose in the crystal."
    report.embed("The worst cases, and a typical one", page, viewer.HEIGHT, caption)
    report.table("Complexes, the worst first", table(cases), judged_by(cases[0].docking))


def _score(pose: Any) -> float:
    return pose.energy if pose.confidence is None else pose.confidence
