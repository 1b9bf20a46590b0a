"""Names of cached files: another name as soon as what they were made from is another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def cache_key(*options: Any, files: Iterable[str | Path | None] = ()) -> str:
    """16 hex digits that change with the options and with the place, size and time of change of each file.

    Args:
        options: anything with a ``repr`` or a JSON form that is the same each time: format, grid, seed, a digest.
        files: what is read, in order; None is skipped.

    A file that is not there, such as content that git-annex has not fetched, counts as absent: the key changes when it
    comes.
    """
    sha = hashlib.sha256(json.dumps(options, default=repr, sort_keys=True).encode())
    for path in (Path(file) for file in files if file is not None):
        try:
            facts = path.stat()
            told = f"{path.resolve()} {facts.st_size} {facts.st_mtime_ns}"
        except OSError:
            told = f"{path} absent"
        sha.update(f"{told}\n".encode())
    return sha.hexdigest()[:16]
