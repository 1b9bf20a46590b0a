"""The figures of the protocol, gathered stretch by stretch.

Every figure is a quotient of sums over the periods in which truth and prediction are known, so that a year needs no
more memory than a day. With y the metered power, p the predicted one (median of the members, or the point prediction),
c the threshold above which the appliance is on:

==================  ==========================================================================================
mae                 mean |p - y|, W
sae                 |E' - E| / E of the total energies: E' is the mean of the members' (Zhang et al. 2018)
sae_of_median       the same with E' the energy of p
precision, recall   of p > c for y > c; f1 = 2 tp / (2 tp + fp + fn)
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
from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from diffx.metrics import central_interval, crps_each

from .household import DAY

LEVELS = (0.5, 0.9)
Bounds = Mapping[float, tuple[np.ndarray, np.ndarray]]  # level -> lower and upper end [T]


class Score:
    """Figures of one appliance.

    Args:
        threshold: W above which it is on. period: seconds.
        least: share of a day's periods that has to be known for its energy to count.
    """

    def __init__(self, threshold: float, period: float = 30.0, least: float = 0.5):
        self.threshold, self.period, self.least = threshold, period, least
        self._sums: dict[str, float] = defaultdict(float)
        self._days: dict[int, tuple[int, float, np.ndarray]] = {}
        self._members: int | None = None

    def add(
        self,
        truth: np.ndarray,
        predicted: np.ndarray,
        day: np.ndarray | int = 0,
        bounds: Bounds | None = None,
    ) -> None:
        """Count a stretch.

        Args:
            truth: [T], W; NaN is not counted. predicted: a point prediction [T], or members [M, T]; where any is NaN
                the period is not counted. day: number of the day that each period lies in, int [T].
            bounds: ends of the intervals of the levels 0.5 and 0.9 where they are not those of the members (because
                they were calibrated).
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
        y, members = y[good], members[:, good]
        days = np.broadcast_to(np.asarray(day), good.shape)[good]
        if not len(y):
            return
        self._powers(y, members)
        if len(members) > 1 or bounds is not None:
            self._intervals(y, members, good, bounds)
        self._energies(y, members, days)

    def _powers(self, y: np.ndarray, members: np.ndarray) -> None:
        p, on = np.median(members, axis=0), y > self.threshold
        said = p > self.threshold
        more = {
            "n": len(y),
            "off": np.abs(p - y).sum(),
            "square": np.square(p - y).sum(),
            "y": y.sum(),
            "yy": np.square(y).sum(),
            "p": p.sum(),
            "mean": members.mean(0).sum(),
            "min": np.minimum(p, y).sum(),
            "max": np.maximum(p, y).sum(),
            "tp": (on & said).sum(),
            "fp": (~on & said).sum(),
            "fn": (on & ~said).sum(),
            "crps": float(crps_each(members, y, fair=len(members) > 1).sum()),
        }
        for name, value in more.items():
            self._sums[name] += float(value)

    def _intervals(self, y: np.ndarray, members: np.ndarray, good: np.ndarray, bounds: Bounds | None) -> None:
        for level in LEVELS:
            if bounds is None:
                low, high = (end.numpy() for end in central_interval(members, level)[:2])
            else:
                low, high = (np.asarray(end, np.float64)[good] for end in bounds[level])
            active = (y > self.threshold) | (high > self.threshold)
            self._sums[f"active{level}"] += float(active.sum())
            self._sums[f"inside{level}"] += float((active & (low <= y) & (y <= high)).sum())

    def _energies(self, y: np.ndarray, members: np.ndarray, days: np.ndarray) -> None:
        """Watt-hours of each day, of truth and members."""
        hours = self.period / 3600
        for day in np.unique(days):
            at = days == day
            count, energy, of_members = self._days.get(int(day), (0, 0.0, np.zeros(len(members))))
            more = members[:, at].sum(1) * hours
            self._days[int(day)] = (count + int(at.sum()), energy + y[at].sum() * hours, of_members + more)

    def days(self) -> dict[int, tuple[float, np.ndarray]]:
        """Day -> (energy, members' energies [M]), Wh, of the days known well enough."""
        least = self.least * DAY / self.period
        return {day: (energy, of) for day, (count, energy, of) in sorted(self._days.items()) if count >= least}

    def result(self, energy_bounds: Mapping[int, tuple[float, float]] | None = None) -> dict[str, float]:
        """The figures by name. ``energy_bounds``: day -> ends of its 90 % interval, where they were calibrated."""
        s = self._sums
        covered = self._days_covered(energy_bounds)
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
            "energy_coverage90": float(np.mean(covered)) if covered else math.nan,
            "n_samples": int(s["n"]),
            "n_days": len(self.days()),
        }

    def _days_covered(self, bounds: Mapping[int, tuple[float, float]] | None) -> list[bool]:
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


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
