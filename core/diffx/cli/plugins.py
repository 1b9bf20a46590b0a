"""`diffx plugins ...`: what is installed, and what the user decides about it. No plugin's code runs here.

Only check imports one, in a clean process of its own.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence

from diffx.cli.layout import columns, paragraphs
from diffx.cli.words import Parser, print_json, subverb
from diffx.errors import PluginError
from diffx.plugins.manifest import Manifest
from diffx.plugins.packs import installed
from diffx.plugins.registry import Found, discover, find, install_hint, manifest_of, missing_requirements
from diffx.plugins.userfile import read_choices

KNOWN = {
    "list": "every plugin, the broken ones with the reason (the default)",
    "info": "one plugin: tasks, presets, weights, requirements",
    "new": "write a plugin of your own, complete and tested: diffx plugins new NAME [FOLDER]",
    "check": "examine one plugin as its author would: manifest, configuration, import, contract",
    "install": "install plugins with pip - names, folders or wheels - and remember them",
    "remove": "uninstall what brings a plugin, and forget it",
    "block": "never load a plugin, or anything of a distribution: diffx plugins block NAME [REASON]",
    "unblock": "load it again",
    "hooks": "the reference of the hooks",
}
LEVELS = {
    "manifest": "it parses, and the weights it names are whole",
    "configuration": "the options and every preset resolve; importing them brings in no heavy package",
    "import": "the module imports, its hooks are known, the needed ones are there, its tasks are the manifest's",
    "contract": "on the CPU and small: data the same when asked again and of one form, weights that can be saved, "
    "three training steps, Ctrl-C and resume=true with the same weights at the end, two sampling steps, files; "
    "samplers, schedules, networks and loggers where the answer is known",
}
CHECKED = """The first three run in a clean process without torch. Where the plugin brings no data, say where some are:
diffx plugins check NAME data.root=FOLDER"""


def main(words: Sequence[str]) -> int:
    name, rest = subverb(words, "plugins", KNOWN, default="list")
    if name == "install":
        from diffx.cli import install

        return install.main(rest)
    if name == "remove":
        from diffx.cli import remove

        return remove.main(rest)
    if name in ("block", "unblock"):
        from diffx.cli import block

        return block.main(name, rest)
    if name == "new":
        from diffx.cli import new

        return new.main(rest)
    return _VERBS[name](Parser(prog=f"diffx plugins {name}", description=KNOWN[name]), rest)


def state(found: Found) -> str:
    """Ready, what is missing, or what is wrong, in one line."""
    if found.error:
        return found.error
    missing = missing_requirements(manifest_of(found))
    return f"needs {', '.join(missing)}: {install_hint(found)}" if missing else "ready"


def _list(parser: Parser, words: Sequence[str]) -> int:
    parser.add_argument("--json", action="store_true", help="print JSON")
    as_json = parser.parse_args(words).json
    plugins = discover()
    if as_json:
        rows = [
            {
                "name": f.name,
                "distribution": f.distribution,
                "version": f.version,
                "summary": f.manifest.summary if f.manifest else "",
                "state": state(f),
                "usable": not f.error and not missing_requirements(manifest_of(f)),
            }
            for f in plugins
        ]
        print_json(rows)
        return 0
    usable = [f for f in plugins if not f.error]
    broken = [f for f in plugins if f.error]
    if not usable:
        print("no plugins are installed")
    print(columns([(f.name, f"{f.distribution} {f.version}", state(f), manifest_of(f).summary) for f in usable]))
    if broken:
        print("\nnot usable:")
        print(columns([(f.name, f"{f.distribution} {f.version}", f.error) for f in broken], indent=2))
    remembered = read_choices().installed
    gone = sorted(set(remembered) - installed()) if remembered else []
    if gone:
        print(paragraphs(f"\nremembered, but not here: {', '.join(gone)} (diffx plugins install --restore)"))
    return 0


def _info(parser: Parser, words: Sequence[str]) -> int:
    parser.add_argument("plugin", help="its name, as diffx plugins lists it")
    name = parser.parse_args(words).plugin.removeprefix("plugin=")
    found = next((f for f in discover() if f.name == name), None) or find(name)
    rows = [("name", found.name), ("distribution", f"{found.distribution} {found.version}"), ("state", state(found))]
    if found.manifest is not None:
        rows += _described(found.manifest)
    print(columns(rows))
    if found.error:
        return PluginError.exit_code
    if found.manifest is not None and found.manifest.tasks:
        print(paragraphs(f"\ndiffx run plugin={name} --help shows its options."))
    return 0


def _described(manifest: Manifest) -> list[tuple[str, str]]:
    from diffx.plugins.weights import absent, shipped

    default = manifest.default_task
    return [
        ("summary", manifest.summary),
        ("module", manifest.module),
        ("configuration", manifest.config or ("asked of the module" if manifest.tasks else "none: an extension")),
        ("plugin API", manifest.api),
        ("requires", ", ".join(manifest.requires) or "nothing more"),
        *(("task", f"{n}: {task.help}{' (default)' if n == default else ''}") for n, task in manifest.tasks.items()),
        *(("preset", n) for n in manifest.presets),
        *(("weights", f"{w.id}: {w.size}, {w.entry.licence}") for w in shipped() if w.plugin == manifest.name),
        *(("weights", f"{w.id}: {w.why}") for w in absent() if w.plugin == manifest.name),
    ]


def _check(parser: Parser, words: Sequence[str]) -> int:
    parser.epilog = f"levels:\n{columns(list(LEVELS.items()), indent=2)}\n{CHECKED}"
    parser.add_argument("plugin", help="its name, as diffx plugins lists it")
    parser.add_argument("options", nargs="*", metavar="key=value", help="options for the contract")
    last = list(LEVELS)[-1]
    parser.add_argument("--to", choices=LEVELS, default=last, metavar="LEVEL", help="the last of the levels below")
    given = parser.parse_intermixed_args(list(words))
    name = given.plugin.removeprefix("plugin=")
    if name not in {found.name for found in discover()}:
        find(name)  # says what is meant
    command = [sys.executable, "-m", "diffx.checks.contract", name, "--to", given.to, *given.options]
    code = subprocess.run(command, check=False).returncode
    if code < 0:
        raise PluginError(f"plugin {name!r} ended the process that imported it (signal {-code})")
    return code


def _hooks(parser: Parser, words: Sequence[str]) -> int:
    parser.parse_args(words)
    from diffx.cli.hooks import reference

    print(reference(), end="")
    return 0


_VERBS: dict[str, Callable[[Parser, Sequence[str]], int]] = {
    "list": _list,
    "info": _info,
    "check": _check,
    "hooks": _hooks,
}
