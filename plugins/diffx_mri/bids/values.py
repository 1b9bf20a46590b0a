"""Ages, sexes and splits as tables have them, read or refused with a reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .tables import Said, is_missing

_A_YEAR = {"year": 1.0, "month": 12.0, "week": 365.25 / 7, "day": 365.25}
_UNITS = {  # how columns name their unit; the first that fits counts
    "year": re.compile(r"\b(years?|yrs?|yo|y|a)\b", re.I),
    "month": re.compile(r"\b(months?|mos?)\b", re.I),
    "week": re.compile(r"\b(weeks?|wks?)\b", re.I),
    "day": re.compile(r"\bdays?\b", re.I),
}
_AGE = re.compile(r"[>≥]?\s*(\d+(?:[.,]\d+)?)\s*\+?\s*([A-Za-z]*)(?:\s+old)?\.?")
_LETTERS = {"": "", "y": "year", "m": "month", "w": "week", "d": "day"}
_OLDEST = 120  # years; above it is a code for "not known", or another unit
_SEX = {"f": "F", "female": "F", "woman": "F", "girl": "F", "m": "M", "male": "M", "man": "M", "boy": "M"}
_TRAIN = {"train", "training", "trn"}
_HELD_OUT = {
    "val", "valid", "validation", "dev", "devel", "development", "test", "testing", "eval", "evaluation", "holdout",
    "heldout", "tune", "tuning",
}  # fmt: skip


def split_is_known(split: str) -> bool:
    """Whether a split is a word for training or for being held out."""
    return _word(split) in _TRAIN | _HELD_OUT


def _word(split: str) -> str:
    return re.sub(r"[\s_-]+", "", split.lower())


def unit_of_age(about: Mapping[str, Any], path: Path, said: Said) -> str | None:
    """Year, month, week or day, from what a sidecar says of the column; None where that is not one of them."""
    units, words = about.get("Units", about.get("units")), str(about.get("Description", ""))
    if units is None or is_missing(str(units)):
        others = [name for name, pattern in _UNITS.items() if name != "year" and pattern.search(words)]
        if not others or _UNITS["year"].search(words):
            return "year"
        said.add(f"{path}: age is described in {others[0]}s but has no Units; taken as unknown until it says its Units")
        return None
    for name, pattern in _UNITS.items():
        if pattern.search(str(units)):
            return name
    said.add(f"{path}: Units of age are {units!r}, not years, months, weeks or days; ages are taken as unknown")
    return None


def read_age(text: str, unit: str) -> float | None:
    """Years; None where the text is no age. "90+" is 90, "34,5" is 34.5; "84M", as DICOM writes months, is 7."""
    found = _AGE.fullmatch(text.strip())
    if not found:
        return None
    letters = found[2].lower()
    own = _LETTERS.get(letters, next((name for name, pattern in _UNITS.items() if pattern.fullmatch(letters)), None))
    if own is None:
        return None
    years = float(found[1].replace(",", ".")) / _A_YEAR[own or unit]
    return years if years <= _OLDEST else None


def read_sex(text: str, levels: Mapping[str, Any]) -> str | None:
    """F or M, by the Levels of a sidecar where it has them; None where the text is neither."""
    meant = levels.get(text)
    if meant is None and re.fullmatch(r"\d+\.0*", text):
        meant = levels.get(text.partition(".")[0])
    if isinstance(meant, Mapping):
        meant = meant.get("Description", meant.get("description"))
    word = re.split(r"[^a-z]+", str(text if meant is None else meant).strip().lower())[0]
    return _SEX.get(word)
