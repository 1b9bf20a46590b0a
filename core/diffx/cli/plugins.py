"""`diffx plugins list|info|check`: what is installed. Only check imports any of it, in a clean process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from diffx.cli.words import Parser, columns, subverb
from diffx.errors import PluginError
from diffx.registry import Found, discover, find, install_hint, manifest_of, missing_requirements

KNOWN = {
    "list": "every plugin, the broken ones with the reason (the default)",
    "info": "one plugin: tasks, presets, weights, requirements",
    "check": "examine one plugin as its author would: manifest, configuration, import",
}


def main(words: Sequence[str]) -> int:
    name, rest = subverb(words, "plugins", KNOWN, default="list")
    parser = Parser(prog=f"diffx plugins {name}", description=KNOWN[name])
    if name == "list":
        parser.add_argument("--json", action="store_true", help="print JSON")
        return _list(as_json=parser.parse_args(rest).json)
    if name == "check":
        parser.epilog = (
            "levels: the manifest parses and its weights are whole; the options and every preset resolve, and\n"
            "importing them brings in no heavy package; the module imports, its hooks are known, the needed ones are\n"
            "there, and its tasks are those of the manifest. All this in a clean process. What the hooks return is\n"
            "not examined."
        )
    parser.add_argument("plugin", help="its name, as diffx plugins lists it")
    plugin = parser.parse_args(rest).plugin.removeprefix("plugin=")
    return _info(find(plugin)) if name == "info" else _check(plugin)


def _state(found: Found) -> str:
    if found.error:
        return found.error
    missing = missing_requirements(manifest_of(found))
    return f"needs {', '.join(missing)}: {install_hint(found)}" if missing else "ready"


def _list(*, as_json: bool) -> int:
    plugins = discover()
    if as_json:
        import json

        rows = [
            {
                "name": f.name,
                "distribution": f.distribution,
                "version": f.version,
                "summary": f.manifest.summary if f.manifest else "",
                "state": _state(f),
                "usable": not f.error and not missing_requirements(manifest_of(f)),
            }
            for f in plugins
        ]
        print(json.dumps(rows, indent=2))
        return 0
    if not plugins:
        print("no plugins are installed")
        return 0
    usable = [f for f in plugins if not f.error]
    broken = [f for f in plugins if f.error]
    print(columns([(f.name, f"{f.distribution} {f.version}", _state(f), manifest_of(f).summary) for f in usable]))
    if broken:
        print("\nnot usable:")
        print(columns([(f.name, f"{f.distribution} {f.version}", f.error) for f in broken], indent=2))
    return 0


def _info(found: Found) -> int:
    manifest = manifest_of(found)
    rows = [
        ("name", manifest.name),
        ("summary", manifest.summary),
        ("distribution", f"{found.distribution} {found.version}"),
        ("module", manifest.module),
        ("configuration", manifest.config or "asked of the module"),
        ("plugin API", manifest.api),
        ("requires", ", ".join(manifest.requires) or "nothing more"),
        ("state", _state(found)),
    ]
    default = manifest.default_task
    rows += [("task", f"{n}: {line}{' (default)' if n == default else ''}") for n, line in manifest.tasks.items()]
    rows += [("preset", n) for n in manifest.presets]
    rows += [("weights", f"{n}: {w.bytes / 1e6:.1f} MB, {w.licence}") for n, w in manifest.weights.items()]
    print(columns(rows))
    print(f"\ndiffx run plugin={manifest.name} --help lists its options.")
    return 0


def _check(name: str) -> int:
    if name not in {found.name for found in discover()}:
        find(name)  # says what is meant
    code = subprocess.run([sys.executable, "-m", "diffx.check", name], check=False).returncode
    if code < 0:
        raise PluginError(f"plugin {name!r} ended the process that imported it (signal {-code})")
    return code
