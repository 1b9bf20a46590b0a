"""A household's power on an even grid of times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from diffx.errors import DataError

DAY = 86_400.0  # seconds


@dataclass(frozen=True)
class Household:
    """Mean power of each period of ``period`` seconds, W.

    ``start``: when the first period begins; naive where the source is, else with its time zone. ``mains``: float32 [T],
    NaN where not known. ``parts``: appliance key -> the same, of those that were metered. ``power``: "active" (W),
    "apparent" (VA) or "unknown". ``notes``: what was guessed or mended in reading, one line each.
    """

    name: str
    start: pd.Timestamp
    period: float
    mains: np.ndarray = field(repr=False)
    parts: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    power: str = "unknown"
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.mains)

    @property
    def days(self) -> float:
        return len(self) * self.period / DAY

    @property
    def index(self) -> pd.DatetimeIndex:
        """Begin of each period. Even in absolute time: with a time zone, a day of a clock change has 23 or 25 hours."""
        return pd.date_range(self.start, periods=len(self), freq=pd.Timedelta(seconds=self.period), name="Time")

    @property
    def known(self) -> np.ndarray:
        """Where the mains and every part are known, bool [T]."""
        out = np.isfinite(self.mains)
        for part in self.parts.values():
            out = out & np.isfinite(part)
        return out

    def of(self, keys: Sequence[str]) -> np.ndarray:
        """Parts stacked, [A, T]. DataError for one that was not metered."""
        if missing := [key for key in keys if key not in self.parts]:
            raise DataError(f"{self.name}: no column for {', '.join(missing)}")
        return np.stack([self.parts[key] for key in keys]) if keys else np.zeros((0, len(self)), np.float32)

    def as_far_as_metered(self, keys: Sequence[str]) -> np.ndarray:
        """The same with NaN for what was not metered, [A, T]."""
        nothing = np.full(len(self), np.nan, np.float32)
        return (
            np.stack([self.parts.get(key, nothing) for key in keys]) if keys else np.zeros((0, len(self)), np.float32)
        )

    def cut(self, first: int, stop: int) -> Household:
        """Periods ``first`` to ``stop``, with bounds as in a slice."""
        first, stop, _ = slice(first, stop).indices(len(self))
        begin = self.start + pd.Timedelta(seconds=self.period) * first
        parts = {key: part[first:stop] for key, part in self.parts.items()}
        return replace(self, start=begin, mains=self.mains[first:stop], parts=parts)

    def last(self, days: float) -> tuple[Household, Household]:
        """(what comes before the last ``days`` days, those days). DataError where that is not inside."""
        edge = len(self) - round(days * DAY / self.period)
        if not 0 < edge < len(self):
            raise DataError(f"{self.name}: {self.days:.1f} days cannot be split before the last {days:g}")
        return self.cut(0, edge), self.cut(edge, len(self))

    def frame(self) -> pd.DataFrame:
        """Columns Time, Aggregate and one for each part, W."""
        return pd.DataFrame({"Time": self.index, "Aggregate": self.mains, **self.parts})

    def dates(self) -> np.ndarray:
        """Number of the day, local where there is a time zone, that each period begins in: int [T], from 0."""
        day = self.index.tz_localize(None).to_numpy().astype("datetime64[D]").astype(np.int64)
        return day - day[0] if len(day) else day
