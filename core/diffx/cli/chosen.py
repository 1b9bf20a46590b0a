"""From the key=value words of a command line to a plugin and its configuration, without importing the plugin."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from diffx.config import RunConfig, last_given, resolve
from diffx.config.parse import TRUE
from diffx.errors import UsageError, did_you_mean
from diffx.io.home import expanded
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
    name = last_given(words, "plugin") or _in_file(last_given(words, "config"), "plugin") or _of_run(words)
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
    """The configuration that the words ask for; with resume=true that of the run, and the words over it.

    Raises UsageError with a line for each problem.
    """
    manifest = chosen.manifest
    words = [word for word in words if word.partition("=")[0] != "plugin"]
    folder = _resumed(manifest.name, words)
    own = folder / "config.yaml" if folder else None
    hints: list[str] = []
    cfg = resolve(
        chosen.config_type,
        overrides=[f"plugin={manifest.name}", *words, *([f"out={folder}"] if folder else [])],
        base=own if own and own.is_file() else None,
        presets=manifest.presets,
        tasks=manifest.tasks,
        default_task=manifest.default_task,
        hints=hints,
    )
    for hint in hints:
        print(f"diffx: hint: {hint}", file=sys.stderr)
    return cfg


def _resumed(plugin: str, words: Sequence[str]) -> Path | None:
    """The folder of the run that is to go on, None for a new run."""
    config = last_given(words, "config")

    def asked(key: str) -> str | None:
        return last_given(words, key) or _in_file(config, key)

    if (asked("resume") or "").lower() not in TRUE:
        return None
    from diffx.run.location import resumed

    return resumed(plugin, asked("task"), asked("out"))


def _of_run(words: Sequence[str]) -> str | None:
    """The plugin of the run in out=, where that is to go on."""
    out = last_given(words, "out")
    if out is None or (last_given(words, "resume") or "").lower() not in TRUE:
        return None
    own = expanded(out) / "config.yaml"
    return _in_file(str(own), "plugin") if own.is_file() else None


def _in_file(file: str | None, key: str) -> str | None:
    """The text of a key at the top of a configuration file. Raises UsageError where the file cannot be read."""
    if file is None:
        return None
    try:
        text = read_mapping(file).get(key)
    except ValueError as error:
        raise UsageError(f"config={error}") from error
    return text if isinstance(text, str) else None
