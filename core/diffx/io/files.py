"""Files that appear whole or not at all: write beside the target, then rename."""

from __future__ import annotations

import json
import math
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

__all__ = ["append_line", "atomic", "atomic_folder", "plain", "read_lines", "write_json", "write_text"]


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the place of `path` when the block ends without an error.

    The temporary name ends in the target's own name, so that writers which go by the extension (nibabel, Pillow)
    do the same as they would for the target. When the block raises, the temporary file is removed and whatever
    stood at `path` before is untouched. A symbolic link is followed: its target is what is replaced.

    Raises FileNotFoundError when the block wrote nothing.
    """
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _part(target)
    try:
        yield part
        if not part.is_file():
            raise FileNotFoundError(f"nothing was written for {target}")
        with open(part, "rb+") as handle:
            os.fsync(handle.fileno())  # the rename must never become durable before the content
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str], replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; it becomes `path` when the block ends without an error.

    Raises FileExistsError, before anything is written, when `path` is a file, or a folder that holds something and
    `replace` is false. With `replace` the old folder is moved aside first and comes back should the rename fail.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not (target.is_dir() and (replace or not any(target.iterdir()))):
        raise FileExistsError(f"{target} exists already")
    target.parent.mkdir(parents=True, exist_ok=True)
    part, old = _part(target), _part(target)
    part.mkdir()
    try:
        yield part
        if target.exists():
            target.rename(old)
        try:
            part.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def what_blocks(path: Path) -> str:
    """Why nothing can be made at `path`, as far as can be told without trying; "" where it can."""
    nearest = next((p for p in (path, *path.parents) if os.path.exists(p)), Path())
    if not nearest.is_dir():
        return f"{nearest} is a file"
    return "" if os.access(nearest, os.W_OK | os.X_OK) else f"{nearest} is not writable"


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text, whole or not at all. Bytes of a file's name that are not UTF-8 are written as escapes."""
    with atomic(path) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `plain(value)` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def plain(value: Any, finite: bool = True) -> Any:
    """`value` in JSON's own types.

    Args:
        value: None, bool, int, float, Decimal, Fraction, str, paths, members of an enum, dates and times, mappings,
            sequences, sets, dataclasses, and whatever has `tolist()`: NumPy scalars and arrays, tensors on any device.
        finite: numbers that are not finite become None, as JSON has no word for them; else they stay.

    Raises:
        TypeError: anything else.
    """
    if isinstance(value, Enum):
        return plain(value.value, finite)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | Decimal | Fraction):
        return float(value) if math.isfinite(value) or not finite else None
    if isinstance(value, Mapping):
        return {str(plain(key, finite)): plain(item, finite) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, finite) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(item, finite) for item in value), key=repr)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if hasattr(value, "tolist"):
        return plain(value.tolist(), finite)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name), finite) for field in fields(value)}
    raise TypeError(f"cannot write {type(value).__name__} as JSON")


def append_line(path: str | os.PathLike[str], line: str) -> None:
    """Append one line and hand it to the system at once, so that a kill later on loses nothing.

    A last line torn by an earlier kill is closed first, so that it cannot swallow the new one.
    """
    with open(path, "ab+") as handle:
        if handle.tell() > 0:
            handle.seek(-1, os.SEEK_END)
            if handle.read(1) != b"\n":
                handle.write(b"\n")
        handle.write(line.encode("utf-8", "backslashreplace") + b"\n")


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The object that a JSON file holds, {} when there is none that can be read."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read_lines(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file, [] when it is not there; lines torn by a kill are left out."""
    found = []
    if os.path.exists(path):
        for line in Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                item = json.loads(line)
            except ValueError:
                continue
            if isinstance(item, dict):
                found.append(item)
    return found


def _part(target: Path) -> Path:
    return target.with_name(f".part-{secrets.token_hex(4)}-{target.name}")
