"""How a text file of a table is written: separator, decimal sign, header."""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffx.errors import DataError

from .numerals import decimal_of, is_number
from .options import Options

_OPEN: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_SEPARATORS = {"\t": "tab", ";": "semicolon", "|": "bar", ",": "comma", r"\s+": "space"}
_LINES = 40  # that separator and header are told from; the decimal sign takes all of the head
_DATE = re.compile(r"^\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|^\d\d?:\d\d")


@dataclass(frozen=True)
class Dialect:
    """``names``: of the columns of a file without a header, "1", "2", ...; None where there is one. ``decimal``: None
    where the head of the file does not show it."""

    separator: str
    decimal: str | None
    skip: int
    names: list[str] | None
    encoding: str


def head(path: Path) -> tuple[list[str], str]:
    """The lines of the first 256 KiB, and the encoding. DataError for a file that is no text."""
    try:
        with _OPEN.get(path.suffix.lower(), open)(path, "rb") as file:
            raw = file.read(256 * 1024)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise DataError(f"{path.name}: not readable ({error})") from None
    if b"\0" in raw or raw[:2] == b"PK":
        raise DataError(f"{path.name}: not a text file; save the table as CSV")
    for encoding in ("utf-8-sig", "latin-1"):
        try:
            text = raw[: raw.rfind(b"\n") + 1 or len(raw)].decode(encoding)
            return text.splitlines(), encoding
        except UnicodeDecodeError:
            continue
    raise AssertionError("latin-1 decodes everything")


def sniff(path: Path, options: Options) -> Dialect:
    """Separator, decimal sign and header of a CSV file. DataError where no separator makes columns."""
    lines, encoding = head(path)
    skip = next((i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), len(lines))
    said = re.fullmatch(r'"?sep=(.)"?', lines[skip].strip()) if skip < len(lines) else None  # as Excel writes it
    skip += 1 if said else 0
    body = [line for line in lines[skip:] if line.strip()]
    if not body:
        raise DataError(f"{path.name}: the file is empty")
    separator = options.separator or (said[1] if said else _separator(body[:_LINES]))
    rows = [_split(line, separator) for line in body] if separator else []
    if separator is None or max(map(len, rows[:_LINES])) < 2:
        asked = f"the separator {options.separator!r}" if options.separator else "none of tab ; | , and space"
        raise DataError(
            f"{path.name}: {asked} makes columns of {body[0][:60]!r}; {options.spelt('separator')} says which does"
        )
    signs = {decimal_of(field) for row in rows[1:] or rows for field in row} - {None}
    headless = any(is_number(field) or _DATE.match(field) for field in rows[0])
    names = [str(i + 1) for i in range(len(rows[0]))] if headless else None
    decimal = options.decimal or (signs.pop() if len(signs) == 1 else None)
    return Dialect(separator, decimal, skip, names, encoding)


def _separator(body: list[str]) -> str | None:
    """The first that cuts every line into as many fields, two at least."""
    for separator in _SEPARATORS:
        counts = {len(_split(line, separator)) for line in body}
        if len(counts) == 1 and counts.pop() >= 2:
            return separator
    return None


def _split(line: str, separator: str) -> list[str]:
    if separator == r"\s+":
        parts = line.split()
    elif len(separator) == 1:
        parts = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    else:
        parts = line.split(separator)
    return [part.strip().strip('"') for part in parts]
