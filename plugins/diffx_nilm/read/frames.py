"""Tables in memory: DataFrames and Series, whatever their indices."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace

import pandas as pd

from diffx.errors import DataError

from .guess import guess, is_time
from .options import Notes, Options
from .recording import Recording
from .table import recording
from .words import listed


def of_frame(frame: pd.DataFrame | pd.Series, options: Options, note: Notes) -> Recording:
    """A DataFrame, or a Series of the mains; times may be the index, and columns may have several levels.

    Raises:
        DataError: no rows, no times, or several columns of one name.
    """
    kind = type(frame).__name__
    if isinstance(frame, pd.Series):
        name = "mains" if frame.name is None else label(frame.name)
        frame, options = frame.to_frame(name), replace(options, mains=name)
    if frame.empty:
        raise DataError(f"{kind}: no rows")
    time, mains = (None if name is None else label(name) for name in (options.time, options.mains))
    frame, told = flat(frame)
    options = replace(options, time=time or told, mains=mains, prefix="")

    def frames(columns: Sequence[str] | None) -> Iterable[pd.DataFrame]:
        return [frame if columns is None else frame[list(columns)]]

    return recording(kind, frames, guess(frame, frames, kind, options, note), options, note)


def flat(frame: pd.DataFrame) -> tuple[pd.DataFrame, str | None]:
    """One level of named columns, and which of them are the times of the index, if that has any.

    DataError where two columns are called the same.
    """
    frame = frame.copy(deep=False)
    frame.columns = pd.Index([label(name) for name in frame.columns])
    levels = [frame.index.get_level_values(i) for i in range(frame.index.nlevels)]
    timed = [isinstance(level, pd.DatetimeIndex | pd.PeriodIndex) or _told(level) for level in levels]
    told = None
    if any(timed):
        for i, (level, is_of_time) in enumerate(zip(levels, timed, strict=True)):
            if isinstance(level, pd.PeriodIndex):
                level = level.to_timestamp()
            name = "time" if is_of_time else label(level.name or f"level {i}")
            while name in frame.columns:
                name = f"index {name}"
            told = name if is_of_time else told
            frame.insert(i, name, pd.Series(level, index=frame.index) if not is_of_time else level)
        frame = frame.reset_index(drop=True)
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise DataError(f"DataFrame: two columns are called {twice[0]!r}, of {listed(frame.columns)}")
    return frame, told


def label(name: Hashable) -> str:
    """A column's name; of several levels ("power", "active") in one."""
    if isinstance(name, tuple):
        return " ".join(str(part) for part in name if str(part).strip() and part == part)
    return str(name)


def _told(level: pd.Index) -> bool:
    """Whether an index of text holds times, as where a file was read without parsing them."""
    return level.dtype.kind not in "iuf" and not isinstance(level, pd.RangeIndex) and is_time(level.to_series())
