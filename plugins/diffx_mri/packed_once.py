"""The packed slices of a BIDS folder: made the first time, read from the cache after that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from diffx.errors import UsageError
from diffx.io.home import expanded

from .bids import known, sessions


class Packed(Protocol):
    """``failed``: sessions that could not be packed, and why."""

    failed: list[list[str]]


P = TypeVar("P", bound=Packed)


def packed_once(
    source: str | None,
    place: Callable[[Path], Path],
    pack: Callable[[Path, Path], object],
    read: Callable[[Path], P],
    log: Callable[[str], None],
    fail: Callable[[str, str], None],
) -> tuple[P, Path]:
    """What was packed of ``data.root``, now or before, and its file. What the folder lacks is told each time.

    Args:
        source: ``data.root``: a BIDS folder, or a packed file.
        place: where the packed file of a folder lies.
        pack: packs a folder into a file; tells of what is lacking itself.
        read: reads a packed file.
        log: is told of problems with the folder's tables.
        fail: is told of sessions that could not be packed, ``(item, reason)``.

    Raises:
        UsageError: no source.
        DataError: of ``pack`` and ``read``.
    """
    if not source:
        raise UsageError("data.root= says which BIDS folder, or which packed file, to read")
    root = expanded(source)
    file = root if root.is_file() else place(root)
    new = not file.is_file()
    if new:
        log(f"packed slices are kept in {file}")
        pack(root, file)
    found = read(file)
    if not new and not root.is_file():
        for problem in known(root, sessions(root))[1]:
            log(problem)
        for item, reason in found.failed:
            fail(item, reason)
    return found, file
