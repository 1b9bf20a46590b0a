"""`diffx _complete LINE`: the words that may stand at the end of a line, one a line. Called by the shells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from diffx.errors import DiffxError

SUBVERBS = {
    "plugins": ("list", "info", "new", "check", "install", "remove", "block", "unblock", "hooks"),
    "config": ("show", "copy"),
    "weights": ("list", "verify"),
    "runs": ("list", "compare", "open", "clean"),
    "completion": ("bash", "zsh", "fish"),
}


def main(words: Sequence[str]) -> int:
    try:
        found = candidates(words[0] if words else "")
    except DiffxError:  # nothing to offer for a plugin that is broken
        found = []
    print("\n".join(found))
    return 0


def candidates(line: str) -> list[str]:
    """What the last word of `line` ("diffx run plugin=m") may become. Raises PluginError for a broken plugin."""
    from diffx.cli import VERBS

    words = line.split()
    if not words or not line[-1].isspace():
        current, before = (words[-1], words[1:-1]) if words else ("", [])
    else:
        current, before = "", words[1:]
    if not before:
        options: Iterable[str] = VERBS
    elif before[0] in SUBVERBS and len(before) == 1:
        options = SUBVERBS[before[0]]
    elif before[0] == "plugins":
        options = _of_plugins(before[1])
    elif before[0] == "weights":
        from diffx.plugins.weights import shipped

        options = [w.id for w in shipped()]
    elif before[0] == "docs":
        from diffx.cli.docs import pages

        options = pages()
    elif before[0] in ("run", "config", "doctor"):
        options = _values(before, current)
    else:
        options = ()
    return sorted(word for word in options if word.startswith(current))


def _of_plugins(verb: str) -> Iterable[str]:
    from diffx.plugins.registry import discover
    from diffx.plugins.userfile import read_choices

    if verb == "unblock":
        return read_choices().blocked
    return [found.name for found in discover()] if verb in ("info", "check", "remove", "block") else ()


def _plugin_names() -> list[str]:
    from diffx.plugins.registry import discover

    return [found.name for found in discover() if not found.error]


def _values(before: Sequence[str], current: str) -> list[str]:
    from diffx.config import last_given

    name = last_given(before, "plugin")
    if name is None or before[0] == "doctor":
        return [f"plugin={known}" for known in _plugin_names()]
    from diffx.config import schema
    from diffx.plugins.loader import config_type
    from diffx.plugins.registry import find, manifest_of

    found = find(name)
    manifest = manifest_of(found)
    key, equals, _ = current.partition("=")
    options = schema(config_type(found)).options
    if not equals:
        return [f"{known}=" for known in options if known != "plugin"]
    from diffx.plugins.weights import shipped

    ids = [w.id for w in shipped() if w.plugin == name]
    named: dict[str, Iterable[str]] = {"task": manifest.tasks, "preset": manifest.presets, "from": ids}
    if key in named:
        values = named[key]
    elif key in options and options[key].choices:
        values = map(str, options[key].choices or ())
    elif key in options and options[key].type is bool:
        values = ("true", "false")
    else:
        values = ()
    return [f"{key}={value}" for value in values]
