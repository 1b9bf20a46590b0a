"""Tab-separated tables as people write them: other separators, encodings and line ends, quotes that never close."""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MISSING = {
    "", "n/a", "na", "nan", "none", "null", "unknown", "unk", "missing", "other", "o", ".", "-", "?", "#n/a",
}  # fmt: skip
_SHOWN = 4  # lines of one kind that are said in full


class Said:
    """Lines for the user, grouped by kind: of many alike the first are said, and how many more there are."""

    def __init__(self) -> None:
        self._kinds: dict[str, list[str]] = {}

    def add(self, line: str, kind: str | None = None) -> None:
        self._kinds.setdefault(kind or line, []).append(line)

    def lines(self) -> list[str]:
        found = []
        for same in self._kinds.values():
            found += same[:_SHOWN]
            if len(same) > _SHOWN:
                found.append(f"... and {len(same) - _SHOWN} more lines like the last one")
        return found


@dataclass(frozen=True)
class Table:
    """`columns` as they are headed, in lower case with underscores; `rows` {column: text}, each with its line number
    under the key "". `headings`: of each column, what is written in the file."""

    path: Path
    columns: list[str] = field(default_factory=list)
    rows: list[dict[str, str]] = field(default_factory=list)
    headings: dict[str, str] = field(default_factory=dict)


def is_missing(text: str) -> bool:
    """Whether a cell says that nothing is known."""
    return text.strip().lower() in MISSING


def read_table(path: Path, said: Said) -> Table | None:
    """The table of a file; None where there is none to read. What is odd about it is told to `said`, a line each."""
    text = _text(path, said)
    if text is None:
        return None
    lines = [(n, line) for n, line in enumerate(re.split(r"\r\n|\r|\n", text), 1) if line.strip()]
    if not lines:
        said.add(f"{path}: empty; age and sex are unknown")
        return None
    header = lines[0][1]
    if len(lines) == 1:
        said.add(f"{path}: a header and no row; age and sex are unknown")
    separator = _separator(header)
    if separator != "\t":
        name = {",": "commas", ";": "semicolons", " ": "spaces"}[separator]
        said.add(f"{path}: columns are separated by {name} instead of tabs; read as such")
    headings = [_unquoted(cell) for cell in _split(header, separator, None)]
    columns = [re.sub(r"[\s\-]+", "_", heading.lower()) for heading in headings]
    table = Table(path, columns, [], dict(zip(reversed(columns), reversed(headings), strict=True)))
    table.rows.extend(_rows(path, lines[1:], columns, separator, said))
    return table


def _rows(
    path: Path, lines: list[tuple[int, str]], columns: list[str], separator: str, said: Said
) -> Iterator[dict[str, str]]:
    twice = {c for c in columns if columns.count(c) > 1}
    for number, line in lines:
        cells = [_unquoted(cell) for cell in _split(line, separator, len(columns))]
        while len(cells) > len(columns) and not cells[-1]:
            cells.pop()
        if len(cells) > len(columns) or (len(cells) < len(columns) and separator == " "):
            count = f"{len(cells)} columns where the header has {len(columns)}"
            said.add(f"{path}: line {number} has {count}; not read", "too many columns")
            continue
        if len(cells) < len(columns):
            count = f"{len(cells)} columns where the header has {len(columns)}"
            said.add(f"{path}: line {number} has {count}; the last ones are taken as missing", "too few columns")
        row = {"": str(number)}
        for column, cell in zip(columns, [*cells, *[""] * (len(columns) - len(cells))], strict=True):
            row.setdefault(column, cell)
            if column in twice and column != "participant_id" and row[column] != cell:
                row[column] = ""
        yield row
    for column in sorted(twice & {"participant_id", "age", "sex", "gender", "split", "session", "session_id"}):
        which = "the first counts" if column == "participant_id" else "rows in which they differ are taken as unknown"
        said.add(f"{path}: {columns.count(column)} columns are called {column}; {which}")


def _text(path: Path, said: Said) -> str | None:
    if not path.is_file():
        said.add(f"{path}: {absent(path)}; age and sex are unknown")
        return None
    try:
        data = path.read_bytes()
    except OSError as error:
        said.add(f"{path}: {(error.strerror or str(error)).lower()}; age and sex are unknown")
        return None
    if pointer(data):
        said.add(f"{path}: {UNFETCHED}; age and sex are unknown")
        return None
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    if data.count(b"\0"):
        said.add(f"{path}: not a table of text; age and sex are unknown")
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        said.add(f"{path}: not UTF-8; read as Latin-1 (Windows-1252)")
        return data.decode("cp1252", "replace")


def _separator(header: str) -> str:
    if "\t" in header:
        return "\t"
    for separator in (";", ",", " "):
        if separator in header.strip():
            return separator
    return "\t"


def _split(line: str, separator: str, wanted: int | None) -> list[str]:
    """The cells of a line. A quote is a quote only where that gives as many cells as there are columns."""
    plain = line.split() if separator == " " else line.split(separator)
    if '"' in line and len(plain) != wanted:
        try:
            quoted = next(csv.reader([line], delimiter=separator, skipinitialspace=separator == " ", strict=True))
        except (csv.Error, StopIteration):
            return plain
        if wanted in (None, len(quoted)):
            return quoted
    return plain


def _unquoted(cell: str) -> str:
    cell = cell.strip()
    if len(cell) > 1 and cell[0] == cell[-1] == '"':
        cell = cell[1:-1].replace('""', '"').strip()
    return cell


UNFETCHED = "its content has not been fetched (`datalad get`, `git annex get` or `git lfs pull` does that)"


def absent(path: Path) -> str:
    """Why there is no such file: "not there", or a link, as of git-annex, whose content is not."""
    return f"a link to a file that is not there; {UNFETCHED}" if path.is_symlink() else "not there"


def pointer(start: bytes) -> bool:
    """Whether a file's first bytes are what git-annex or Git LFS leave in place of the content."""
    return start.startswith((b"/annex/objects/", b"version https://git-lfs"))


def read_json(path: Path, said: Said) -> dict[str, Any]:
    """The object in a JSON file, {} where there is none; what is wrong with it is told to `said`."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError) as error:
        said.add(f"{path}: not readable as JSON ({' '.join(str(error).split())}); what it says of columns is unknown")
        return {}
    return found if isinstance(found, dict) else {}
