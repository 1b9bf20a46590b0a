"""Figures of docked complexes beside those of ranking by energy and of Vina."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diffx.evaluation import Baseline, Figure, Goal, estimate
from diffx.metrics import Reliability, reliability

from ..result import Docking
from .vina import NAME, VinaPoses

RIGHT = 2.0  # Å
FIVE = 5
ENERGY = "by energy"
STRATA = ((0.0, 30.0), (30.0, 90.0), (90.0, 100.1))  # sequence identity to the training set, %


@dataclass(frozen=True)
class Case:
    """A known complex that was docked: all candidates as ``docking.poses`` with their RMSD, the first one's validity
    checked; Vina's poses where it ran; identity of the sequence to the training set in %."""

    docking: Docking
    identity: float | None = None
    vina: VinaPoses | None = None

    @property
    def rmsd(self) -> np.ndarray:
        """Of the poses as they are ranked, [K] in Å."""
        return np.array([pose.rmsd for pose in self.docking.poses])

    @property
    def rmsd_by_energy(self) -> np.ndarray:
        """The same poses, the lowest energy first."""
        return np.array([pose.rmsd for pose in sorted(self.docking.poses, key=lambda pose: pose.total)])

    @property
    def valid(self) -> bool | None:
        """Whether the first-ranked pose passes all checks."""
        return self.docking.poses[0].valid


def figures(cases: Sequence[Case]) -> dict[str, Any]:
    """All figures of a set of complexes, by stable name. Vina stands beside them where it ran on every complex."""
    beside = all(case.vina is not None for case in cases)
    out: dict[str, Any] = {
        "top1_2A": success(cases, 1),
        "top5_2A": success(cases, FIVE),
        "oracle_2A": _share(cases, lambda c: c.rmsd.min() < RIGHT, title="any candidate < 2 Å"),
    }
    if all(case.valid is not None for case in cases):
        baselines, goal = [], None
        if beside and all(case.vina.valid is not None for case in cases if case.vina):
            theirs = _mean(cases, lambda c: bool(c.vina and c.vina.valid and c.vina.rmsd[0] < RIGHT))
            baselines, goal = [Baseline(NAME, theirs)], Goal(low=theirs, wanted=f"above {NAME}'s {theirs:.3g}")
        title = "first pose < 2 Å and valid"
        out["top1_2A_and_valid"] = _share(
            cases, lambda c: c.rmsd[0] < RIGHT and bool(c.valid), baselines, title=title, goal=goal
        )
        out["valid"] = _share(cases, lambda c: bool(c.valid), title="first pose valid", goal=Goal(low=0.95))
    first, by_energy = (np.array([of[0] for of in all_]) for all_ in _columns(cases))
    out["median_rmsd"] = estimate(
        lambda x: float(np.median(x)), first, unit="Å", better="lower", title="median RMSD of the first pose",
        baselines=[Baseline(ENERGY, float(np.median(by_energy))), *_vina_median(cases, beside)],
    )  # fmt: skip
    out["seconds_per_complex"] = float(np.mean([c.docking.seconds for c in cases]))
    out["cpu_seconds_per_complex"] = _cpu(cases, beside)
    if cases[0].docking.poses[0].confidence is not None:
        out["calibration_error"] = Figure(known_reliability(cases).error, n=len(cases), better="lower")
    out["n"] = len(cases)
    return out


def success(cases: Sequence[Case], first: int) -> Figure:
    """The share of complexes with a pose within 2 Å among the first so many."""
    baselines = [Baseline(ENERGY, _mean(cases, lambda c: c.rmsd_by_energy[:first].min() < RIGHT))]
    if all(case.vina is not None for case in cases):
        baselines.append(Baseline(NAME, _mean(cases, lambda c: c.vina is not None and c.vina.best(first) < RIGHT)))
    title = "first pose < 2 Å" if first == 1 else f"best of {first} < 2 Å"
    return _share(cases, lambda c: c.rmsd[:first].min() < RIGHT, baselines, title=title)


def strata(cases: Sequence[Case]) -> dict[str, Figure]:
    """The share of first poses that are right, by sequence identity to the training set in %."""
    parts = {
        f"{low:.0f}_to_{min(high, 100):.0f}": [c for c in cases if c.identity is not None and low <= c.identity < high]
        for low, high in STRATA
    }
    return {name: success(own, 1) for name, own in parts.items() if own}


def known_reliability(cases: Sequence[Case]) -> Reliability:
    """Confidence of the first-ranked poses against whether they are right."""
    said = np.array([case.docking.poses[0].confidence for case in cases])
    return reliability(said, np.array([float(case.rmsd[0] < RIGHT) for case in cases]), bins=5)


def table(cases: Sequence[Case]) -> list[Mapping[str, Any]]:
    """One row a complex, the worst first."""
    return [_row(case) for case in sorted(cases, key=lambda c: -c.rmsd[0])]


def _row(case: Case) -> Mapping[str, Any]:
    first, off = case.docking.poses[0], case.rmsd
    row: dict[str, Any] = {"complex": case.docking.name, "RMSD (Å)": _rounded(off[0])}
    row |= {"best of five": _rounded(off[:FIVE].min()), "best candidate": _rounded(off.min())}
    row[ENERGY] = _rounded(case.rmsd_by_energy[0])
    if case.vina is not None:
        row[NAME] = _rounded(case.vina.rmsd[0])
    if first.confidence is not None:
        row["confidence"] = _rounded(first.confidence)
    if first.valid is not None:
        row["valid"] = "yes" if first.valid else " ".join(n for n, passed in first.checks.items() if not passed)
    row |= {"atoms": len(case.docking.ligand), "torsions": len(case.docking.ligand.torsions)}
    return row | ({"identity (%)": round(case.identity)} if case.identity is not None else {})


def _share(
    cases: Sequence[Case], measure: Callable[[Case], bool], baselines: Sequence[Baseline] = (), **facts: Any
) -> Figure:
    right = np.array([float(measure(case)) for case in cases])
    return estimate(lambda x: float(x.mean()), right, better="higher", baselines=baselines, **facts)


def _mean(cases: Sequence[Case], measure: Callable[[Case], bool]) -> float:
    return float(np.mean([float(measure(case)) for case in cases]))


def _columns(cases: Sequence[Case]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    return [c.rmsd for c in cases], [c.rmsd_by_energy for c in cases]


def _vina_median(cases: Sequence[Case], beside: bool) -> list[Baseline]:
    return [Baseline(NAME, float(np.median([c.vina.rmsd[0] for c in cases if c.vina])))] if beside else []


def _cpu(cases: Sequence[Case], beside: bool) -> Figure:
    theirs = [c.vina.cpu_seconds for c in cases if c.vina] if beside else []
    baselines = [Baseline(NAME, float(np.mean(theirs)))] if theirs else []
    goal = Goal(high=baselines[0].value, wanted=f"at most {NAME}'s") if baselines else None
    own = float(np.mean([c.docking.cpu_seconds for c in cases]))
    title = "CPU seconds a complex"
    return Figure(own, n=len(cases), unit="s", better="lower", baselines=baselines, goal=goal, title=title)


def _rounded(value: float) -> float:
    return round(float(value), 2)
