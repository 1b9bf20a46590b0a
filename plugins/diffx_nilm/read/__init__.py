"""Readers of household power: one file a format, one :class:`~diffx_nilm.household.Household` for all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd

from diffx.errors import DataError, UsageError

from ..household import Household
from .arrays import of_arrays
from .channels import is_channels, of_channels
from .frames import of_frame
from .nilmtk import of_nilmtk
from .options import Notes, Options
from .recording import Recording, households
from .refit import is_refit, of_refit
from .sniff import sniff
from .table import of_csv, of_parquet

__all__ = ["Options", "read", "stream"]

_PIECE = 500_000  # rows in memory at once
_HDF5 = (".h5", ".hdf5", ".hdf")
_PARQUET = (".parquet", ".pq")


def read(
    source: str | Path | pd.DataFrame | pd.Series,
    options: Options | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Household:
    """A whole household: of a CSV, TSV, Parquet or REFIT file, UK-DALE or REDD folder, NILMTK HDF5, NumPy archive,
    DataFrame, Series.

    Rows may be in any order. What is guessed or mended is said, and kept as the household's ``notes``.

    Raises:
        DataError: one line that names the file and says what is wrong with it.
    """
    options, note = options or Options(), Notes(say)
    (house,) = households(_recording(source, options, note, None), options, note, float("inf"))
    return replace(house, notes=tuple(note.lines))


def stream(
    source: str | Path | pd.DataFrame | pd.Series,
    options: Options | None = None,
    say: Callable[[str], None] = lambda line: None,
    days: float = 7.0,
    rows: int = _PIECE,
) -> Iterator[Household]:
    """The same as consecutive stretches of ``days`` days, the last one shorter, in the memory of ``rows`` rows.

    Rows have to be in order, up to two hours. A stretch's ``notes`` are what is new since the one before.
    """
    options, note = options or Options(), Notes(say)
    yield from households(_recording(source, options, note, rows), options, note, days)


def _recording(
    source: str | Path | pd.DataFrame | pd.Series, options: Options, note: Notes, rows: int | None
) -> Recording:
    if isinstance(source, pd.DataFrame | pd.Series):
        return of_frame(source, options, note)
    if not isinstance(source, str | os.PathLike):
        raise UsageError(
            f"a household is the path of a file, a DataFrame, or a Series with a time index, not a "
            f"{type(source).__name__}"
        )
    path = Path(source)
    if path.is_dir():
        if is_channels(path):
            return of_channels(path, options, note, rows)
        raise DataError(f"{path}: a folder without labels.dat; name the file, or a UK-DALE or REDD house")
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.suffix.lower() in _HDF5:
        return of_nilmtk(path, options, note, rows)
    if path.suffix.lower() in _PARQUET:
        return of_parquet(path, options, note, rows)
    if path.suffix.lower() == ".npz":
        return of_arrays(path, options, note)
    dialect = sniff(path, options)
    names = list(pd.read_csv(path, sep=dialect.separator, nrows=0, skiprows=dialect.skip, encoding=dialect.encoding))
    if dialect.names is None and is_refit(names):
        return of_refit(path, names, options, note, rows)
    return of_csv(path, options, note, rows)
