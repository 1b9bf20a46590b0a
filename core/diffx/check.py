"""`python -m diffx.check NAME`: examine one plugin, level by level; `diffx plugins check` starts it afresh."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from diffx.config import resolve, schema
from diffx.config.parse import Mismatch, check
from diffx.errors import DiffxError, PluginError
from diffx.plugins import Plugins, config_type
from diffx.registry import Found, discover, manifest_of
from diffx.weights import shipped, verify

HEAVY = ("torch", "numpy", "monai", "torchaudio", "rdkit", "pandas", "scipy", "nibabel", "matplotlib")


def check_manifest(found: Found) -> Iterator[str]:
    """What is wrong with a plugin's metadata and the weights it ships, a line each."""
    if found.error:
        yield found.error
        return
    for weights in shipped():
        if weights.plugin == found.name:
            try:
                verify(weights)
            except DiffxError as error:
                yield str(error)


def check_config(found: Found) -> Iterator[str]:
    """What is wrong with its options: the class, the defaults, the presets, and what importing it drags in."""
    manifest = manifest_of(found)
    before = {name for name in HEAVY if name in sys.modules}
    kind = config_type(found)
    heavy = [name for name in HEAVY if name in sys.modules and name not in before]
    if heavy:
        what = manifest.config or f"{manifest.module} (the manifest names no config)"
        yield f"importing {what} imports {', '.join(heavy)}: every `--help` and every typo would wait for it"
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


def check_import(found: Found) -> Iterator[str]:
    """What is wrong with its module: import, hooks, tasks."""
    from diffx.hookspecs import MUST

    manifest = manifest_of(found)
    plugins = Plugins(found.name)
    lacking = [hook for hook in MUST if not plugins.has(hook) and not (hook == "diffx_config" and manifest.config)]
    if lacking:
        yield f"does not answer {', '.join(lacking)}"
    tasks = plugins.tasks()
    for name in manifest.tasks:
        if name not in tasks:
            yield f"its manifest names a task {name!r} that its code does not have"
    for name in plugins.own_tasks():
        if name not in manifest.tasks:
            yield f"its code has a task {name!r} that its manifest does not name"


LEVELS = {"manifest": check_manifest, "configuration": check_config, "import": check_import}


def main(name: str) -> int:
    """Print a line for each level; the exit code is that of the first problem, 0 where there is none."""
    found = next(found for found in discover() if found.name == name)
    for level, examine in LEVELS.items():
        code = PluginError.exit_code
        try:
            wrong = list(examine(found))
        except DiffxError as error:
            wrong, code = str(error).splitlines(), error.exit_code
        if wrong:
            print(f"{level:<15}not ok", flush=True)
            for line in wrong:
                print(f"diffx: error: {line if found.label in line else f'{found.label}: {line}'}", file=sys.stderr)
            return code
        print(f"{level:<15}ok", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
