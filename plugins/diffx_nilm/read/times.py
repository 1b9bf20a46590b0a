"""Times of any spelling -> nanoseconds on one line."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from diffx.errors import DataError

from .folds import SECOND, Folds
from .options import Notes, Options

__all__ = ["SECOND", "Clock"]

_OFFSET = re.compile(r":\d\d(?:\.\d+)?\s*(?:Z|UTC|[+-]\d\d(?::?\d\d)?)$")
_EPOCHS = ((1e17, 1), (1e14, 1_000), (1e11, 1_000_000), (1e8, SECOND))  # from 1973 on, each unit has its own size
_DATES = ("%d{0}%m{0}%Y", "%m{0}%d{0}%Y", "%Y{0}%m{0}%d", "%d{0}%m{0}%y", "%m{0}%d{0}%y")
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")


class Clock:
    """Reads the times of one file, piece by piece and in the order of its rows.

    Times with an offset, or of seconds since 1970, become UTC. Naive ones are localised where a time zone is known, and
    else stay naive: they count as if they were UTC, and ``timezone`` stays None.
    """

    def __init__(self, where: str, options: Options, note: Notes):
        self.where, self.options, self.note = where, options, note
        self.timezone = options.timezone
        self._format: str | None = None
        self._last: int | None = None  # naive, of the row before
        self._folds: Folds | None = None
        self._dropped = self._rows = 0

    def read(self, column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
        """(ns int64 [n], which rows have a time, bool [n]); times are in the order of rows."""
        times, aware = self._parse(column)
        good = times.notna().to_numpy(copy=True)
        self._rows, self._dropped = self._rows + len(good), self._dropped + int((~good).sum())
        if self._dropped > 0.01 * self._rows:
            bad = column[~good].iloc[0] if self._dropped and not good.all() else ""
            raise DataError(
                f"{self.where}: {self._dropped} of {self._rows} rows have no readable time, such as {bad!r}"
            )
        if self._dropped:
            self.note(f"{self.where}: rows without a readable time are left out")
        ns = times[good].to_numpy().astype("datetime64[ns]").astype(np.int64)
        if aware:
            if self.timezone is None:
                self.timezone = "UTC"
                self.note(
                    f"{self.where}: times have an offset or count from 1970; days are those of UTC "
                    f"({self.options.spelt('timezone')} says others)"
                )
        else:
            ns, told = self._place(ns)
            good[good] = told
            ns = ns[told]
        return ns, good

    def _parse(self, column: pd.Series) -> tuple[pd.Series, bool]:
        """Times without zone, and whether they are UTC."""
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            if self.timezone is None:
                self.timezone = self._zone(column.dt.tz)
            return column.dt.tz_convert("UTC").dt.tz_localize(None), True
        if pd.api.types.is_datetime64_dtype(column):
            return column, False
        if pd.api.types.is_numeric_dtype(column) or self._format == "epoch":
            return self._epoch(pd.to_numeric(column, errors="coerce")), True
        text = column.astype("string").str.strip()
        first = text.dropna()
        if first.empty:
            return pd.Series(pd.NaT, index=column.index), False
        if self._format is None:
            self._format = self._spelling(first)
        if self._format == "epoch":
            return self._epoch(pd.to_numeric(text, errors="coerce")), True
        if self._format == "offset":
            text = text.str.replace(r"\s*UTC$", "Z", regex=True)
            return pd.to_datetime(text, errors="coerce", utc=True, format="ISO8601").dt.tz_localize(None), True
        return pd.to_datetime(text, errors="coerce", format=self._format), False

    def _zone(self, zone: Any) -> str:
        """The name of a time zone of any library; UTC, and a note, for one without."""
        for name in (getattr(zone, "key", None), getattr(zone, "zone", None), str(zone)):
            try:
                pd.Timestamp(0, tz="UTC").tz_convert(name)
                return str(name or "UTC")
            except (KeyError, ValueError, TypeError):
                continue
        self.note(f"{self.where}: days are those of UTC, not of {zone} ({self.options.spelt('timezone')} says others)")
        return "UTC"

    def _epoch(self, value: pd.Series) -> pd.Series:
        size = float(value.abs().median()) if value.notna().any() else 0.0
        unit = next((unit for least, unit in _EPOCHS if size >= least), None)
        if unit is None:
            raise DataError(f"{self.where}: times such as {value.iloc[0]:g} are neither dates nor seconds since 1970")
        self._format = "epoch"
        whole = np.rint(value.to_numpy(np.float64, na_value=np.nan) * 1000) if unit == SECOND else value.to_numpy()
        scale = unit // 1000 if unit == SECOND else unit  # fractions of a second survive, to the millisecond
        ns = np.where(np.isfinite(whole), np.nan_to_num(whole), 0).astype(np.int64) * scale
        return pd.Series(ns.view("datetime64[ns]"), index=value.index).where(np.isfinite(whole))

    def _spelling(self, text: pd.Series) -> str:
        """The format of dates, from the first rows."""
        some = text.iloc[:: max(len(text) // 2500, 1)]  # over all of it: a day tells little about days and months
        if pd.to_numeric(some, errors="coerce").notna().mean() > 0.99:
            return "epoch"
        if some.str.contains(_OFFSET).mean() > 0.99:
            return "offset"
        if pd.to_datetime(some, errors="coerce", format="ISO8601").notna().mean() > 0.99:
            return "ISO8601"
        sign = re.search(r"\d([./-])\d", str(some.iloc[0]))
        formats = [date.format(sign[1]) + clock for date in _DATES for clock in _CLOCKS] if sign else []
        read = {f: pd.to_datetime(some, errors="coerce", format=f) for f in formats}
        read = {f: times for f, times in read.items() if times.notna().mean() > 0.99}
        if self.options.day_first is not None:
            read = {f: t for f, t in read.items() if f.startswith("%Y") or f.startswith("%d") == self.options.day_first}
        if not read:
            raise DataError(f"{self.where}: times such as {some.iloc[0]!r} are not understood; ISO 8601 always is")
        # a date read the wrong way round leaps from month to month
        leaps = {f: int((t.diff().abs() > pd.Timedelta(days=1)).sum()) for f, t in read.items()}
        best = [f for f in read if leaps[f] == min(leaps.values())]
        if len({read[f].iloc[0] for f in best}) > 1 or len({read[f].iloc[-1] for f in best}) > 1:
            raise DataError(
                f"{self.where}: does {some.iloc[0]!r} begin with the day or with the month? "
                f"{self.options.spelt('day_first', True)} or {self.options.spelt('day_first', False)}"
            )
        self.note(f"{self.where}: times such as {some.iloc[0]!r} are read as {best[0]}")
        return best[0]

    def _place(self, ns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Naive times into UTC where a time zone is known, and which of them are told."""
        if self.timezone is not None:
            self._folds = self._folds or Folds(self.where, self.timezone, self.options, self.note)
            return self._folds.place(ns)
        before = np.concatenate([[self._last if self._last is not None else ns[0]], ns[:-1]]) if len(ns) else ns
        back = (before - ns) / SECOND
        turns = np.flatnonzero((back > 1800) & (back < 5400))  # an hour, more or less what was not recorded
        if len(ns):
            self._last = int(ns[-1])
        for turn in turns[:3] if len(turns) == (back > 0).sum() else ():  # a shuffled file has more of them
            day = pd.Timestamp(int(ns[turn])).date()
            self.note(
                f"{self.where}: the clock goes back {back[turn] / 60:.0f} minutes on {day}: summer time ends; "
                f"what was measured in both hours is averaged ({self.options.spelt('timezone')} tells them apart)"
            )
        return ns, np.ones(len(ns), bool)
