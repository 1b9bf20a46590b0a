"""Numbers of a power column -> W, or a line that says why they are none."""

from __future__ import annotations

import numpy as np
import pandas as pd

from diffx.errors import DataError

from .options import Notes, Options

_FEW, _STUCK = 1000, 20_000  # rows that a look at the magnitude takes, and rows of one value that no house has
_RISES = 50  # without a fall between them
_KW, _IDLE = 40.0, 1.5  # a house that draws more than 40 W at some time, and one that draws more than 1.5 kW
_MOST = 100_000.0  # W


class Meter:
    """Mends and checks the power of one file, piece by piece.

    Args:
        said: unit in the name of the mains column; the options' unit goes before it.
    """

    def __init__(self, where: str, options: Options, note: Notes, said: str | None = None):
        self.where, self.note = where, note
        self.named = {"VA": "W", "kVA": "kW"}.get(said or "", said)
        self.asked = options.unit
        self._factor: float | None = None
        self._rows = self._negative = 0
        self.any = False

    def mains(self, column: pd.Series) -> np.ndarray:
        """float64 [n], W, NaN where not known."""
        x = numbers(column, self.where, self.note)
        x *= self.factor(x)
        self.any |= bool(np.isfinite(x).any())
        return self._drawn(x)

    def part(self, column: pd.Series, said: str | None) -> np.ndarray:
        """The same of an appliance, whose unit is that of the mains where its name does not say it."""
        x = numbers(column, self.where, self.note)
        named = {"kW": 1000.0, "kVA": 1000.0, "W": 1.0, "VA": 1.0}
        x *= self._factor or 1.0 if said is None or self.asked else named.get(said, 1.0)
        if (x < 0).any():
            self.note(f"{self.where}: negative power of {column.name!r} counts as 0")
        return np.where(x < 0, 0.0, x)

    def factor(self, x: np.ndarray) -> float:
        """W in a unit of these numbers: as asked for, as the name says, else by their size."""
        seen = x[np.isfinite(x)]
        if self._factor is None and seen.size:
            self._factor = self._decide(seen)
        if self._factor is not None and seen.size and seen.max() * self._factor > _MOST:
            raise DataError(
                f"{self.where}: {seen.max():g} is {seen.max() * self._factor / 1000:.0f} kW, more than any household; "
                "is it a meter reading, or in mW? (data.unit=)"
            )
        return self._factor or 1.0

    def _decide(self, seen: np.ndarray) -> float:
        top = float(seen.max())
        step = np.diff(seen)
        if (step >= 0).all() and (step > 0).sum() >= _RISES:
            raise DataError(f"{self.where}: the mains never fall: a meter reading in kWh, not power")
        if seen.size >= _STUCK and seen.min() == top:
            raise DataError(f"{self.where}: the mains are {top:g} in {seen.size} rows on end: no meter of power")
        if self.asked:
            return 1000.0 if self.asked == "kW" else 1.0
        if self.named == "kW":
            if top > 300:
                raise DataError(f"{self.where}: {top:g} kW is no household: are these W? (data.unit=W)")
            return 1000.0
        if top >= _KW or seen.size < _FEW:
            return 1.0
        if top < _IDLE:
            raise DataError(
                f"{self.where}: the mains never exceed {top:.3g}, too little for W and for kW; data.unit= tells"
            )
        if self.named == "W":
            raise DataError(
                f"{self.where}: the mains never exceed {top:.3g} W, as if they were kW (data.unit=kW, or W if it is so)"
            )
        self.note(f"{self.where}: the mains never exceed {top:.3g}, so they are taken for kW (data.unit=W otherwise)")
        return 1000.0

    def _drawn(self, x: np.ndarray) -> np.ndarray:
        """Negative power is not known; much of it is no mistake of the meter."""
        below = x < 0
        self._rows, self._negative = self._rows + len(x), self._negative + int(below.sum())
        if not below.any():
            return x
        if self._rows >= 20 and self._negative > 0.02 * self._rows:
            raise DataError(
                f"{self.where}: the mains are negative in {self._negative / self._rows:.0%} of the rows: solar power "
                "is fed in, or the clamp is turned round; what is needed is all that the household draws"
            )
        self.note(f"{self.where}: rows of negative mains are taken as not known")
        return np.where(below, np.nan, x)


def numbers(column: pd.Series, where: str, note: Notes) -> np.ndarray:
    """A column as float64, NaN where empty or infinite, and (said) at the odd text among numbers."""
    if pd.api.types.is_numeric_dtype(column):
        out = column.to_numpy(np.float64, na_value=np.nan)
    else:
        text = column.astype("string").str.strip().replace(["", "?", "-", "NULL", "null", "None", "NaN", "nan"], pd.NA)
        value = pd.to_numeric(text, errors="coerce")
        if not pd.api.types.is_numeric_dtype(value):  # pragma: no cover - pandas gives numbers for "coerce"
            value = value.astype("float64")
        wrong = text.notna() & value.isna()
        if wrong.any():
            share, example = wrong.sum() / max(int(text.notna().sum()), 1), text[wrong].iloc[0]
            if share > 0.01:
                raise DataError(
                    f"{where}: {column.name!r} holds {example!r}, which is no number, in {share:.0%} of the rows"
                )
            note(f"{where}: entries of {column.name!r} such as {example!r} are no numbers and taken as not known")
        out = value.to_numpy(np.float64, na_value=np.nan)
    out = np.array(out)
    out[~np.isfinite(out)] = np.nan
    return out
