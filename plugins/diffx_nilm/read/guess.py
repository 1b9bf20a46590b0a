"""Which columns of a table hold times, mains and appliances."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from diffx.errors import DataError

from .columns import Terms, guess_mains, mains_terms, part_columns, terms, time_columns
from .long import Labels, divides, label_columns, labels_of
from .numerals import Numerals, is_number
from .options import Notes, Options
from .solar import is_produced, is_sold, total
from .words import is_energy, listed, power_of, unit_of

Frames = Callable[[Sequence[str] | None], Iterable[pd.DataFrame]]  # columns of a table, piece by piece


@dataclass(frozen=True)
class Layout:
    """Which columns of a table are what.

    ``mains``: a sum of columns. ``keep``: column -> label of the rows to read, a mapping for each meter that is to be
    added. ``labels``: other columns that may be of labels. ``doubt``: a column that is 1 where the parts are not to be
    trusted. ``hint``: what to type where the mains are negative.
    """

    time: tuple[str, ...]
    mains: Terms
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unit: str | None = None
    power: str | None = None
    doubt: str | None = None
    keep: tuple[Mapping[str, str], ...] = ({},)
    labels: tuple[Labels, ...] = ()
    hint: str = ""

    @property
    def columns(self) -> list[str]:
        inner = [column for columns in self.parts.values() for column in columns]
        every = [*self.time, *(name for _, name in self.mains), *inner, *([self.doubt] if self.doubt else [])]
        return list(dict.fromkeys([*every, *self.keep[0], *(one.column for one in self.labels)]))

    def watched(self) -> list[Labels]:
        """The columns that must not mix labels, nothing counted yet."""
        return [Labels(one.column, one.named, one.home) for one in self.labels if one.column not in self.keep[0]]


def guess(head: pd.DataFrame, frames: Frames, where: str, options: Options, note: Notes) -> Layout:
    """The columns by their names, and the first rows; DataError where one cannot be told, or is not there."""
    names = list(head.columns)
    time = _times(head, options, where)
    rest = [name for name in names if name not in time]
    labels = label_columns(rest, head)
    keep: dict[str, str] = {}
    if options.building is not None:
        home = _home(labels, head, time, options, where)
        keep[home] = str(options.building)
        own = head[(labels_of(head[home]) == keep[home]).fillna(False)]
        head = head if own.empty else own
    numeric = [name for name in rest if is_power(head[name])]
    values = [
        name for name in numeric if name not in {one.column for one in labels if one.named} | set(keep)
    ] or numeric
    if not numeric and not (options.mains and terms(options.mains, names)):
        some = [f"{name!r} ({str(head[name].dropna().iloc[0])!r}, ...)" for name in rest if head[name].notna().any()]
        raise DataError(f"{where}: no column of numbers besides the times, only {', '.join(some[:12]) or 'none'}")
    chosen: tuple[str, ...] = ()
    others: list[str] = []
    if options.mains is not None and terms(options.mains, names) is None:
        able = [one for one in labels if one.column not in keep and divides(one, head, time)]
        meters, chosen = _meters(able, head, options.mains)
    if chosen:
        keeps = tuple({**keep, meters: label} for label in chosen)
        mains = guess_mains(values, options, where, note)
        others = [str(label) for label in labels_of(head[meters]).dropna().unique()]
    else:
        keeps = (keep,)
        if options.mains is not None:
            mains = mains_terms(names, options.mains, options, where)
        else:
            mains = guess_mains(values, options, where, note, lambda name: _flows(frames, name, where, options))
    taken = {name for _, name in mains}
    parts = part_columns([name for name in values if name not in taken], options.appliances, where, note)
    note(f"{where}: times are in {' + '.join(map(repr, time))}")
    for key, columns in parts.items():
        note(f"{where}: {' + '.join(map(repr, columns))} is the metered {key}")
    used = {*taken, *keeps[0], *(column for columns in parts.values() for column in columns)}
    units = {unit_of(name) or ("energy" if is_energy(name) else None) for name in taken}
    if chosen and units == {None}:  # a label says it then
        units = {unit_of(name) for name in chosen}
    powers = {power_of(name) for name in taken}
    return Layout(
        tuple(time),
        mains,
        parts,
        units.pop() if len(units) == 1 else None,
        powers.pop() if len(powers) == 1 else None,
        keep=keeps,
        labels=tuple(one for one in labels if one.column not in used and _worth(one, head, time)),
        hint=_hint(chosen or tuple(name for _, name in mains), others or values, options),
    )


def is_power(column: pd.Series) -> bool:
    """Whether a column holds numbers, most of the time."""
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return False
    if pd.api.types.is_numeric_dtype(column):
        return True
    text = column.dropna().astype("string")
    return len(text) > 0 and float(np.mean([is_number(entry) for entry in text])) > 0.5


def is_time(column: pd.Series) -> bool:
    """Whether a column without a telling name holds times: dates, not numbers."""
    if pd.api.types.is_datetime64_any_dtype(column):
        return True
    if pd.api.types.is_numeric_dtype(column):
        return bool(column.notna().any() and column.median() > 1e8 and column.diff().median() > 0)
    text = column.dropna().astype("string").head(50)
    return len(text) > 0 and bool(text.str.match(r"\s*\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}").mean() > 0.9)


def _times(head: pd.DataFrame, options: Options, where: str) -> list[str]:
    names = list(head.columns)
    time = time_columns(names, options, where) or [name for name in names if is_time(head[name])][:1]
    if not time:
        raise DataError(
            f"{where}: no column of times among {listed(names)}; {options.spelt('time')} names one "
            "(two, of date and of time of day, as 'Date + Time')"
        )
    if len(time) == 1 and options.time is None and _matches(head[time[0]], r"\s*[\d./-]{6,10}\s*", dates=True):
        clock = [name for name in names if name not in time and _matches(head[name], r"\s*\d\d?:\d\d(:\d\d.*)?\s*")]
        time += clock[:1]
    return time


def _matches(column: pd.Series, pattern: str, dates: bool = False) -> bool:
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return False
    text = column.dropna().astype("string").head(50)
    return len(text) > 0 and bool(text.str.fullmatch(pattern).all()) and (not dates or is_time(column))


def _worth(one: Labels, head: pd.DataFrame, time: Sequence[str]) -> bool:
    """Whether a column is to be watched for labels; one of numbers and an ordinary name is so if it looks like it."""
    return not pd.api.types.is_numeric_dtype(head[one.column]) or divides(one, head, time)


def _home(labels: Sequence[Labels], head: pd.DataFrame, time: Sequence[str], options: Options, where: str) -> str:
    """The column that tells homes apart."""
    wanted = str(options.building)
    for one in labels:
        if one.home or (not one.named and wanted in set(labels_of(head[one.column])) and divides(one, head, time)):
            return one.column
    raise DataError(
        f"{where}: {options.spelt('building', wanted)} chooses a home, and no column says which home a row is of "
        "(dataid, building, home, ...)"
    )


def _meters(able: Sequence[Labels], head: pd.DataFrame, mains: str) -> tuple[str, tuple[str, ...]]:
    """The column of labels that ``mains`` names, and which of them; ("", ()) where there is none."""
    for one in able:
        found = terms(mains, [str(label) for label in labels_of(head[one.column]).dropna().unique()])
        if found and all(factor > 0 for factor, _ in found):
            return one.column, tuple(name for _, name in found)
    named = [one.column for one in able if one.named and not one.home]
    if not named:
        return "", ()
    finest = max(named, key=lambda column: head[column].nunique())  # its label may come after the first rows
    return finest, tuple(part.strip() for part in mains.split("+"))


def _flows(frames: Frames, name: str, where: str, options: Options) -> bool:
    """Whether a column is ever other than 0."""
    numerals = Numerals(where, options, Notes())
    return any(bool((np.nan_to_num(numerals.read(frame[name])) != 0).any()) for frame in frames([name]))


def _hint(mains: Sequence[str], names: Sequence[str], options: Options) -> str:
    """What to type where the mains, one of these columns or labels, are negative; "" where there is no more to add."""
    produced, sold = ([n for n in names if of(n) and n not in mains] for of in (is_produced, is_sold))
    if len(mains) != 1 or not (produced or sold):
        return ""
    return f"; {options.spelt('mains', total(mains[0], produced, sold if not produced else []))} adds it up"
