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

from diffx.errors import DataError
from diffx.io.files import what_blocks
from diffx.io.home import expanded, user_folder

__all__ = ["Arrays", "cache_folder", "cache_path", "cached"]

Arrays = dict[str, np.ndarray]


def cache_folder() -> Path:
    """``$DIFFX_CACHE``, else ``$XDG_CACHE_HOME/diffx``, else ``~/.cache/diffx``. Not made here.

    Raises DataError where the user has no home folder.
    """
    own = os.environ.get("DIFFX_CACHE")
    if own:
        return expanded(own)
    folder = user_folder("XDG_CACHE_HOME", ".cache")
    if folder is None:
        raise DataError("there is no home folder to cache data in: name a folder with DIFFX_CACHE")
    return folder / "diffx"


def cache_path(folder: str | None, *parts: str, plugin: str) -> Path:
    """Where a plugin keeps data that took it minutes to prepare: ``parts`` in ``folder``, or in the user's cache.

    Args:
        folder: what the option ``data.cache`` says; None for ``cache_folder() / plugin``.

    Raises DataError, which names the path, where nothing lies there yet and nothing can be written.
    """
    path = (expanded(folder) if folder else cache_folder() / plugin).joinpath(*parts)
    why = "" if os.path.exists(path) else what_blocks(path)
    if why:
        other = "data.cache=" if folder else "DIFFX_CACHE"
        raise DataError(f"{path}: the cache cannot be written, as {why}: name another folder with {other}")
    return path


def cached(name: str, key: str, make: Callable[[], Arrays]) -> Arrays:
    """What ``make()`` returns, kept in ``cache_folder() / name.npz``.

    Args:
        key: says what the arrays are: under another key they are stale, and made anew.

    A file that is damaged or stale is replaced; where nothing can be written the arrays are made each time. Nothing is
    unpickled, and a file appears whole or not at all.
    """
    try:
        path = cache_folder() / f"{name}.npz"
    except DataError:
        return make()
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {entry: file[entry] for entry in file.files}
        if str(arrays.pop("key", None)) == key:
            return arrays
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError):
        pass  # not there, or damaged (zipfile raises NotImplementedError for a header whose compression it cannot read)
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
