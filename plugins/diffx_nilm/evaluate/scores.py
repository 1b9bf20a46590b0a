"""The figures of the protocol, gathered stretch by stretch.

Every figure is a quotient of sums over the periods in which truth and prediction are known. The sums are kept by day:
a year needs little memory, houses can be pooled, and days resampled. With y the metered power, p the predicted one
(median of the members, or the point prediction) and c the threshold above which the appliance is on:

==================  ==========================================================================================
mae                 mean |p - y|, W
sae                 |E' - E| / E of the total energies: E' is the mean of the members' (Zhang et al. 2018)
sae_of_median       the same with E' the energy of p
precision, recall   of said to be on (p > c unless given) for y > c; f1 = 2 tp / (2 tp + fp + fn)
teca                1 - sum |p - y| / (2 sum y), of this appliance (Kolter and Johnson 2011)
nde                 sum (p - y)^2 / sum y^2 (Kolter and Jaakkola 2012, without its root)
match_rate          sum min(p, y) / sum max(p, y) (Mayhorn et al. 2016)
crps                mean of the continuous ranked probability score, W; |p - y| for a point (:func:`diffx.metrics.crps`)
coverage50, 90      share of the active periods whose y lies in the central interval, borders included; active: y > c
                    or the interval's upper end > c, since what is off is covered by zero for free
energy_coverage90   share of the days whose energy lies in the central 90 % interval of the members' energies
n_samples, n_days   how many periods and days were counted
==================  ==========================================================================================

Figures whose denominator is zero, and intervals of point predictions, are NaN.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from diffx.metrics import bootstrap, central_interval, crps_each

from ..household import DAY

LEVELS = (0.5, 0.9)
_SUMS = (
    *("n", "off", "square", "y", "yy", "p", "mean", "min", "max", "tp", "fp", "fn", "crps"),
    *(f"{what}{level}" for level in LEVELS for what in ("active", "inside")),
)
Bounds = Mapping[float, tuple[np.ndarray, np.ndarray]]  # level -> lower and upper end [T]


class Score:
    """Figures of one appliance.

    Args:
        threshold: W above which it is on. period: seconds.
        least: share of a day's periods that has to be known for its energy to count.
    """

    def __init__(self, threshold: float, period: float = 30.0, least: float = 0.5):
        self.threshold, self.period, self.least = threshold, period, least
        self._sums: dict[Hashable, np.ndarray] = {}  # day -> one number for each of _SUMS
        self._energies: dict[Hashable, np.ndarray] = {}  # day -> energies of the members, Wh
        self._members: int | None = None

    @classmethod
    def pooled(cls, scores: Sequence[Score]) -> Score:
        """That of several houses together, of one threshold and period; its days are pairs (house, day)."""
        made = cls(scores[0].threshold, scores[0].period, scores[0].least)
        made._members = scores[0]._members
        for house, score in enumerate(scores):
            made._sums |= {(house, day): sums for day, sums in score._sums.items()}
            made._energies |= {(house, day): energies for day, energies in score._energies.items()}
        return made

    def add(
        self,
        truth: np.ndarray,
        predicted: np.ndarray,
        day: np.ndarray | int = 0,
        bounds: Bounds | None = None,
        said: np.ndarray | None = None,
    ) -> None:
        """Count a stretch.

        Args:
            truth: [T], W; NaN is not counted. predicted: a point prediction [T], or members [M, T]; where any is NaN
                the period is not counted. day: number of the day that each period lies in, int [T].
            bounds: ends of the intervals of the levels 0.5 and 0.9 where they are not those of the members (because
                they were calibrated).
            said: where it is said to be on, bool [T]; where p is above the threshold unless given.
        """
        members = np.asarray(predicted, np.float64)
        members = members[None] if members.ndim == 1 else members
        y = np.asarray(truth, np.float64)
        if members.ndim != 2 or members.shape[1:] != y.shape:
            raise ValueError(f"members [M, T] or [T] go with a truth [T], not {members.shape} with {y.shape}")
        if self._members not in (None, len(members)):
            raise ValueError(f"{self._members} members before and {len(members)} now")
        self._members = len(members)
        good = np.isfinite(y) & np.isfinite(members).all(0)
        if not good.any():
            return
        ends = None
        if bounds is not None:
            ends = {level: tuple(np.asarray(end, np.float64)[good] for end in bounds[level]) for level in LEVELS}
        elif len(members) > 1:
            ends = {level: tuple(e.numpy() for e in central_interval(members[:, good], level)[:2]) for level in LEVELS}
        days, which = np.unique(np.broadcast_to(np.asarray(day), good.shape)[good], return_inverse=True)
        y, members = y[good], members[:, good]
        columns = self._powers(y, members, None if said is None else said[good]) | (
            self._intervals(y, ends) if ends else {}
        )
        sums = np.stack(
            [
                np.bincount(which, columns[name], len(days)) if name in columns else np.zeros(len(days))
                for name in _SUMS
            ],
            axis=1,
        )
        hours = self.period / 3600
        energies = np.stack([np.bincount(which, member, len(days)) for member in members], axis=1) * hours
        for number, own, of_members in zip(days.tolist(), sums, energies, strict=True):
            self._sums[number] = self._sums.get(number, 0) + own
            self._energies[number] = self._energies.get(number, 0) + of_members

    def _powers(self, y: np.ndarray, members: np.ndarray, said: np.ndarray | None) -> dict[str, np.ndarray]:
        """What adds up, in each period [T]."""
        p, on = np.median(members, axis=0), y > self.threshold
        said = p > self.threshold if said is None else said
        return {
            "n": np.ones(len(y)),
            "off": np.abs(p - y),
            "square": np.square(p - y),
            "y": y,
            "yy": np.square(y),
            "p": p,
            "mean": members.mean(0),
            "min": np.minimum(p, y),
            "max": np.maximum(p, y),
            "tp": on & said,
            "fp": ~on & said,
            "fn": on & ~said,
            "crps": np.asarray(crps_each(members, y, fair=len(members) > 1)),
        }

    def _intervals(self, y: np.ndarray, ends: Mapping[float, tuple[np.ndarray, ...]]) -> dict[str, np.ndarray]:
        found = {}
        for level, (low, high) in ends.items():
            active = (y > self.threshold) | (high > self.threshold)
            found[f"active{level}"] = active
            found[f"inside{level}"] = active & (low <= y) & (y <= high)
        return found

    def days(self) -> dict[Any, tuple[float, np.ndarray]]:
        """Day -> (energy, members' energies [M]), Wh, of the days known well enough."""
        least, hours = self.least * DAY / self.period, self.period / 3600
        return {
            day: (float(sums[_SUMS.index("y")]) * hours, self._energies[day])
            for day, sums in sorted(self._sums.items())
            if sums[_SUMS.index("n")] >= least
        }

    def misplaced(self) -> dict[Any, float]:
        """Day -> sum |p - y|, Wh."""
        return {day: float(sums[_SUMS.index("off")]) * self.period / 3600 for day, sums in sorted(self._sums.items())}

    def spans(self, names: Sequence[str] = ("mae", "f1"), resamples: int = 1000) -> dict[str, tuple[float, float]]:
        """95 % intervals of figures by resampling days (:func:`diffx.metrics.bootstrap`); none of a single day.

        Days of one home are alike in what its appliances are, so this says how sure the figure is for these homes.
        """
        if len(self._sums) < 2:
            return {}
        rows = np.stack([sums for _, sums in sorted(self._sums.items())])
        found = {}
        for name in names:
            interval = bootstrap(
                lambda days, name=name: _figures(days.sum(0).tolist())[name], rows, resamples=resamples
            )
            found[name] = (interval.low, interval.high)
        return found

    def result(self, energy_bounds: Mapping[Any, tuple[float, float]] | None = None) -> dict[str, float]:
        """The figures by name. ``energy_bounds``: day -> ends of its 90 % interval, where they were calibrated."""
        covered = self._days_covered(energy_bounds)
        total = sum(self._sums.values(), np.zeros(len(_SUMS)))
        return {
            **_figures(total.tolist()),
            "energy_coverage90": float(np.mean(covered)) if covered else math.nan,
            "n_samples": int(total[_SUMS.index("n")]),
            "n_days": len(self.days()),
        }

    def _days_covered(self, bounds: Mapping[Any, tuple[float, float]] | None) -> list[bool]:
        if bounds is None and (self._members or 0) < 2:
            return []
        covered = []
        for day, (energy, of_members) in self.days().items():
            if bounds is not None:
                low, high = bounds[day]
            else:
                low, high = (float(end) for end in central_interval(of_members, LEVELS[1])[:2])
            covered.append(low <= energy <= high)
        return covered


def score(
    truth: np.ndarray,
    predicted: np.ndarray,
    threshold: float,
    period: float = 30.0,
    day: np.ndarray | int = 0,
) -> dict[str, float]:
    """Figures of one stretch; see :class:`Score`."""
    gathered = Score(threshold, period)
    gathered.add(truth, predicted, day)
    return gathered.result()


def _figures(sums: Sequence[float]) -> dict[str, float]:
    """From sums over any days, in the order of ``_SUMS``."""
    s = dict(zip(_SUMS, sums, strict=True))
    return {
        "mae": _ratio(s["off"], s["n"]),
        "sae": _ratio(abs(s["mean"] - s["y"]), s["y"]),
        "sae_of_median": _ratio(abs(s["p"] - s["y"]), s["y"]),
        "f1": _ratio(2 * s["tp"], 2 * s["tp"] + s["fp"] + s["fn"]),
        "precision": _ratio(s["tp"], s["tp"] + s["fp"]),
        "recall": _ratio(s["tp"], s["tp"] + s["fn"]),
        "teca": 1 - _ratio(s["off"], 2 * s["y"]),
        "nde": _ratio(s["square"], s["yy"]),
        "match_rate": _ratio(s["min"], s["max"]),
        "crps": _ratio(s["crps"], s["n"]),
        "coverage50": _ratio(s["inside0.5"], s["active0.5"]),
        "coverage90": _ratio(s["inside0.9"], s["active0.9"]),
    }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
