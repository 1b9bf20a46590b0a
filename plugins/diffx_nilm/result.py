"""What is believed of a household after its mains have been seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from .appliances import Appliance
from .calibration import Calibration
from .household import DAY, Household

LEVELS = (0.5, 0.9)


@dataclass(frozen=True)
class Piece:
    """A stretch of it.

    ``household``: mains, and the metered parts where there are any. ``members``: samples of the parts, float32
    [M, A, T], W. ``bounds``: level -> calibrated ends (low, high) of the central interval, each float32 [A, T], W.
    All are NaN where the mains are not known.
    """

    household: Household
    appliances: tuple[Appliance, ...]
    members: np.ndarray
    bounds: Mapping[float, tuple[np.ndarray, np.ndarray]]

    @property
    def median(self) -> np.ndarray:
        """[A, T], W: of the smallest expected absolute error."""
        return np.median(self.members, axis=0)

    @property
    def mean(self) -> np.ndarray:
        """[A, T], W: what energies add up from."""
        return self.members.mean(axis=0)

    @property
    def on(self) -> np.ndarray:
        """Probability that each appliance is on, [A, T]."""
        threshold = np.array([[a.threshold] for a in self.appliances], np.float32)
        return np.where(np.isnan(self.members[0]), np.nan, (self.members > threshold).mean(axis=0)).astype(np.float32)

    def frame(self) -> pd.DataFrame:
        """Time, Aggregate, and of each appliance its median, ``_low`` and ``_high`` (5 and 95 %) and ``_on``."""
        low, high = self.bounds[0.9]
        columns: dict[str, Any] = {"Time": self.household.index, "Aggregate": self.household.mains}
        for a, (appliance, median, on) in enumerate(zip(self.appliances, self.median, self.on, strict=True)):
            key = appliance.key
            columns |= {key: median, f"{key}_low": low[a], f"{key}_high": high[a], f"{key}_on": on}
        return pd.DataFrame(columns)


class Energies:
    """Energy of each day, gathered piece by piece."""

    def __init__(self, appliances: Sequence[Appliance], calibration: Calibration):
        self.appliances, self.calibration = tuple(appliances), calibration
        self._days: dict[np.datetime64, tuple[int, int, float, np.ndarray]] = {}

    def add(self, piece: Piece) -> None:
        """Count a piece; a day may lie in several."""
        house = piece.household
        local = house.index.tz_localize(None).to_numpy().astype("datetime64[D]")
        hours = house.period / 3600
        known = np.isfinite(piece.members[0, 0])
        for day in np.unique(local):
            at = local == day
            periods, count, mains, members = self._days.get(day, (0, 0, 0.0, 0.0))
            at_known = at & known
            more = piece.members[:, :, at_known].sum(-1, dtype=np.float64) * hours
            self._days[day] = (
                periods + int(at.sum()),
                count + int(at_known.sum()),
                mains + float(house.mains[at_known].sum(dtype=np.float64)) * hours,
                members + more,
            )
        self._period = house.period

    def table(self) -> pd.DataFrame:
        """One row a day and appliance: Date, appliance, kWh, kWh_low and kWh_high (90 %), mains_kWh, known.

        ``known``: share of the day's mains that were known; what was not is in none of the energies.
        """
        rows = []
        for day, (_, count, mains, members) in sorted(self._days.items()):
            known = count * self._period / DAY
            low, high = self.calibration.energy(members)
            for a, appliance in enumerate(self.appliances):
                energy = float(members[:, a].mean())
                row = {"Date": pd.Timestamp(day), "appliance": appliance.key, "kWh": energy / 1000}
                row |= {"kWh_low": low[a] / 1000, "kWh_high": high[a] / 1000}
                rows.append({**row, "mains_kWh": mains / 1000, "known": min(known, 1.0)})
        return pd.DataFrame(rows)


@dataclass(frozen=True)
class Result:
    """A whole household: :class:`Piece` after piece, without the members.

    ``power``: :meth:`Piece.frame` of all of it. ``energy``: :meth:`Energies.table`. ``usage``: runs a day of each
    appliance that were found, or given. ``facts``: weights, members, seconds and notes.
    """

    household: Household
    appliances: tuple[Appliance, ...]
    power: pd.DataFrame
    energy: pd.DataFrame
    usage: Mapping[str, float]
    facts: Mapping[str, Any] = field(default_factory=dict)


def joined(
    pieces: Iterable[Piece], calibration: Calibration, usage: Mapping[str, float], facts: Mapping[str, Any]
) -> Result:
    """All pieces of a household, in order."""
    frames, houses, energies = [], [], None
    for piece in pieces:
        energies = energies or Energies(piece.appliances, calibration)
        energies.add(piece)
        frames.append(piece.frame())
        houses.append(piece.household)
        appliances = piece.appliances
    if energies is None:
        raise ValueError("no piece to join")
    first = houses[0]
    whole = Household(
        first.name,
        first.start,
        first.period,
        np.concatenate([house.mains for house in houses]),
        {key: np.concatenate([house.parts[key] for house in houses]) for key in first.parts},
        first.power,
        tuple(dict.fromkeys(note for house in houses for note in house.notes)),
    )
    return Result(whole, appliances, pd.concat(frames, ignore_index=True), energies.table(), usage, facts)
