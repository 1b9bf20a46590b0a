"""What can be said of a plugin without torch: its manifest, options and module; `diffx.checks.contract` goes on."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from diffx.config import resolve, schema
from diffx.config.parse import Mismatch, check
from diffx.errors import DiffxError
from diffx.plugins.loader import Plugins, config_type, function_of, is_extension
from diffx.plugins.registry import Found, manifest_of
from diffx.plugins.weights import shipped, verify

HEAVY = ("torch", "numpy", "monai", "torchaudio", "rdkit", "pandas", "scipy", "nibabel", "matplotlib")


def check_manifest(found: Found) -> Iterator[str]:
    """What is wrong with a plugin's metadata and the weights it ships, a line each."""
    if found.error:
        yield found.error
        return
    for weights in shipped():
        if (weights.plugin, weights.distribution) == (found.name, found.distribution):
            try:
                verify(weights)
            except DiffxError as error:
                yield str(error)


def check_config(found: Found) -> Iterator[str]:
    """What is wrong with its options: the class, the defaults, the presets, and what importing it drags in."""
    manifest = manifest_of(found)
    if is_extension(found):
        return
    before = {name for name in HEAVY if name in sys.modules}
    kind = config_type(found)
    yield from _heavy(manifest.config or f"{manifest.module} (the manifest names no config)", before, "`--help`")
    if manifest.check:
        before = {name for name in HEAVY if name in sys.modules}
        function_of(found, manifest.check)
        yield from _heavy(manifest.check, before, "mistyped path")
    for option in schema(kind).options.values():
        try:
            check(option, option.default)
        except Mismatch as error:
            yield f"the default {option.key}={option.default} is not allowed: {error}"
    for name in [None, *manifest.presets]:
        try:
            resolve(kind, preset=name, presets=manifest.presets)
        except DiffxError as error:
            for line in str(error).splitlines():
                yield f"preset {name}: {line.removeprefix('preset: ')}" if name else line


def _heavy(what: str, before: set[str], who: str) -> Iterator[str]:
    heavy = [name for name in HEAVY if name in sys.modules and name not in before]
    if heavy:
        yield f"importing {what} imports {', '.join(heavy)}: every {who} and every typo would wait for it"


def check_import(found: Found) -> Iterator[str]:
    """What is wrong with its module: import, hooks, tasks."""
    from diffx.plugins.hookspecs import MUST

    manifest = manifest_of(found)
    plugins = Plugins(found.name)
    must = () if is_extension(found) else MUST
    lacking = [hook for hook in must if not plugins.has(hook) and not (hook == "diffx_config" and manifest.config)]
    if lacking:
        yield f"does not answer {', '.join(lacking)}"
    for name in manifest.tasks:
        try:
            plugins.task(name)
        except DiffxError as error:
            yield str(error)
    for name in plugins.own("diffx_tasks"):
        if name not in manifest.tasks:
            yield f"its code has a task {name!r} that its manifest does not name"


def hints(found: Found) -> Iterator[str]:
    """What still works and will not in the next version of the plugin API, a line each."""
    if not found.error:
        for name, function in Plugins(found.name).own("diffx_tasks").items():
            reference = f"{getattr(function, '__module__', 'package.module')}:{getattr(function, '__name__', name)}"
            yield f'diffx_tasks is going: write tasks: {{{name}: {{run: "{reference}", help: ...}}}} in the manifest'


LEVELS = {"manifest": check_manifest, "configuration": check_config, "import": check_import}
