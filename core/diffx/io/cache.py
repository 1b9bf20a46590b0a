"""The user's cache folder: numbers that take a moment to make and never change."""

from __future__ import annotations

import contextlib
import os
import secrets
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

__all__ = ["Arrays", "cache_folder", "cached"]

Arrays = dict[str, np.ndarray]


def cache_folder() -> Path:
    """``$DIFFX_CACHE``, else ``$XDG_CACHE_HOME/diffx``, else ``~/.cache/diffx``. Not made here."""
    own = os.environ.get("DIFFX_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "diffx"


def cached(name: str, key: str, make: Callable[[], Arrays]) -> Arrays:
    """What ``make()`` returns, kept in ``cache_folder() / name.npz``.

    Args:
        key: says what the arrays are: under another key they are stale, and made anew.

    A file that is damaged or stale is replaced; where nothing can be written the arrays are made each time. Nothing is
    unpickled, and a file appears whole or not at all.
    """
    path = cache_folder() / f"{name}.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {entry: file[entry] for entry in file.files}
        if str(arrays.pop("key", None)) == key:
            return arrays
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError):
        pass  # not there, or damaged
    arrays = make()
    part = path.with_name(f".part-{secrets.token_hex(4)}-{path.name}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as handle:
                np.savez(handle, **{**arrays, "key": np.array(key)})  # type: ignore[arg-type]
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    return arrays
