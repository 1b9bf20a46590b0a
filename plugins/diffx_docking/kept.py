"""Searches that are kept in files, so that another ranking of the same poses does not search again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from diffx.io import checkpoint

from .search import Found


def kept(path: Path, asked: Mapping[str, Any], search: Callable[[], Found]) -> Found:
    """What a search found, from the file if that holds an answer to the same question; otherwise it is made and kept.

    Args:
        path: of the file.
        asked: all that the poses depend on: options and seed.
        search: of one box.
    """
    if path.exists():
        tensors, meta = checkpoint.load(path)
        if {name: meta.get(name) for name in asked} == asked:
            return Found(tensors["positions"], tensors["energies"], spent=tuple(meta["spent"]))
    found = search()
    meta = {"kind": "searched poses", "spent": list(found.spent), **asked}
    checkpoint.save(path, {"positions": found.positions, "energies": found.energies}, meta)
    return found
