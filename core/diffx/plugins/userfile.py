"""What the user decided about plugins: one file that outlives the environment. What to install again, what to block."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

from diffx.errors import PluginError
from diffx.io.yamltext import read_mapping

HEAD = "# Written by diffx plugins install, remove, block and unblock; may be edited.\n"


class Choices(NamedTuple):
    """`installed`: distribution -> the words pip gets for it; `blocked`: plugin or distribution -> why."""

    installed: Mapping[str, tuple[str, ...]] = {}
    blocked: Mapping[str, str] = {}


def choices_file() -> Path:
    """`plugins.yaml` in the folder that DIFFX_CONFIG names, or else in diffx/ of the user's configuration folder."""
    named = os.environ.get("DIFFX_CONFIG")
    if named:
        return Path(named).expanduser() / "plugins.yaml"
    home = os.environ.get("APPDATA" if os.name == "nt" else "XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "diffx" / "plugins.yaml"


def read_choices() -> Choices:
    """The user's choices; none where there is no file. Raises PluginError, which names the file, where it is wrong."""
    path = choices_file()
    if not path.is_file():
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
    tree = {"installed": {k: list(v) for k, v in choices.installed.items()}, "blocked": dict(choices.blocked)}
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(HEAD + yaml.safe_dump(tree, allow_unicode=True, width=1000), encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise PluginError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if partial.exists():
            partial.unlink()
