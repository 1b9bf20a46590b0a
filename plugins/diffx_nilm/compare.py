"""Methods side by side in metered houses, and how honest the samples are about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from diffx.metrics import central_interval

from .appliances import Appliance
from .calibration import Energy
from .digest import by_day
from .result import Piece, dates, one_piece
from .scores import Score

OURS = "diffx"
RAW = (0.2, 0.5, 0.8, 0.9)  # levels at which the members' own intervals are counted


class Trial:
    """One appliance, in one house or in several together.

    ``scores``: of each method, over the same periods. ``raw``: level -> active periods of the members' own central
    intervals, and how many of these they hold. ``said`` and ``was`` [M + 1]: in how many periods k of the M members
    are on, and in how many of these the appliance was.
    """

    def __init__(self, appliance: Appliance, period: float):
        self.appliance, self.period = appliance, period
        self.scores: dict[str, Score] = {}
        self.raw: dict[float, np.ndarray] = {level: np.zeros(2) for level in RAW}
        self.said: np.ndarray = np.zeros(1)
        self.was: np.ndarray = np.zeros(1)

    @classmethod
    def pooled(cls, trials: Sequence[Trial]) -> Trial:
        """Of one appliance in several houses."""
        made = cls(trials[0].appliance, trials[0].period)
        made.scores = {name: Score.pooled([trial.scores[name] for trial in trials]) for name in trials[0].scores}
        made.raw = {level: sum((t.raw[level] for t in trials), np.zeros(2)) for level in RAW}
        made.said, made.was = sum(t.said for t in trials), sum(t.was for t in trials)  # type: ignore[assignment]
        return made

    def add(self, piece: Piece, a: int, rivals: Mapping[str, np.ndarray]) -> None:
        """Count the next piece, in which it is the ``a``-th appliance and ``rivals`` say [T] W each.

        A period counts where the meter and every method know something.
        """
        members, truth = piece.members[:, a], piece.household.parts[self.appliance.key]
        good = np.isfinite(members).all(0) & np.isfinite(truth)
        for power in rivals.values():
            good &= np.isfinite(power)
        truth = np.where(good, truth, np.nan)
        day = dates(piece.household).astype(np.int64)
        bounds = {level: (low[a], high[a]) for level, (low, high) in piece.bounds.items()}
        self._score(OURS).add(truth, members, day, bounds, None if piece.said is None else piece.said[a])
        for name, power in rivals.items():
            self._score(name).add(truth, power, day)
        self._honesty(members[:, good], truth[good])

    def _score(self, name: str) -> Score:
        return self.scores.setdefault(name, Score(self.appliance.threshold, self.period))

    def _honesty(self, members: np.ndarray, truth: np.ndarray) -> None:
        threshold = self.appliance.threshold
        on, count = truth > threshold, (members > threshold).sum(0)
        self.said = self.said + np.bincount(count, minlength=len(members) + 1)
        self.was = self.was + np.bincount(count[on], minlength=len(members) + 1)
        likely = on | (count > 0)  # elsewhere no interval reaches the threshold, and none is active
        members, truth = members[:, likely], truth[likely]
        for level in RAW if len(truth) else ():
            low, high = (end.numpy() for end in central_interval(members, level)[:2])
            active = (truth > threshold) | (high > threshold)
            self.raw[level] = self.raw[level] + [active.sum(), (active & (low <= truth) & (truth <= high)).sum()]

    def figures(self, energy: Energy, spans: bool = False) -> dict[str, dict[str, Any]]:
        """Method -> figure -> number, None where it is not defined; ``spans`` adds 95 % intervals of mae and f1.

        ``energy``: how the intervals of a day's energy were calibrated.
        """
        days = self.scores[OURS].days()
        ends = {day: energy.of(members[:, None]) for day, (_, members) in days.items()}
        bounds = {day: (float(low[0]), float(high[0])) for day, (low, high) in ends.items()}
        found: dict[str, dict[str, Any]] = {}
        for name, score in self.scores.items():
            figures = score.result(bounds if name == OURS else None)
            found[name] = {key: value if value == value else None for key, value in figures.items()}
            for key, (low, high) in (score.spans() if spans else {}).items():
                found[name][f"{key}_interval"] = [low, high] if low == low and high == high else None
        return found

    def coverage(self) -> dict[float, float]:
        """Level -> share of active periods that the members' own interval holds, where there are any."""
        return {level: inside / active for level, (active, inside) in self.raw.items() if active}

    def curve(self, bins: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean probability said, share observed and count of each bin of probabilities that holds any."""
        said = np.arange(len(self.said)) / max(len(self.said) - 1, 1)
        index = np.minimum((said * bins).astype(int), bins - 1)
        count, hits, sums = (np.bincount(index, w, bins) for w in (self.said, self.was, self.said * said))
        full = count > 0
        return sums[full] / count[full], hits[full] / count[full], count[full]


class Worst:
    """The days on which most energy was put where it was not; at most ``most`` of them are kept."""

    def __init__(self, most: int = 3):
        self.most = most
        self._kept: list[tuple[float, Piece]] = []
        self._open: list[Piece] = []

    def add(self, piece: Piece) -> None:
        """Look at the next piece of a house; pieces that share a day follow one another."""
        for part in by_day(piece):
            if self._open and not _same_day(self._open[-1], part):
                self._close()
            self._open.append(part)

    def list(self) -> list[Piece]:
        """Days, the worst first."""
        self._close()
        return [day for wrong, day in self._kept if wrong > 0]

    def _close(self) -> None:
        if self._open:
            day = one_piece(self._open)
            self._kept = sorted([*self._kept, (misplaced(day), day)], key=lambda one: -one[0])[: self.most]
            self._open = []


def misplaced(day: Piece) -> float:
    """sum |median - metered| over the metered appliances, Wh."""
    parts = day.household.parts
    wrong = [np.abs(day.median[a] - parts[own.key]) for a, own in enumerate(day.appliances) if own.key in parts]
    return float(np.nansum(wrong, dtype=np.float64)) * day.household.period / 3600


def _same_day(one: Piece, other: Piece) -> bool:
    return one.household.name == other.household.name and dates(one.household)[0] == dates(other.household)[0]
