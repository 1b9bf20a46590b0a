"""`diffx plugins install`: pip, in this environment, and a note of what was asked for that survives a rebuild."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diffx.cli.layout import columns
from diffx.cli.pip import Request, name_of, pip
from diffx.cli.words import Parser
from diffx.errors import DiffxError, PluginError, UsageError
from diffx.io.home import expanded
from diffx.plugins.packs import installed
from diffx.plugins.registry import BLOCKED, canonical, discover
from diffx.plugins.userfile import read_choices, where_choices, write_choices

_FILES = (".whl", ".tar.gz", ".zip")


def main(words: Sequence[str]) -> int:
    mine = list(words)
    to_pip: list[str] = []
    if "--" in mine:
        cut = mine.index("--")
        mine, to_pip = mine[:cut], mine[cut + 1 :]
    parser = Parser(
        prog="diffx plugins install",
        description="run pip in this environment, and remember what was asked for",
        epilog=f"what is remembered, for --restore: {where_choices()}\nafter -- all words go to pip: -- --no-deps",
    )
    parser.add_argument("what", nargs="*", help="a name on the index, as pip takes it; a folder (./tides) or a wheel")
    parser.add_argument("-e", "--editable", action="append", default=[], metavar="FOLDER", help="install in place")
    parser.add_argument("-U", "--upgrade", action="store_true", help="to the newest version")
    parser.add_argument("--restore", action="store_true", help="install what is remembered and not here")
    given = parser.parse_intermixed_args(mine)
    flags = (["--upgrade"] if given.upgrade else []) + to_pip
    requests: list[Request] = [(_local(one) or _index_name(one),) for one in given.what]
    requests += [("-e", _local(one, always=True)) for one in given.editable]
    if given.restore:
        if requests:
            raise UsageError("--restore installs what is remembered: name nothing beside it")
        return _restore(flags)
    if not requests:
        raise UsageError("install what? a name, a folder or a wheel (see diffx plugins install --help)")
    return _report(_pip_install(requests, flags))


def _local(word: str, *, always: bool = False) -> str:
    """The whole path of a folder or file, "" for what is neither. By pip's own rule a path has a separator in it."""
    looks_like = os.sep in word or word.startswith(".") or word.endswith(_FILES)
    if "://" in word or not (looks_like or always):
        return ""
    path = expanded(word).absolute()
    if not path.exists():
        raise UsageError(f"{word}: no such file or folder")
    return str(path.resolve())


def _index_name(word: str) -> str:
    # pip would ask the index for a name that somebody else may have taken
    if (Path(word) / "pyproject.toml").is_file():
        raise UsageError(f"{word} is a folder here: write .{os.sep}{word} for it, or {word}>=0 for the index")
    return word


def _pip_install(requests: Sequence[Request], flags: Sequence[str]) -> dict[str, Request]:
    """Install, and the request of each distribution. Raises PluginError where one is blocked or pip fails."""
    blocked = {canonical(f.distribution): f.error for f in discover() if f.error.startswith(BLOCKED)}
    blocked |= {canonical(name): f"{BLOCKED}{why}" for name, why in read_choices().blocked.items()}
    for request in requests:
        named = canonical(name_of(request, []))
        if named in blocked:
            raise PluginError(f"{named} is {blocked[named]}")
    with tempfile.TemporaryDirectory(prefix="diffx-install-") as folder:
        told = Path(folder) / "report.json"
        words = [word for request in requests for word in request]
        pip(["install", *flags, "--report", str(told), *words], f"install {' '.join(words)}")
        done = json.loads(told.read_text(encoding="utf-8"))["install"]
    asked = [one for one in done if one.get("requested")]
    return {canonical(name_of(request, asked)): request for request in requests}


def _report(requests: Mapping[str, Request]) -> int:
    """Remember what brings plugins and say how they are; the exit code is that of a plugin that cannot be used."""
    rows, every_weights = _listed_afresh("plugins"), _listed_afresh("weights")
    code = 0
    for name, request in requests.items():
        brought = [row for row in rows if canonical(row["distribution"]) == name]
        weights = [row for row in every_weights if canonical(row.get("distribution", "")) == name]
        if not brought and not weights:
            code = PluginError.exit_code
            line = f"{name or request[-1]} is installed, but brings no plugin (no entry point of the group 'diffx')"
            print(f"diffx: error: {line}: pip uninstall {name}", file=sys.stderr)
            continue
        choices = read_choices()
        write_choices(choices._replace(installed={**choices.installed, name: request}))
        shown = [(row["name"], f"{row['distribution']} {row['version']}", row["state"]) for row in brought]
        print(columns([*shown, *((row["id"], row["distribution"], row["licence"]) for row in weights)]))
        for row in brought:
            bad = not row["usable"] and not row["state"].startswith("needs ")
            if bad:
                code = PluginError.exit_code
                label = f"plugin {row['name']!r} ({row['distribution']} {row['version']})"
                print(f"diffx: error: {label}: {row['state']}", file=sys.stderr)
            else:
                print(f"diffx plugins info {row['name']} says what it does.")
    return code


def _listed_afresh(verb: str) -> list[dict[str, Any]]:
    """What is installed now, in a process that sees it."""
    command = [sys.executable, "-m", "diffx", verb, "list", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PluginError(done.stderr.strip().removeprefix("diffx: error: "))
    return json.loads(done.stdout)


def _restore(flags: Sequence[str]) -> int:
    """Each by itself: one that is gone must not keep the others away."""
    code, wrong = 0, []
    here = installed()
    remembered = read_choices().installed
    for name, request in remembered.items():
        if name in here:
            print(f"{name} is here")
            continue
        try:
            code = max(code, _report(_pip_install([request], flags)))
        except DiffxError as error:
            wrong.append(f"{name}: {error}")
    if wrong:
        raise PluginError("\n".join(wrong))
    if not remembered:
        print(f"nothing is remembered in {where_choices()}")
    return code
