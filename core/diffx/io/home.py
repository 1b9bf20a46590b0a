"""Folders of the user, where there are any: a container's user may have no home."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["expanded", "user_folder"]


def expanded(path: str | Path) -> Path:
    """The path with `~` for the user's home folder; as it is where nobody knows one, as a shell leaves it."""
    return Path(os.path.expanduser(path))


def user_folder(variable: str, below_home: str) -> Path | None:
    """The folder that an environment variable names, or else one below the home folder.

    None where there is neither: in a container whose user has no entry in /etc/passwd and no HOME.
    """
    named = os.environ.get(variable)
    if named:
        return expanded(named)
    folder = expanded(Path("~", below_home))
    return None if folder.parts[:1] == ("~",) else folder
