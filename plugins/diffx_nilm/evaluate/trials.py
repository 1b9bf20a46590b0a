"""Methods side by side in metered houses, and how well calibrated the samples are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diffx.metrics import Reliability, average_precision_counts, central_interval, reliability_counts

from ..appliances import Appliance
from ..calibration import Energy
from ..result import Piece, dates
from .scores import Score

OURS = "diffx"
RANKS = 2001  # steps of a score, finer than a hundred samples or a watt or two
RAW = (0.2, 0.5, 0.8, 0.9)  # levels at which the members' own intervals are counted


class Trial:
    """One appliance, in one house or in several together.

    ``scores``: of each method, over the same periods. ``raw``: level -> active periods of the members' own central
    intervals, and how many of these they hold. ``said`` and ``was`` [M + 1]: in how many periods k of the M members
    are on, and in how many of these the appliance was. ``ranks``: of each method [2, :data:`RANKS`], how many periods
    have a score in each of as many equal steps, and in how many of these the appliance was on. A method's score is the
    share of the samples that are on, or the power that it says as a share of the appliance's scale.
    """

    def __init__(self, appliance: Appliance, period: float):
        self.appliance, self.period = appliance, period
        self.scores: dict[str, Score] = {}
        self.raw: dict[float, np.ndarray] = {level: np.zeros(2) for level in RAW}
        self.ranks: dict[str, np.ndarray] = {}
        self.said: np.ndarray = np.zeros(1)
        self.was: np.ndarray = np.zeros(1)

    @classmethod
    def pooled(cls, trials: Sequence[Trial]) -> Trial:
        """Of one appliance in several houses."""
        made = cls(trials[0].appliance, trials[0].period)
        made.scores = {name: Score.pooled([trial.scores[name] for trial in trials]) for name in trials[0].scores}
        made.raw = {level: sum((t.raw[level] for t in trials), np.zeros(2)) for level in RAW}
        made.ranks = {name: sum((t.ranks[name] for t in trials), np.zeros((2, RANKS))) for name in trials[0].ranks}
        made.said, made.was = sum(t.said for t in trials), sum(t.was for t in trials)  # type: ignore[assignment]
        return made

    def add(self, piece: Piece, a: int, baselines: Mapping[str, np.ndarray]) -> None:
        """Count the next piece, in which it is the ``a``-th appliance and ``baselines`` say [T] W each.

        A period counts where the meter and every method know something.
        """
        members, truth = piece.members[:, a], piece.household.parts[self.appliance.key]
        good = np.isfinite(members).all(0) & np.isfinite(truth)
        for power in baselines.values():
            good &= np.isfinite(power)
        truth = np.where(good, truth, np.nan)
        day = dates(piece.household).astype(np.int64)
        bounds = {level: (low[a], high[a]) for level, (low, high) in piece.bounds.items()}
        self._score(OURS).add(truth, members, day, bounds, None if piece.said is None else piece.said[a])
        self._rank(OURS, (members[:, good] > self.appliance.threshold).mean(0), truth[good])
        for name, power in baselines.items():
            self._score(name).add(truth, power, day)
            self._rank(name, power[good] / self.appliance.scale, truth[good])
        self._count(members[:, good], truth[good])

    def _rank(self, name: str, score: np.ndarray, truth: np.ndarray) -> None:
        step = np.clip((score * (RANKS - 1)).round().astype(int), 0, RANKS - 1)
        counts = [
            np.bincount(step[which], minlength=RANKS) for which in (slice(None), truth > self.appliance.threshold)
        ]
        self.ranks[name] = self.ranks.get(name, np.zeros((2, RANKS))) + np.stack(counts)

    def average_precision(self, name: str) -> float:
        """:func:`diffx.metrics.average_precision` over falling scores; NaN where the appliance was never on."""
        said, right = self.ranks[name][:, ::-1].cumsum(1)
        return average_precision_counts(right, said - right)

    def _score(self, name: str) -> Score:
        return self.scores.setdefault(name, Score(self.appliance.threshold, self.period))

    def _count(self, members: np.ndarray, truth: np.ndarray) -> None:
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
            figures["average_precision"] = self.average_precision(name)
            found[name] = {key: value if value == value else None for key, value in figures.items()}
            for key, (low, high) in (score.spans() if spans else {}).items():
                found[name][f"{key}_interval"] = [low, high] if low == low and high == high else None
        return found

    def coverage(self) -> dict[float, float]:
        """Level -> share of active periods that the members' own interval holds, where there are any."""
        return {level: inside / active for level, (active, inside) in self.raw.items() if active}

    def reliability(self, bins: int = 8) -> Reliability:
        """Probabilities of being on, by shares of the members, against how often it was on."""
        return reliability_counts(self.said, self.was, bins)


@dataclass(frozen=True)
class Judged:
    """A house, and how every method did in it by appliance; ``known``: days of known mains."""

    name: str
    known: float
    trials: Mapping[str, Trial]
