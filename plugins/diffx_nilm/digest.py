"""What a report tells of a household, gathered piece by piece: a year takes no more memory than a month."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .appliances import Appliance
from .calibration import Calibration, Energy
from .evaluate.days import Days, telling
from .evaluate.trials import OURS, Trial
from .household import DAY, Household
from .result import Energies, Piece, one_piece
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
        self.days = Days(telling, shown)
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
    """When, and how often, appliances are used: expectations over the members.

    ``hours`` [A, 24]: share of each hour of the day that they are on. ``a_day`` [A]: activations in a day of known
    mains.
    """

    def __init__(self, appliances: Sequence[Appliance]):
        self.appliances = tuple(appliances)
        self._on, self._known = np.zeros((len(appliances), 24)), np.zeros(24)
        self._activations: np.ndarray = np.zeros((len(appliances), 1))
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
        # what the tail and the piece hold together, less what the tail held: no activation is missed or counted twice
        joint = one_piece([self._tail, piece]) if self._tail else piece
        self._activations = self._activations + self._begun(joint) - (self._begun(self._tail) if self._tail else 0)
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
        return self._activations.mean(1) / max(self._days, 1e-9)


class Metered:
    """One appliance beside its own meter.

    ``trial``: how the estimate did. ``habits``: those of the metered power. ``totals``: metered and expected energy of
    the periods in which both are known, Wh.
    """

    def __init__(self, appliance: Appliance, period: float):
        self.appliance = appliance
        self.trial = Trial(appliance, period)
        self.habits = Habits([appliance])
        self.totals = np.zeros(2)

    def add(self, piece: Piece, a: int) -> None:
        """Count the next piece, in which it is the ``a``-th appliance."""
        house = piece.household
        truth, members = house.parts[self.appliance.key], piece.members[:, a]
        self.trial.add(piece, a, {})
        self.habits.add(Piece(house, (self.appliance,), truth[None, None], {}))
        both = np.isfinite(truth) & np.isfinite(members).all(0)
        sums = truth[both].sum(dtype=np.float64), members[:, both].sum(dtype=np.float64) / len(members)
        self.totals += np.array(sums) * house.period / 3600

    def energy(self) -> dict[np.datetime64, float]:
        """Day -> metered energy, Wh, of days known well enough."""
        return {np.datetime64(day, "D"): energy for day, (energy, _) in self.trial.scores[OURS].days().items()}

    def figures(self, energy: Energy) -> dict[str, Any]:
        """The figures of :mod:`.scores`, the days' energies in the intervals of this calibration."""
        return self.trial.figures(energy)[OURS]
