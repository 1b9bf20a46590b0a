"""What a report tells of a household, gathered piece by piece: a year takes no more memory than a month."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from .appliances import Appliance
from .calibration import Calibration, Energy
from .household import DAY, Household
from .result import Energies, Piece, dates, one_piece
from .scores import Score
from .usage import begun

_SURPLUS = (1.05, 20.0)  # parts above this share of the mains and these W are more than the whole


class Digest:
    """Energies, habits, the most telling days, and how they compare with the meters where there are any.

    ``known``, ``periods``: how many periods the mains were known in, of how many. ``surplus``: in how many of them the
    median parts are more than the whole. ``broken``: periods with mains and without an estimate.
    """

    def __init__(self, appliances: Sequence[Appliance], calibration: Calibration, shown: int = 3):
        self.appliances, self.calibration = tuple(appliances), calibration
        self.energies = Energies(appliances, calibration)
        self.habits = Habits(appliances)
        self.days = Telling(shown)
        self.metered: dict[str, Metered] = {}
        self.first: Household | None = None
        self.notes: dict[str, None] = {}
        self.periods = self.known = self.surplus = self.broken = 0

    def add(self, piece: Piece) -> None:
        """Count the next piece."""
        house = piece.household
        self.first, self.last = self.first or house, house
        self.notes |= dict.fromkeys(house.notes)
        known = np.isfinite(house.mains)
        self.periods, self.known = self.periods + len(house), self.known + int(known.sum())
        share, spare = _SURPLUS
        self.surplus += int((piece.median.sum(0) > share * house.mains + spare).sum())
        self.broken += int((known & ~np.isfinite(piece.members).all((0, 1))).sum())
        self.energies.add(piece)
        self.habits.add(piece)
        self.days.add(piece)
        for a, appliance in enumerate(self.appliances):
            if appliance.key in house.parts:
                made = self.metered.setdefault(appliance.key, Metered(appliance, house.period))
                made.add(piece, a)


class Habits:
    """When, and how often, appliances run: expectations over the members.

    ``hours`` [A, 24]: share of each hour of the day that they are on. ``a_day`` [A]: runs in a day of known mains.
    """

    def __init__(self, appliances: Sequence[Appliance]):
        self.appliances = tuple(appliances)
        self._on, self._known = np.zeros((len(appliances), 24)), np.zeros(24)
        self._runs: np.ndarray = np.zeros((len(appliances), 1))
        self._days = 0.0
        self._tail: Piece | None = None

    def add(self, piece: Piece) -> None:
        """Count the next piece."""
        hour = piece.household.index.hour.to_numpy()
        known = np.isfinite(piece.on[0])
        self._days += known.sum() * piece.household.period / DAY
        self._known += np.bincount(hour[known], minlength=24)
        for a, on in enumerate(piece.on):
            self._on[a] += np.bincount(hour[known], on[known], minlength=24)
        # what the tail and the piece hold together, less what the tail held: no run is missed or counted twice
        joint = one_piece([self._tail, piece]) if self._tail else piece
        self._runs = self._runs + self._begun(joint) - (self._begun(self._tail) if self._tail else 0)
        longest = round(max(a.max_on for a in self.appliances) / piece.household.period)
        self._tail = joint.cut(max(len(joint.household) - longest, 0), len(joint.household))

    def _begun(self, piece: Piece) -> np.ndarray:
        period = piece.household.period
        return np.array([[begun(m, a, period) for m in piece.members[:, i]] for i, a in enumerate(self.appliances)])

    @property
    def hours(self) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return self._on / self._known

    @property
    def a_day(self) -> np.ndarray:
        return self._runs.mean(1) / max(self._days, 1e-9)


class Telling:
    """The days that show most: on which several appliances use energy. At most ``most`` of them are kept."""

    def __init__(self, most: int):
        self.most = most
        self._kept: list[tuple[float, Piece]] = []
        self._open: list[Piece] = []

    def add(self, piece: Piece) -> None:
        for part in by_day(piece):
            if self._open and dates(self._open[0].household)[0] != dates(part.household)[0]:
                self._close()
            self._open.append(part)

    def _close(self) -> None:
        if self._open:
            day = one_piece(self._open)
            self._kept = sorted([*self._kept, (telling(day), day)], key=lambda one: -one[0])[: self.most]
            self._open = []

    def best(self) -> Piece | None:
        """The most telling day; None where nothing is known."""
        self._close()
        return self._kept[0][1] if self._kept and self._kept[0][0] > 0 else None

    def list(self) -> list[Piece]:
        """The kept days in order of time."""
        self._close()
        kept = [day for worth, day in self._kept if worth > 0]
        return sorted(kept, key=lambda day: day.household.start)


def by_day(piece: Piece) -> Iterator[Piece]:
    """A piece in local days."""
    local = dates(piece.household)
    edges = [0, *(np.flatnonzero(local[1:] != local[:-1]) + 1).tolist(), len(local)]
    for first, stop in pairwise(edges):
        yield piece.cut(first, stop)


def telling(day: Piece) -> float:
    """Sum of the roots of the appliances' energies, so that two of them say more than one that uses twice as much."""
    hours = day.household.period / 3600
    return float(np.sqrt(np.nansum(day.mean, axis=1, dtype=np.float64) * hours).sum())


class Metered:
    """One appliance beside its own meter.

    ``habits``: those of the metered power. ``totals``: metered and expected energy of the periods in which both are
    known, Wh. ``said`` and ``was`` [M + 1]: in how many periods k of the M members are on, and in how many of these it
    was on.
    """

    def __init__(self, appliance: Appliance, period: float):
        self.appliance = appliance
        self.score = Score(appliance.threshold, period)
        self.habits = Habits([appliance])
        self.totals = np.zeros(2)
        self.said: np.ndarray = np.zeros(1)
        self.was: np.ndarray = np.zeros(1)

    def add(self, piece: Piece, a: int) -> None:
        """Count the next piece, in which it is the ``a``-th appliance."""
        house = piece.household
        truth, members = house.parts[self.appliance.key], piece.members[:, a]
        bounds = {level: (low[a], high[a]) for level, (low, high) in piece.bounds.items()}
        said = None if piece.said is None else piece.said[a]
        self.score.add(truth, members, dates(house).astype(np.int64), bounds, said)
        self.habits.add(Piece(house, (self.appliance,), truth[None, None], {}))
        both = np.isfinite(truth) & np.isfinite(members).all(0)
        sums = truth[both].sum(dtype=np.float64), members[:, both].sum(dtype=np.float64) / len(members)
        self.totals += np.array(sums) * house.period / 3600
        on = truth[both] > self.appliance.threshold
        count = (members[:, both] > self.appliance.threshold).sum(0)
        self.said = self.said + np.bincount(count, minlength=len(members) + 1)
        self.was = self.was + np.bincount(count[on], minlength=len(members) + 1)

    def energy(self) -> dict[np.datetime64, float]:
        """Day -> metered energy, Wh, of days known well enough."""
        return {np.datetime64(day, "D"): energy for day, (energy, _) in self.score.days().items()}

    def figures(self, energy: Energy) -> dict[str, float]:
        """The figures of :mod:`.scores`, the days' energies in the intervals of this calibration."""
        ends = {day: energy.of(of[:, None]) for day, (_, of) in self.score.days().items()}
        return self.score.result({day: (float(low[0]), float(high[0])) for day, (low, high) in ends.items()})
