"""From the key=value words of a command line to a plugin and its configuration, without importing the plugin."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

from diffx.config import RunConfig, last_given, resolve
from diffx.errors import UsageError, did_you_mean
from diffx.io.yamltext import read_mapping
from diffx.plugins.loader import config_type
from diffx.plugins.manifest import Manifest
from diffx.plugins.registry import Found, discover, find, manifest_of


class Chosen(NamedTuple):
    """A usable plugin, its manifest and the class of its options."""

    found: Found
    manifest: Manifest
    config_type: type[RunConfig]


def choose(words: Sequence[str], verb: str) -> Chosen:
    """The plugin that `plugin=` names, or the file of `config=`. Raises UsageError, PluginError."""
    name = last_given(words, "plugin") or _from_file(words)
    if not name:
        known = [found.name for found in discover()]
        for word in words:
            if word in known:
                raise UsageError(f"{word}: expected plugin={word}")
            key = word.partition("=")[0]
            if key != "plugin" and "plugin" in did_you_mean(key, ["plugin"]):
                raise UsageError(f"{word}: unknown option; did you mean 'plugin'?")
        raise UsageError(f"which plugin? diffx {verb} plugin=NAME (installed: {', '.join(known) or 'none'})")
    found = find(name)
    return Chosen(found, manifest_of(found), config_type(found))


def configure(chosen: Chosen, words: Sequence[str]) -> RunConfig:
    """The configuration that the words ask for. Raises UsageError with a line for each problem."""
    manifest = chosen.manifest
    words = [word for word in words if word.partition("=")[0] != "plugin"]
    hints: list[str] = []
    cfg = resolve(
        chosen.config_type,
        overrides=[f"plugin={manifest.name}", *words],
        presets=manifest.presets,
        tasks=manifest.tasks,
        default_task=manifest.default_task,
        hints=hints,
    )
    for hint in hints:
        print(f"diffx: hint: {hint}", file=sys.stderr)
    return cfg


def _from_file(words: Sequence[str]) -> str | None:
    file = last_given(words, "config")
    if file is None:
        return None
    try:
        name = read_mapping(file).get("plugin")
    except ValueError as error:
        raise UsageError(f"config={error}") from error
    return name if isinstance(name, str) else None
