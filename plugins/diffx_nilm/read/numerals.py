"""Numbers as people and programs of several countries write them: 1234.5, 1.234,5, 1,234.5, 1 234,5, 1'234.5."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pandas as pd

from diffx.errors import DataError

from .options import Notes, Options

_MISSING = ("", "?", "-", "null", "none", "nan", "n/a", "na", "unavailable", "unknown")
_SPACES = re.compile(r"(?<=\d)[ \u00a0\u202f\u2009'’](?=\d{3}(?!\d))")  # groups of three digits
_GROUPS = re.compile(r"[+-]?\d{1,3}([.,])\d{3}(\1\d{3})+")  # 1.234.567
_BOTH = re.compile(r"[+-]?\d{1,3}(([.,])\d{3})+(?!\2)([.,])\d*")  # 1.234,5
_EITHER = re.compile(r"[+-]?[1-9]\d{0,2}([.,])\d{3}")  # 1.234 is about one, or over a thousand
_ONE = re.compile(r"[+-]?\d*([.,])\d*([eE][+-]?\d+)?")
_FEW = 0.05  # share of whole numbers that numbers with three decimals never have
OTHER = {".": ",", ",": "."}
_FORMS = {
    d: re.compile(rf"[+-]?(\d+|\d{{1,3}}(\{g}\d{{3}})+)?(\{d}\d*)?([eE][+-]?\d+)?") for d, g in OTHER.items()
}  # decimal sign -> numbers with it


def bare(text: str) -> str:
    """A number without spaces and apostrophes between groups of three digits, and with a plain minus."""
    return _SPACES.sub("", text.strip().replace("−", "-"))


def is_number(text: str) -> bool:
    """Whether it is written as a number, in any of these ways."""
    text = bare(text)
    return any(map(str.isdigit, text)) and any(form.fullmatch(text) for form in _FORMS.values())


def decimal_of(text: str) -> str | None:
    """The decimal sign of a number that can be read in one way only; None for any other."""
    text = bare(text)
    if not any(map(str.isdigit, text)):
        return None
    if _GROUPS.fullmatch(text):
        return OTHER[re.search("[.,]", text)[0]]  # type: ignore[index]
    if both := _BOTH.fullmatch(text):
        return both[3]
    if _EITHER.fullmatch(text):
        return None
    one = _ONE.fullmatch(text)
    return one[1] if one else None


class Numerals:
    """Reads the numbers of one file, piece by piece; each column says how its own are written.

    Where dots (or commas) are always followed by three digits, they group thousands if there are whole numbers under
    1000 beside them, and are decimal signs if there are none.

    Args:
        decimal: the sign that the head of the file shows; None where it shows none.
    """

    def __init__(self, where: str, options: Options, note: Notes, decimal: str | None = None):
        self.where, self.options, self.note, self.decimal = where, options, note, decimal
        self._seen: dict[str, _Evidence] = {}

    def read(self, column: pd.Series) -> np.ndarray:
        """A column as float64, NaN where empty or infinite, and (said) at the odd text among numbers.

        Raises:
            DataError: more than the odd text, or numbers that can be read in two ways.
        """
        if pd.api.types.is_numeric_dtype(column):
            out = np.array(column.to_numpy(np.float64, na_value=np.nan))
        else:
            out = self._parsed(column)
        out[~np.isfinite(out)] = np.nan
        return out

    def _parsed(self, column: pd.Series) -> np.ndarray:
        codes, found = pd.factorize(column.astype("string").str.strip())
        count = np.bincount(codes[codes >= 0], minlength=len(found))
        texts = ["" if text.lower() in _MISSING else bare(text) for text in map(str, found)]
        name = str(column.name)
        evidence = self._seen.setdefault(name, _Evidence())
        for text, n in zip(texts, count, strict=True):
            evidence.add(text, int(n))
        decimal = self._decided(name, evidence)
        values = np.array([_value(text, decimal) for text in texts] or [np.nan])
        wrong = [i for i, text in enumerate(texts) if text and np.isnan(values[i])]
        if wrong:
            known = sum(int(n) for text, n in zip(texts, count, strict=True) if text)
            share, example = sum(int(count[i]) for i in wrong) / max(known, 1), str(found[wrong[0]])
            if share > 0.01:
                raise DataError(
                    f"{self.where}: {name!r} holds {example!r}, which is no number, in {share:.0%} of the rows"
                )
            self.note(f"{self.where}: entries of {name!r} such as {example!r} are no numbers and taken as not known")
        return np.where(codes >= 0, values[codes], np.nan)

    def _decided(self, name: str, evidence: _Evidence) -> str:
        """The decimal sign of a column; DataError where it cannot be told, or turns out to be another."""
        if self.options.decimal:
            return self.options.decimal
        decimal = evidence.decimal(self.decimal)
        if decimal is None or evidence.used not in (None, decimal):
            examples = " and ".join(map(repr, evidence.examples()))
            raise DataError(
                f"{self.where}: {name!r} holds {examples}: which sign is the decimal one? "
                f"{self.options.spelt('decimal', '.')} or {self.options.spelt('decimal', ',')}"
            )
        if evidence.either:
            evidence.used = decimal
        if evidence.either and not evidence.sure and not self.decimal:
            text = next(iter(evidence.either))
            self.note(
                f"{self.where}: {text!r} in {name!r} is read as {_value(text, decimal):g} "
                f"({self.options.spelt('decimal', OTHER[decimal])} otherwise)"
            )
        return decimal


class _Evidence:
    """How the numbers of one column are written. ``either``: those that can be read in two ways, and how often."""

    def __init__(self) -> None:
        self.sure: dict[str, str] = {}  # decimal sign -> a number that shows it
        self.either: Counter[str] = Counter()
        self.small = self.large = 0  # whole numbers from 1 to 999, and from 1000 on
        self.used: str | None = None

    def add(self, text: str, count: int) -> None:
        digits = text.lstrip("+-")
        if digits.isdigit():
            size = int(digits)
            self.small, self.large = self.small + count * (0 < size < 1000), self.large + count * (size >= 1000)
        elif sign := decimal_of(text):
            self.sure.setdefault(sign, text)
        elif _EITHER.fullmatch(text):
            self.either[text] += count

    def decimal(self, head: str | None) -> str | None:
        """None where it cannot be told."""
        if self.sure:
            return next(iter(self.sure)) if len(self.sure) == 1 else None
        if head or not self.either:
            return head or "."
        signs = {"." if "." in text else "," for text in self.either}
        if len(signs) > 1:
            return None
        (sign,) = signs
        if self.large or not self.small:
            return sign
        if self.small >= _FEW * (self.small + self.either.total()):
            return OTHER[sign]
        return None

    def examples(self) -> list[str]:
        some = [*self.sure.values(), *list(self.either)[:2]][:2]
        return some if len(some) > 1 or not self.small else [*some, "whole numbers under 1000"]


def _value(text: str, decimal: str) -> float:
    """NaN for what is no number with this decimal sign."""
    if not any(map(str.isdigit, text)) or not _FORMS[decimal].fullmatch(text):
        return np.nan
    return float(text.replace(OTHER[decimal], "").replace(decimal, "."))
