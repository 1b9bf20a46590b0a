"""What is believed of a household after its mains have been seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from .appliances import Appliance
from .calibration import Calibration
from .household import DAY, Household


@dataclass(frozen=True)
class Piece:
    """A stretch of it.

    ``household``: mains, and the metered parts where there are any. ``members``: samples of the parts, float32
    [M, A, T], W. ``bounds``: level -> calibrated ends (low, high) of the central interval, each float32 [A, T], W.
    All are NaN where the mains are not known. ``said``: whether each is said to be on, bool [A, T]; None: where the
    median is above its threshold.
    """

    household: Household
    appliances: tuple[Appliance, ...]
    members: np.ndarray = field(repr=False)
    bounds: Mapping[float, tuple[np.ndarray, np.ndarray]] = field(repr=False)
    said: np.ndarray | None = field(default=None, repr=False)

    @cached_property
    def median(self) -> np.ndarray:
        """[A, T], W: of the smallest expected absolute error."""
        return np.median(self.members, axis=0)

    @cached_property
    def mean(self) -> np.ndarray:
        """[A, T], W: what energies add up from."""
        return self.members.mean(axis=0)

    @cached_property
    def on(self) -> np.ndarray:
        """Probability that each appliance is on, [A, T]."""
        threshold = np.array([[a.threshold] for a in self.appliances], np.float32)
        return np.where(np.isnan(self.members[0]), np.nan, (self.members > threshold).mean(axis=0)).astype(np.float32)

    def cut(self, first: int, stop: int) -> Piece:
        """Periods ``first`` to ``stop``, with bounds as in a slice."""
        ends = {level: (low[:, first:stop], high[:, first:stop]) for level, (low, high) in self.bounds.items()}
        said = None if self.said is None else self.said[:, first:stop]
        return Piece(self.household.cut(first, stop), self.appliances, self.members[:, :, first:stop], ends, said)

    def frame(self) -> pd.DataFrame:
        """Time, Aggregate, and of each appliance its median, ``_low`` and ``_high`` (5 and 95 %) and ``_on``."""
        low, high = self.bounds[0.9]
        columns: dict[str, Any] = {"Time": self.household.index, "Aggregate": self.household.mains}
        for a, (appliance, median, on) in enumerate(zip(self.appliances, self.median, self.on, strict=True)):
            key = appliance.key
            columns |= {key: median, f"{key}_low": low[a], f"{key}_high": high[a], f"{key}_on": on}
        return pd.DataFrame(columns)


_ENERGIES = ("kWh", "kWh_low", "kWh_high", "mains_kWh", "known")


@dataclass
class _Day:
    """``known`` periods, and in them the energies of mains and members [M, A], Wh."""

    known: int = 0
    mains: float = 0.0
    members: Any = 0.0


class Energies:
    """Energy of each day, gathered piece by piece."""

    def __init__(self, appliances: Sequence[Appliance], calibration: Calibration):
        self.appliances, self.calibration = tuple(appliances), calibration
        self._days: dict[np.datetime64, _Day] = {}
        self._period, self._zone = 0.0, None

    def add(self, piece: Piece) -> None:
        """Count a piece; a day may lie in several."""
        house = piece.household
        self._period, self._zone = house.period, house.start.tz
        local = dates(house)
        hours = house.period / 3600
        known = np.isfinite(piece.members[0, 0])
        for day in np.unique(local):
            at = (local == day) & known
            kept = self._days.setdefault(day, _Day())
            kept.known += int(at.sum())
            kept.mains += float(house.mains[at].sum(dtype=np.float64)) * hours
            kept.members = kept.members + piece.members[:, :, at].sum(-1, dtype=np.float64) * hours

    def table(self, span: str = "day") -> pd.DataFrame:
        """One row a day, week (from Monday) or month and appliance: Date (its first day), appliance, kWh, kWh_low and
        kWh_high (90 %), mains_kWh, known.

        ``kWh`` is the expected energy, which adds up over days; where a rare use lifts it out of the interval, the
        interval reaches as far. Intervals do not add up: that of a week is of the samples' weeks. ``known``: share of
        the mains that were known, of 23 or 25 hours where the clock is changed; what was not is in none of the
        energies, and NaN where nothing was.
        """
        groups: dict[np.datetime64, list[np.datetime64]] = {}
        for day in sorted(self._days):
            groups.setdefault(start_of(day, span), []).append(day)
        return pd.DataFrame([row for first, days in groups.items() for row in self._rows(first, days)])

    def total(self) -> pd.DataFrame:
        """Of the whole time, by appliance: kWh, kWh_low and kWh_high (90 %), mains_kWh, known."""
        days = sorted(self._days)
        rows = self._rows(days[0], days) if days else []
        return pd.DataFrame(rows, columns=["appliance", *_ENERGIES]).set_index("appliance")

    def _rows(self, first: np.datetime64, days: Sequence[np.datetime64]) -> list[dict[str, Any]]:
        """Of these days together, one row an appliance."""
        kept = [self._days[day] for day in days]
        filled = [day for day in kept if day.known]
        known = sum(day.known for day in kept) * self._period / sum(seconds(day, self._zone) for day in days)
        none = np.full(len(self.appliances), np.nan)
        energy, low, high, mains = none, none, none, np.nan
        if filled:
            members = sum(day.members for day in filled)
            energy, (low, high) = members.mean(0), self.calibration.energy(members, len(filled))
            mains = sum(day.mains for day in filled) / 1000
        return [
            {
                "Date": pd.Timestamp(first),
                "appliance": appliance.key,
                "kWh": energy[a] / 1000,
                "kWh_low": min(low[a], energy[a]) / 1000,
                "kWh_high": max(high[a], energy[a]) / 1000,
                "mains_kWh": mains,
                "known": min(known, 1.0),
            }
            for a, appliance in enumerate(self.appliances)
        ]


@dataclass(frozen=True, repr=False)
class Result:
    """A whole household: :class:`Piece` after piece, without the members; printed, a short summary.

    ``power``: :meth:`Piece.frame` of all of it, its times as the index. ``energy``: :meth:`Energies.table`, ``total``:
    :meth:`Energies.total`. The units of their columns are in ``attrs["units"]``.
    ``usage``: activations a day of each appliance that were found, or given. ``facts``: weights, members,
    seconds and notes.
    """

    household: Household
    appliances: tuple[Appliance, ...]
    power: pd.DataFrame
    energy: pd.DataFrame
    usage: Mapping[str, float]
    facts: Mapping[str, Any] = field(default_factory=dict)
    total: pd.DataFrame = field(default_factory=pd.DataFrame)

    def __repr__(self) -> str:
        """The household, and the energy of each appliance over the whole time."""
        house = self.household
        known = float(np.isfinite(house.mains).mean()) if len(house) else 0.0
        mains = float(self.energy.groupby("Date")["mains_kWh"].first().sum())
        lines = [
            f"Result of {house.name}: {house.start:%Y-%m-%d %H:%M}, {house.days:.3g} days every {house.period:g} s, "
            f"mains known {known:.0%} of them, {mains:.4g} kWh"
        ]
        sums = self.total[["kWh", "kWh_low", "kWh_high"]] if len(self.total) else self.total
        wide = max(map(len, sums.index), default=0)
        for key, (kwh, low, high) in zip(sums.index, sums.to_numpy(), strict=True):
            often = f", {self.usage[key]:.2g} activations a day" if key in self.usage else ""
            lines.append(f"  {key:<{wide}}  {kwh:7.2f} kWh (90 %: {low:.2f} to {high:.2f}){often}")
        columns = "in .power (W, bands, probability of being on) and .energy (kWh of each day)"
        return "\n".join([*lines, f"  {columns}"])


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
    power = with_units(pd.concat(frames, ignore_index=True).set_index("Time"))
    energy, total = with_units(energies.table()), with_units(energies.total())
    return Result(one_household(houses), appliances, power, energy, usage, facts, total)


def with_units(table: pd.DataFrame) -> pd.DataFrame:
    """The same table, with the unit of each column in ``attrs["units"]``: "W", "kWh", "1" of a share or probability.

    Dates and names have none.
    """
    units = {}
    for name in map(str, table.columns):
        if "kWh" in name:
            units[name] = "kWh"
        elif name.endswith("_on") or name == "known":
            units[name] = "1"
        elif name not in ("Time", "Date", "appliance"):
            units[name] = "W"
    table.attrs["units"] = units
    return table


def one_household(houses: Sequence[Household]) -> Household:
    """Consecutive stretches as one."""
    return replace(
        houses[0],
        mains=np.concatenate([house.mains for house in houses]),
        parts={key: np.concatenate([house.parts[key] for house in houses]) for key in houses[0].parts},
        notes=tuple(dict.fromkeys(note for house in houses for note in house.notes)),
    )


def one_piece(pieces: Sequence[Piece]) -> Piece:
    """Consecutive pieces as one, members and all."""
    ends = {
        level: tuple(np.concatenate([p.bounds[level][side] for p in pieces], axis=1) for side in (0, 1))
        for level in pieces[0].bounds
    }
    members = np.concatenate([p.members for p in pieces], axis=2)
    said = None if pieces[0].said is None else np.concatenate([p.said for p in pieces], axis=1)  # type: ignore[misc]
    house = one_household([p.household for p in pieces])
    return Piece(house, pieces[0].appliances, members, ends, said)  # type: ignore[arg-type]


def dates(house: Household) -> np.ndarray:
    """The day, local where there is a time zone, that each period begins in: datetime64[D] [T]."""
    return house.index.tz_localize(None).to_numpy().astype("datetime64[D]")


def start_of(day: np.datetime64, span: str) -> np.datetime64:
    """The first day of the day, week or month that a day lies in."""
    if span == "week":
        return day - (day.astype("datetime64[D]").astype(int) + 3) % 7  # 1 January 1970 was a Thursday
    return day.astype("datetime64[M]").astype("datetime64[D]") if span == "month" else day


def seconds(day: np.datetime64, zone: Any = None) -> float:
    """Length of a local day, s."""
    if zone is None:
        return DAY
    begin, end = (
        pd.Timestamp(d).tz_localize(zone, ambiguous=True, nonexistent="shift_forward") for d in (day, day + 1)
    )
    return (end - begin).total_seconds()
