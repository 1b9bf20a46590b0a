"""Tables as they lie on disk: columns of text, "" where a value is missing."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import diffx
from diffx.io.files import atomic

#: column name -> its values as text, one a row
Columns = dict[str, list[str]]


def length(columns: Columns) -> int:
    """How many rows there are."""
    return len(next(iter(columns.values()), []))


def read(path: str | Path, missing: Collection[str] = ()) -> Columns:
    """A CSV file with a header.

    Raises:
        DataError: no such file, no text, no rows, columns without or of one name, or a row of another length.
    """
    path = Path(path).expanduser()
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file, strict=True)
            header = [name.strip() for name in next(lines, [])]
            rows = [(lines.line_num, row) for row in lines if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise diffx.DataError(f"{path}: not to be read as CSV: {error}") from None
    if not header or not rows:
        raise diffx.DataError(f"{path}: expected a header and rows")
    if "" in header or len(set(header)) < len(header):
        raise diffx.DataError(f"{path}: each column needs a name of its own, not {', '.join(header)}")
    for number, row in rows:
        if len(row) != len(header):
            raise diffx.DataError(f"{path}, line {number}: {len(row)} values for {len(header)} columns")
    absent = {"", *missing}
    columns: Columns = {name: [] for name in header}
    for _, row in rows:
        for name, value in zip(header, map(str.strip, row)):
            columns[name].append("" if value in absent else value)
    return columns


def write(path: Path, columns: Mapping[str, Sequence[str]]) -> Path:
    """A CSV file with a header, whole or not at all."""
    with atomic(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(columns)
        rows.writerows(zip(*columns.values()))
    return path


def diabetes() -> Columns:
    """The 442 patients of Efron et al. 2004 in their own units: ten measurements and the disease's progression."""
    from sklearn.datasets import load_diabetes

    study = load_diabetes(scaled=False)
    values = {name: study.data[:, number] for number, name in enumerate(study.feature_names)}
    return {name: [f"{v:.10g}" for v in column] for name, column in {**values, "progression": study.target}.items()}
