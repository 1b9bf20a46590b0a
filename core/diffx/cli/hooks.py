"""The reference of the hooks, made from their signatures and docstrings in `diffx.plugins.hookspecs`."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from diffx.plugins.hookspecs import HOOKS, MUST

HEAD = """# Hooks

Made from `core/diffx/plugins/hookspecs.py` by `diffx plugins hooks`. [Plugins](../guides/plugins.md) explains how to
use them.

A plugin is a module with functions of these names, each marked `@diffx.hookimpl`. A function may leave out arguments
that it does not need. Names that begin with `diffx_` are kept for hooks; one that does not exist is refused with the
name that was probably meant.

An error of the classes in `diffx` (`DataError`, `UsageError`, ...) reaches the user as its one line. Any other error in
a hook becomes one line with the plugin, its distribution and version, the hook and the cause, and exit code 3.
"""


def reference() -> str:
    """The page docs/reference/hooks.md."""
    first = [name for name, hook in HOOKS.items() if hook.diffx_spec["firstresult"] and name not in MUST]
    collected = [name for name in HOOKS if name not in MUST and name not in first]
    sections = (
        ("A plugin must answer", "An extension, which only adds to other plugins, need not.", MUST),
        ("A plugin may answer", "The first of plugin, extensions and core whose answer is not None counts.", first),
        ("Collected from all", "Of the plugin, its extensions in their order and the core, in this order.", collected),
    )
    return "\n".join([HEAD, *(_section(*section) for section in sections)])


def signature(name: str) -> str:
    """`diffx_data(cfg: RunConfig, split: str) -> Any`."""
    return f"{name}{inspect.signature(HOOKS[name])}".replace("'", "")


def _section(title: str, line: str, names: Iterable[str]) -> str:
    entries = [f"### {name}\n\n    {signature(name)}\n\n{inspect.getdoc(HOOKS[name])}\n" for name in names]
    return "\n".join([f"## {title}\n\n{line}\n", *entries])
