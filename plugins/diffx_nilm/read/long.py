"""Long tables: several homes or sensors below one another, told apart by a column of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from diffx.errors import DataError

from .options import Options
from .words import words

# fmt: off
_HOMES = {"dataid", "building", "home", "house", "household", "site", "customer", "premise", "premises", "lclid",
          "hhid", "homeid", "houseid", "buildingid", "customerid", "siteid", "haushalt", "gebäude", "maison", "casa"}
_METERS = {"entity", "device", "sensor", "channel", "metric", "measurement", "variable", "quantity", "field",
           "parameter", "unit", "units", "phase", "circuit", "meter", "meterid", "deviceid", "sensorid", "topic", "tag",
           "register", "obis", "attribute", "gerät", "messgröße", "einheit", "statistic", "mac", "serial", "feed"}
# fmt: on
_BESIDE = {"id", "name", "no", "nr", "number", "of", "the", "code", "key", "serial"}
_MOST = 500  # labels of one column
_KINDS = 12  # labels that come round and round
_SHARED = 0.2  # share of rows at the time of another row; an hour that there is twice has fewer


@dataclass
class Labels:
    """A column that may say which home or sensor a row is of. ``named``: its name says so, too."""

    column: str
    named: bool
    home: bool
    spans: dict[str, list[int]] = field(default_factory=dict)  # label -> its first and last time, ns, and rows


def label_columns(names: Sequence[str], head: pd.DataFrame) -> list[Labels]:
    """The columns that can be labels, those of homes and other telling names first."""
    found = []
    for name in names:
        spoken = set(words(name))
        home, meter = (bool(spoken & known) and spoken <= known | _BESIDE for known in (_HOMES, _METERS))
        home = home or (bool(spoken & _HOMES) and "id" in spoken)
        meter = meter or (bool(spoken & _METERS) and "of" in spoken)
        if not _few(head[name], home or meter, any(word.endswith("id") for word in spoken)):
            continue
        found.append(Labels(name, home or meter, home))
    return sorted(found, key=lambda one: (not one.home, not one.named))


def divides(one: Labels, head: pd.DataFrame, time: Sequence[str]) -> bool:
    """Whether the first rows show that a column tells rows of several meters apart, or its name says so."""
    if one.named:
        return True
    times = head[list(time)].astype("string").agg(" ".join, axis=1) if len(time) > 1 else head[time[0]]
    at, codes = (pd.factorize(values, sort=True)[0] for values in (times, labels_of(head[one.column])))
    order = np.argsort(at, kind="stable")
    at, codes = at[order], codes[order]
    return (_shared(at) and _unique(at, codes)) or (len(np.unique(codes)) <= _KINDS and _round(codes))


def labels_of(column: pd.Series) -> pd.Series:
    """Labels as text: 26 and 26.0 are the same home."""
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    return column.astype("string").str.strip()


class Watch:
    """Looks, piece by piece, whether rows of several labels are mixed.

    Labels of a telling name are mixed where they take turns: one meter that follows another is not. Any other column
    is one of labels where most rows share their time with one of another label, and no two rows both time and label;
    or where labels go round and round: text, or a few numbers if each has a power of its own.
    """

    def __init__(self, where: str, labels: Sequence[Labels], options: Options):
        self.where, self.labels, self.options = where, list(labels), options

    def look(self, times: np.ndarray, frame: pd.DataFrame, power: np.ndarray) -> None:
        """DataError that names the column of labels and says what to type; ``power`` [n] is that of the rows."""
        order = np.argsort(times, kind="stable")
        times = times[order]
        shared = _shared(times)
        mixed = []
        for one in self.labels:
            known = frame[one.column].notna().to_numpy()[order]
            names = labels_of(frame[one.column])
            codes, found = pd.factorize(names.to_numpy(dtype=object, na_value=None)[order])
            overlap = self._count(one, times, codes, found)
            if len(one.spans) > _MOST and not one.named:
                continue
            at, codes = times[known], codes[known]
            text = not pd.api.types.is_numeric_dtype(frame[one.column])
            if one.named:
                found_mixed = overlap or _turns(codes)
            else:
                turning = len(one.spans) > 1 and _round(codes) and (text or _apart(codes, power[order][known]))
                found_mixed = turning or (len(one.spans) > 1 and shared and _unique(at, codes))
            if found_mixed:
                mixed.append(one)
        if mixed:
            self._refuse(min(mixed, key=lambda one: (not one.home, not one.named, -len(one.spans))))

    def _count(self, one: Labels, times: np.ndarray, codes: np.ndarray, found: Sequence[str]) -> bool:
        """Adds the rows to the spans; whether a label begins before another one of an earlier piece has ended."""
        ends = {label: end for label, (_, end, _) in one.spans.items()}
        back = False
        for code, label in enumerate(found):
            own = times[codes == code]
            last = max((end for other, end in ends.items() if other != label), default=None)
            back = back or (last is not None and len(own) > 1 and bool(own[1] < last))
            first, end, rows = one.spans.get(label, [int(own[0]), int(own[-1]), 0])
            one.spans[label] = [min(first, int(own[0])), max(end, int(own[-1])), rows + len(own)]
            if len(one.spans) > 4 * _MOST:
                break
        return back

    def _refuse(self, one: Labels) -> None:
        labels = sorted(one.spans, key=lambda label: -one.spans[label][2])
        some = ", ".join(labels[:8]) + (f" and {len(labels) - 8} more" if len(labels) > 8 else "")
        if one.home or (not one.named and all(label.isdigit() for label in labels)):
            raise DataError(
                f"{self.where}: rows of several homes, told apart by {one.column!r} ({some}); "
                f"{self.options.spelt('building', labels[0])} takes one of them"
            )
        raise DataError(
            f"{self.where}: rows of several meters, told apart by {one.column!r} ({some}); "
            f"{self.options.spelt('mains', labels[0])} takes one of them, and A+B adds two"
        )


def _few(column: pd.Series, named: bool, numbered: bool) -> bool:
    """Whether values can be labels: text or whole numbers, which come again and again unless the name tells."""
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return False
    known = column.dropna()
    if pd.api.types.is_float_dtype(known) and (known % 1 != 0).any():
        return False
    different = known.nunique()
    if named and (numbered or not pd.api.types.is_numeric_dtype(known)):
        return different > 0
    return 0 < different <= 50 and (named or len(known) < 8 or different <= 0.5 * len(known))


def _shared(times: np.ndarray) -> bool:
    """Whether many rows, in order, have the time of another."""
    same = np.diff(times) == 0
    twice = np.append(same, False) | np.insert(same, 0, False)
    return bool(twice.mean() > _SHARED)


def _unique(times: np.ndarray, codes: np.ndarray) -> bool:
    pairs = pd.MultiIndex.from_arrays([times, codes])
    return len(np.unique(codes)) > 1 and bool(pairs.duplicated().mean() < 0.01)


def _turns(codes: np.ndarray) -> bool:
    """Whether labels take turns, more often than when each follows another."""
    kinds = len(np.unique(codes))
    return kinds > 1 and int((np.diff(codes) != 0).sum()) + 1 >= kinds + 2


def _round(codes: np.ndarray) -> bool:
    """Whether labels come round and round, one row each: a b c a b c."""
    kinds = len(np.unique(codes))
    if kinds < 2 or len(codes) < 3 * kinds:
        return False
    return bool((codes[kinds:] == codes[:-kinds]).mean() > 0.9 and (np.diff(codes) != 0).mean() > 0.9)


def _apart(codes: np.ndarray, power: np.ndarray) -> bool:
    """Whether a few labels have quite different powers."""
    usual = pd.Series(power).groupby(codes).median().abs()
    return len(usual) <= _KINDS and bool(usual.max() > 1.5 * usual.min())
