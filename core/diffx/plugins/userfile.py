"""What the user decided about plugins: one file that outlives the environment. What to install again, what to block."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

from diffx.errors import PluginError
from diffx.io.home import expanded, user_folder
from diffx.io.yamltext import read_mapping

HEAD = "# Written by diffx plugins install, remove, block and unblock; may be edited.\n"


class Choices(NamedTuple):
    """`installed`: distribution -> the words pip gets for it; `blocked`: plugin or distribution -> why."""

    installed: Mapping[str, tuple[str, ...]] = {}
    blocked: Mapping[str, str] = {}


def choices_file() -> Path | None:
    """`plugins.yaml` in the folder that DIFFX_CONFIG names, or else in diffx/ of the user's configuration folder.

    None where the user has no home folder.
    """
    named = os.environ.get("DIFFX_CONFIG")
    if named:
        return expanded(named) / "plugins.yaml"
    folder = user_folder("APPDATA" if os.name == "nt" else "XDG_CONFIG_HOME", ".config")
    return folder and folder / "diffx" / "plugins.yaml"


def where_choices() -> str:
    """The path of the user's list, for help and messages."""
    return str(choices_file() or "nowhere: there is no home folder (DIFFX_CONFIG names another)")


def read_choices() -> Choices:
    """The user's choices; none where there is no file. Raises PluginError, which names the file, where it is wrong.

    A file of somebody else's, in a home folder that this process may not read, is no list of this user's.
    """
    path = choices_file()
    if path is None or not _is_mine(path):
        return Choices()
    try:
        tree = read_mapping(path)
    except ValueError as error:
        raise PluginError(f"{error} (your list of plugins; mend or remove it)") from error
    installed, blocked = tree.get("installed") or {}, tree.get("blocked") or {}
    if set(tree) - {"installed", "blocked"} or not isinstance(installed, dict) or not isinstance(blocked, dict):
        raise PluginError(f"{path}: expected the mappings 'installed' and 'blocked'")
    for name, words in installed.items():
        if not (isinstance(words, list) and words and all(isinstance(word, str) for word in words)):
            raise PluginError(f"{path}: installed: {name}: expected a list of words for pip")
    for name, reason in blocked.items():
        if not isinstance(reason, str | None):
            raise PluginError(f"{path}: blocked: {name}: expected one line that says why")
    return Choices(
        {name: tuple(words) for name, words in installed.items()},
        {name: reason or "no reason given" for name, reason in blocked.items()},
    )


def write_choices(choices: Choices) -> None:
    """Replace the file, whole or not at all. Raises PluginError where it cannot be written."""
    path = choices_file()
    if path is None:
        raise PluginError("there is no home folder to keep your list of plugins in: name a folder with DIFFX_CONFIG")
    tree = {"installed": {k: list(v) for k, v in choices.installed.items()}, "blocked": dict(choices.blocked)}
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(HEAD + yaml.safe_dump(tree, allow_unicode=True, width=1000), encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise PluginError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _is_mine(path: Path) -> bool:
    named = bool(os.environ.get("DIFFX_CONFIG"))  # then it is meant, whoever owns it
    try:
        owner = path.stat().st_uid
    except OSError as error:
        return named and isinstance(error, PermissionError)
    return named or os.access(path, os.R_OK) or owner == os.getuid()
