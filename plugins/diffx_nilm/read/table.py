"""Plain tables: CSV, TSV, Parquet, DataFrame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from diffx.errors import DataError

from .columns import mains_column, part_columns, power_of, time_columns, unit_of
from .grid import Rows
from .options import Notes, Options
from .recording import MAINS, Feed, Recording
from .sniff import Dialect, sniff
from .times import Clock
from .values import Meter


@dataclass(frozen=True)
class Layout:
    """Which columns of a table are what. ``doubt``: one that is 1 where the parts are not to be trusted."""

    time: tuple[str, ...]
    mains: str
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unit: str | None = None
    power: str | None = None
    doubt: str | None = None

    @property
    def columns(self) -> list[str]:
        inner = [column for columns in self.parts.values() for column in columns]
        return [*self.time, self.mains, *inner, *([self.doubt] if self.doubt else [])]


def of_frame(frame: pd.DataFrame, name: str, options: Options, note: Notes) -> Recording:
    """A DataFrame; times may be its index."""
    if isinstance(frame.index, pd.DatetimeIndex):
        frame = frame.reset_index(names="time" if "time" not in frame.columns else "index time")
    frame = frame.rename(columns=str)
    layout = guess(list(frame.columns), frame, name, options, note)
    return recording(name, iter([frame]), layout, options, note)


def of_csv(path: Path, options: Options, note: Notes, rows: int | None, layout: Layout | None = None) -> Recording:
    """A CSV or TSV file, compressed (.gz, .bz2, .xz) or not, in pieces of ``rows`` rows."""
    dialect = sniff(path, options)
    head = next(_csv(path, dialect, None, 2000), None)
    if head is None or head.empty:
        raise DataError(f"{path.name}: no rows below the header")
    layout = layout or guess(list(head.columns), head, path.name, options, note)
    return recording(path.name, _csv(path, dialect, layout.columns, rows), layout, options, note)


def of_parquet(path: Path, options: Options, note: Notes, rows: int | None) -> Recording:
    """A Parquet file, in batches of ``rows`` rows."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as parquet
    except ImportError:
        raise DataError(f"{path.name}: Parquet needs pyarrow (pip install pyarrow)") from None
    try:
        file = parquet.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path.name}: not readable as Parquet ({' '.join(str(error).split())})") from None

    def frames() -> Iterator[pd.DataFrame]:
        for batch in file.iter_batches(rows or max(file.metadata.num_rows, 1)):
            frame = batch.to_pandas()
            yield frame.reset_index() if isinstance(frame.index, pd.DatetimeIndex) else frame

    pieces = frames()
    first = next(pieces, None)
    if first is None or first.empty:
        raise DataError(f"{path.name}: no rows")
    layout = guess(list(first.columns), first, path.name, options, note)
    return recording(path.name, _chain(first, pieces), layout, options, note)


def guess(names: list[str], head: pd.DataFrame, where: str, options: Options, note: Notes) -> Layout:
    """The columns of times, mains and appliances, by their names; DataError where one cannot be told."""
    time = time_columns(names, options, where)
    if not time:
        time = [name for name in names if _is_time(head[name])][:1]
    if not time:
        raise DataError(
            f"{where}: no column of times among {', '.join(map(repr, names[:12]))}; data.time= names one "
            "(two, of date and of time of day, as 'Date + Time')"
        )
    rest = [name for name in names if name not in time]
    numeric = [name for name in rest if name == options.mains or _is_number(head[name])]
    if not numeric:
        raise DataError(f"{where}: no column of numbers besides the times, only {', '.join(map(repr, rest)) or 'none'}")
    mains = mains_column(numeric, options, where, note)
    parts = part_columns([name for name in numeric if name != mains], options.appliances)
    note(f"{where}: times are in {' + '.join(map(repr, time))}")
    for key, columns in parts.items():
        note(f"{where}: {' + '.join(map(repr, columns))} is the metered {key}")
    return Layout(tuple(time), mains, parts, unit_of(mains), power_of(mains))


def recording(where: str, frames: Iterable[pd.DataFrame], layout: Layout, options: Options, note: Notes) -> Recording:
    """Pieces of a table whose columns are known."""
    clock, meter = Clock(where, options, note), Meter(where, options, note, layout.unit)

    def rows() -> Iterator[Rows]:
        for frame in frames:
            times, good = clock.read(_times(frame, layout.time))
            frame = frame[good]
            if frame.empty:
                continue
            values = [meter.mains(frame[layout.mains])]
            for columns in layout.parts.values():
                values.append(np.sum([meter.part(frame[c], unit_of(c)) for c in columns], axis=0))
            table = np.stack(values, axis=1)
            if layout.doubt is not None:
                doubt = frame[layout.doubt].to_numpy() == 1
                table[doubt, 1:] = np.nan
                if doubt.any():
                    note(f"{where}: where {layout.doubt!r} is 1 the appliances are taken as not known")
            yield times, table

    power = options.power or layout.power or "unknown"
    feed = Feed(where, (MAINS, *layout.parts), rows())
    return Recording(where, (feed,), lambda: clock.timezone, lambda: power)


def _csv(path: Path, dialect: Dialect, columns: list[str] | None, rows: int | None) -> Iterator[pd.DataFrame]:
    options: dict[str, Any] = {
        "sep": dialect.separator,
        "decimal": dialect.decimal,
        "skiprows": dialect.skip,
        "header": 0 if dialect.names is None else None,
        "names": dialect.names,
        "usecols": columns,
        "encoding": dialect.encoding,
        "skipinitialspace": True,
        "na_values": ["?", "-"],
        "low_memory": False,
    }
    try:
        if rows is None:
            yield _trimmed(pd.read_csv(path, **options))
            return
        with pd.read_csv(path, chunksize=rows, **options) as reader:
            for piece in reader:
                yield _trimmed(piece)
    except (ValueError, EOFError, OSError) as error:  # pandas' own errors are ValueErrors
        reason = " ".join(str(error).split())
        raise DataError(f"{path.name}: not readable as a table separated by {dialect.separator!r} ({reason})") from None


def _trimmed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.rename(columns=str)


def _chain(first: pd.DataFrame, rest: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    yield first
    yield from rest


def _times(frame: pd.DataFrame, names: tuple[str, ...]) -> pd.Series:
    if len(names) == 1:
        return frame[names[0]]
    return frame[names[0]].astype("string").str.strip() + " " + frame[names[1]].astype("string").str.strip()


def _is_number(column: pd.Series) -> bool:
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return False
    if pd.api.types.is_numeric_dtype(column):
        return True
    text = column.dropna()
    return len(text) > 0 and bool(pd.to_numeric(text, errors="coerce").notna().mean() > 0.5)


def _is_time(column: pd.Series) -> bool:
    """Whether a column without a telling name holds times: dates, not numbers."""
    if pd.api.types.is_datetime64_any_dtype(column):
        return True
    if pd.api.types.is_numeric_dtype(column):
        return bool(column.notna().any() and column.median() > 1e8 and column.diff().median() > 0)
    text = column.dropna().astype("string").head(50)
    return len(text) > 0 and bool(text.str.match(r"\s*\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}").mean() > 0.9)
