"""Numbers of a power column -> W, or a line that says why they are none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from diffx.errors import DataError

from .numerals import Numerals
from .options import Notes, Options
from .readings import is_reading
from .words import unit_of

_STUCK = 20_000  # rows of one value that no house has
_KW, _IDLE = 40.0, 1.5  # a house that draws more than 40 W at some time, and one that draws more than 1.5 kW
_BASE = 5.0  # more kW than a house draws half of the time, and fewer W
_MOST = 100_000.0  # W
_SCALES = {"W": 1.0, "VA": 1.0, "kW": 1000.0, "kVA": 1000.0}
_ENERGY = ("Wh", "kWh", "energy")
_ODD = 0.005  # share of impossible rows that are a meter's mistake, and not another unit


class Meter:
    """Mends and checks the power of one file, piece by piece.

    Args:
        said: unit in the name of the mains column; the options' unit goes before it.
        numerals: how its numbers are written.
        drawn: what to do with negative mains; None leaves them, for a meter that is one of several.
        sure: the format itself says that power is in W.
    """

    def __init__(
        self,
        where: str,
        options: Options,
        note: Notes,
        said: str | None = None,
        numerals: Numerals | None = None,
        drawn: Drawn | None = None,
        sure: bool = False,
    ):
        self.where, self.options, self.note = where, options, note
        self.named = {"VA": "W", "kVA": "kW"}.get(said or "", said)
        self.numerals = numerals or Numerals(where, options, note)
        self.drawn, self.sure = drawn, sure
        self._factor: float | None = None
        self._rows = self._odd = 0

    def mains(self, columns: pd.Series | Sequence[tuple[float, pd.Series]]) -> np.ndarray:
        """float64 [n], W, NaN where not known: of one column, or the sum of several, each times its factor.

        Of several, those whose name says the unit are in that one, and the others have one in common.
        """
        terms = [(1.0, columns)] if isinstance(columns, pd.Series) else list(columns)
        known, rest, size = (np.zeros(len(terms[0][1])) for _ in range(3))
        for sign, column in terms:
            own = self.numerals.read(column)
            if self._factor is None:
                self._check(str(column.name), own)
            said = unit_of(column.name) if len(terms) > 1 and not (self.named or self.options.unit) else None
            if said in _SCALES:
                known += sign * _SCALES[said] * own
            else:
                rest, size = rest + sign * own, size + np.abs(own)
        if np.nansum(size) or (len(terms) == 1 and self.drawn is not None):  # 0 of one among several has no unit
            rest = rest * self.factor(size)
        x = known + rest
        if self.drawn is not None:
            x = self.drawn(x)
        return self._possible(x)

    def part(self, column: pd.Series, said: str | None) -> np.ndarray:
        """The same of an appliance, whose unit is that of the mains where its name does not say it."""
        x = self.numerals.read(column)
        x *= self._factor or 1.0 if said is None or self.options.unit else _SCALES.get(said, 1.0)
        if (x < 0).any():
            self.note(f"{self.where}: negative power of {column.name!r} counts as 0")
        return np.where(x < 0, 0.0, x)

    def factor(self, x: np.ndarray) -> float:
        """W in a unit of these numbers: as asked for, as the name says, else by their size."""
        seen = np.abs(x[np.isfinite(x)])
        if self._factor is None and seen.size:
            self._factor = self._decide(seen)
        return self._factor or 1.0

    def _check(self, name: str, x: np.ndarray) -> None:
        seen = x[np.isfinite(x)]
        if is_reading(seen):
            raise DataError(
                f"{self.where}: {name!r} rises and hardly ever falls: a meter reading (kWh or Wh), not power; its "
                "differences, divided by the hours between rows, are kW or W"
            )
        if seen.size >= _STUCK and seen.min() == seen.max():
            raise DataError(f"{self.where}: the mains are {seen[0]:g} in {seen.size} rows on end: no meter of power")

    def _decide(self, seen: np.ndarray) -> float:
        ask = self.options.spelt
        if self.options.unit or self.sure:
            return _SCALES[self.options.unit or "W"]
        if self.named in _ENERGY:
            unit = "W" if self.named == "Wh" else "kW"
            raise DataError(
                f"{self.where}: by their name the mains are energy, not power; divide them by the hours between rows "
                f"to get W or kW ({ask('unit', unit)} if they are power)"
            )
        top = _top(seen)
        if self.named == "kW":
            if top > 300:
                raise DataError(f"{self.where}: {top:g} kW is no household: are these W? ({ask('unit', 'W')})")
            return 1000.0
        usual, most = float(np.median(seen[seen > 0])) if (seen > 0).any() else 0.0, float(seen.max())
        if most >= _KW and (self.named == "W" or usual >= _BASE):
            return 1.0
        if top >= _KW:
            raise DataError(
                f"{self.where}: the mains reach {top:.4g} and are {usual:.3g} most of the time, too little for W: are "
                f"they energy, or kW with outliers? ({ask('unit', 'kW')}, or {ask('unit', 'W')} if it is so)"
            )
        if top < _IDLE:
            raise DataError(
                f"{self.where}: the mains never exceed {top:.3g}, too little for W and for kW; "
                f"{ask('unit', 'kW')} or {ask('unit', 'W')} tells"
            )
        if self.named == "W":
            raise DataError(
                f"{self.where}: the mains never exceed {top:.3g} W, as if they were kW "
                f"({ask('unit', 'kW')}, or {ask('unit', 'W')} if it is so)"
            )
        if usual >= _BASE:
            raise DataError(
                f"{self.where}: the mains are {usual:.3g} most of the time and never exceed {top:.3g}: W or kW? "
                f"{ask('unit', 'W')} or {ask('unit', 'kW')} tells"
            )
        self.note(
            f"{self.where}: the mains never exceed {top:.3g}, so they are taken for kW ({ask('unit', 'W')} otherwise)"
        )
        return 1000.0

    def _possible(self, x: np.ndarray) -> np.ndarray:
        """A row of more than any household draws is not known; many of them are no mistake of the meter."""
        odd = np.abs(x) > _MOST
        self._rows, self._odd = self._rows + int(np.isfinite(x).sum()), self._odd + int(odd.sum())
        if not odd.any():
            return x
        most = float(np.abs(x[odd]).max())
        if self._odd > max(_ODD * self._rows, 1):
            raise DataError(
                f"{self.where}: {most / (self._factor or 1.0):g} is {most / 1000:.0f} kW, more than any household; "
                f"is it a meter reading, or in mW? ({self.options.spelt('unit')})"
            )
        self.note(f"{self.where}: rows of more than any household draws, such as {most / 1000:.0f} kW, are not known")
        return np.where(odd, np.nan, x)


class Drawn:
    """Negative power is not known; much of it is no mistake of the meter. ``hint``: what to type then."""

    def __init__(self, where: str, note: Notes, hint: str = ""):
        self.where, self.note, self.hint = where, note, hint
        self._rows = self._below = 0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        below = x < 0
        self._rows, self._below = self._rows + len(x), self._below + int(below.sum())
        if not below.any():
            return x
        if self._below > max(0.02 * self._rows, 1):
            raise DataError(
                f"{self.where}: the mains are negative in {self._below / self._rows:.0%} of the rows: solar power "
                f"is fed in, or the clamp is turned round; what is needed is all that the household draws{self.hint}"
            )
        self.note(f"{self.where}: rows of negative mains are taken as not known")
        return np.where(below, np.nan, x)


def _top(seen: np.ndarray) -> float:
    """The most, without the odd outlier."""
    spared = min(len(seen) // 20, 2 + len(seen) // 500)
    return float(np.partition(seen, len(seen) - 1 - spared)[len(seen) - 1 - spared])
