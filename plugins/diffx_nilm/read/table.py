"""Plain tables: CSV, TSV, Parquet, DataFrame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from diffx.errors import DataError, did_you_mean

from .grid import Rows
from .guess import Frames, Layout, guess
from .long import Watch, labels_of
from .numerals import Numerals
from .options import Notes, Options
from .recording import MAINS, Feed, Recording
from .sniff import Dialect, sniff
from .times import Clock
from .values import Drawn, Meter
from .words import unit_of


def of_csv(path: Path, options: Options, note: Notes, rows: int | None, layout: Layout | None = None) -> Recording:
    """A CSV or TSV file, compressed (.gz, .bz2, .xz) or not, in pieces of ``rows`` rows."""
    dialect = sniff(path, options)
    head = next(_csv(path, dialect, None, 2000), None)
    if head is None or head.empty:
        raise DataError(f"{path.name}: no rows below the header")

    def frames(columns: Sequence[str] | None) -> Iterator[pd.DataFrame]:
        return _csv(path, dialect, columns, rows)

    layout = layout or guess(head, frames, path.name, options, note)
    return recording(path.name, frames, layout, options, note, dialect.decimal)


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

    def frames(columns: Sequence[str] | None) -> Iterator[pd.DataFrame]:
        for batch in file.iter_batches(rows or max(file.metadata.num_rows, 1)):
            frame = batch.to_pandas()
            if isinstance(frame.index, pd.DatetimeIndex):
                frame = frame.reset_index(names=frame.index.name or "time")
            frame = frame.rename(columns=str)
            yield frame if columns is None else frame[list(columns)]

    first = next(frames(None), None)
    if first is None or first.empty:
        raise DataError(f"{path.name}: no rows")
    return recording(path.name, frames, guess(first, frames, path.name, options, note), options, note)


def recording(
    where: str, frames: Frames, layout: Layout, options: Options, note: Notes, decimal: str | None = None
) -> Recording:
    """A table whose columns are known; one feed for each selection of its rows."""
    clocks: list[Clock] = []

    def feed(keep: Mapping[str, str]) -> Feed:
        clock, drawn = Clock(where, options, note), Drawn(where, note, layout.hint) if len(layout.keep) < 2 else None
        meter = Meter(where, options, note, layout.unit, Numerals(where, options, note, decimal), drawn)
        watch = Watch(where, layout.watched(), options)
        clocks.append(clock)

        def rows() -> Iterator[Rows]:
            for frame in _kept(frames(layout.columns), keep, where):
                times, good = clock.read(_times(frame, layout.time))
                frame = frame[good]
                if frame.empty:
                    continue
                columns = [(factor, frame[name]) for factor, name in layout.mains]
                if watch.labels:
                    watch.look(times, frame, meter.numerals.read(columns[0][1]))
                values = [meter.mains(columns)]
                for own in layout.parts.values():
                    values.append(np.sum([meter.part(frame[c], unit_of(c)) for c in own], axis=0))
                table = np.stack(values, axis=1)
                if layout.doubt is not None:
                    doubt = frame[layout.doubt].to_numpy() == 1
                    table[doubt, 1:] = np.nan
                    if doubt.any():
                        note(f"{where}: where {layout.doubt!r} is 1 the appliances are taken as not known")
                yield times, table

        return Feed(where, (MAINS, *layout.parts), rows())

    power = options.power or layout.power or "unknown"
    return Recording(where, tuple(map(feed, layout.keep)), lambda: clocks[0].timezone, lambda: power)


def _kept(frames: Iterable[pd.DataFrame], keep: Mapping[str, str], where: str) -> Iterator[pd.DataFrame]:
    """The rows of these labels. DataError where there is none in all of the table."""
    found = not keep
    seen: dict[str, set[str]] = {column: set() for column in keep}
    columns: list[str] = []
    for frame in frames:
        columns = list(map(str, frame.columns))
        for column, label in keep.items():
            own = labels_of(frame[column])
            seen[column].update(own.dropna().unique())
            frame = frame[(own == label).fillna(False).to_numpy(bool)]
        found = found or not frame.empty
        if not frame.empty:
            yield frame
    if not found:
        column, label = next(((c, v) for c, v in keep.items() if v not in seen[c]), next(iter(keep.items())))
        some = sorted(seen[column])
        more = f" and {len(some) - 12} more" if len(some) > 12 else ""
        raise DataError(
            f"{where}: no row of {column!r} is {label!r}; there are {', '.join(some[:12]) or 'none'}{more}"
            f"{did_you_mean(label, [*some, *columns])}"
        )


def _csv(path: Path, dialect: Dialect, columns: Sequence[str] | None, rows: int | None) -> Iterator[pd.DataFrame]:
    options: dict[str, Any] = {
        "sep": dialect.separator,
        "decimal": dialect.decimal or "\x01",  # where it is not known, only whole numbers are taken for numbers
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
            yield pd.read_csv(path, **options).rename(columns=str)
            return
        with pd.read_csv(path, chunksize=rows, **options) as reader:
            for piece in reader:
                yield piece.rename(columns=str)
    except (ValueError, EOFError, OSError) as error:  # pandas' own errors are ValueErrors
        reason = " ".join(str(error).split())
        raise DataError(f"{path.name}: not readable as a table separated by {dialect.separator!r} ({reason})") from None


def _times(frame: pd.DataFrame, names: tuple[str, ...]) -> pd.Series:
    if len(names) == 1:
        return frame[names[0]]
    return frame[names[0]].astype("string").str.strip() + " " + frame[names[1]].astype("string").str.strip()
