"""`diffx runs list|compare|open|clean`: what was run before."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from diffx.cli.layout import columns, paragraphs
from diffx.cli.words import Parser, print_json, subverb
from diffx.errors import UsageError
from diffx.run.history import Past, differing, find_run, past_runs
from diffx.run.location import ROOT
from diffx.run.words import duration, figure, size

KNOWN = {
    "list": "the newest first: what it was, how it ended, how long it took, its main figure",
    "compare": "options and figures in which runs differ, side by side",
    "open": "the report of a run, of the newest where none is named: its path, and in a browser if there is one",
    "clean": "remove runs, after asking; those that hold weights are kept",
}


def main(words: Sequence[str]) -> int:
    name, rest = subverb(words, "runs", KNOWN, default="list")
    parser = Parser(prog=f"diffx runs {name}", description=KNOWN[name])
    parser.add_argument("--root", type=Path, default=ROOT, metavar="FOLDER", help=f"where runs are; default {ROOT}")
    return _VERBS[name](parser, rest)


def _list(parser: Parser, words: Sequence[str]) -> int:
    _add_choice(parser)
    parser.add_argument("-n", type=int, default=20, metavar="N", help="how many; default 20, 0 is all")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(words)
    every = _chosen(given)
    runs = every[: given.n] if given.n > 0 else every
    if given.json:
        print_json([_facts(run) for run in runs])
        return 0
    rows = []
    for run in runs:
        took = "-" if run.seconds is None else duration(run.seconds)
        main_figure = run.main_figure()
        said = f"{main_figure[0]} {figure(main_figure[1])}" if main_figure else ""
        rows.append((str(run.folder.relative_to(given.root)), f"{run.plugin} {run.task}", run.outcome, took, said))
    print(columns(rows) if rows else f"no runs in {given.root}")
    if len(runs) < len(every):
        print(f"and {len(every) - len(runs)} earlier ones: -n 0")
    return 0


def _compare(parser: Parser, words: Sequence[str]) -> int:
    parser.add_argument("runs", nargs="+", help="folders, or parts of their names that no other run has")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(words)
    if len(given.runs) < 2:
        raise UsageError("compare what? name two runs or more (`diffx runs list` shows them)")
    runs = [find_run(name, given.root) for name in given.runs]
    tables = {
        "run": differing([_facts(run, brief=True) for run in runs]),
        "options": differing([run.options() for run in runs]),
        "figures": differing([run.figures() for run in runs]),
    }
    if given.json:
        print_json({"runs": [str(run.folder) for run in runs], **tables})
        return 0
    letters = [chr(ord("A") + number % 26) for number in range(len(runs))]
    print(columns([(letter, str(run.folder)) for letter, run in zip(letters, runs)]))
    for title, rows in tables.items():
        if rows:
            shown = [(key, *map(_shown, values)) for key, values in rows.items()]
            print(f"\n{title}:\n" + columns([("", *letters), *shown], indent=2))
        elif title != "run":
            print(f"\n{title}: none differs")
    return 0


def _open(parser: Parser, words: Sequence[str]) -> int:
    parser.add_argument("run", nargs="?", help="a folder, or a part of its name that no other run has")
    parser.add_argument("--no-browser", action="store_true", help="print the path alone")
    given = parser.parse_args(words)
    if given.run:
        run = find_run(given.run, given.root)
    else:
        every = past_runs(given.root)
        if not every:
            raise UsageError(f"no runs in {given.root}")
        run = every[0]
    if not run.report.is_file():
        raise UsageError(f"{run.folder} has no report: it is {run.outcome}")
    print(run.report.absolute(), flush=True)
    if not given.no_browser and _has_screen():
        import webbrowser

        try:
            webbrowser.open(run.report.absolute().as_uri())
        except webbrowser.Error:
            pass  # the path is there to be opened by hand
    return 0


def _clean(parser: Parser, words: Sequence[str]) -> int:
    parser.add_argument("runs", nargs="*", help="folders, or parts of names; by default all, but for those that are on")
    _add_choice(parser)
    parser.add_argument("--older", type=float, metavar="DAYS", help="only runs that began more than so many days ago")
    parser.add_argument("--weights", action="store_true", help="also runs that hold weights")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    given = parser.parse_args(words)
    runs = [find_run(name, given.root) for name in given.runs] or _chosen(given)
    if given.older is not None:
        before = datetime.now().astimezone() - timedelta(days=given.older)
        runs = [run for run in runs if run.started < before]
    kept = [run for run in runs if run.outcome == "running" or (run.has_weights and not given.weights)]
    gone = [run for run in runs if run not in kept]
    for run in kept:
        why = "it is running" if run.outcome == "running" else "it holds weights (--weights removes it too)"
        print(paragraphs(f"kept {run.folder}: {why}"))
    if not gone:
        print("nothing to remove")
        return 0
    print(columns([("remove", str(run.folder), run.outcome, size(run.bytes)) for run in gone]))
    runs_of_them = f"{len(gone)} run{'s' * (len(gone) > 1)}"
    if not given.yes and not _agreed(f"remove {runs_of_them}, {size(sum(run.bytes for run in gone))}?"):
        print("nothing was removed")
        return 0
    for run in gone:
        try:
            shutil.rmtree(run.folder)
        except OSError as error:
            raise UsageError(f"{error.filename or run.folder}: {error.strerror or error}") from error
    print(f"removed {runs_of_them}")
    return 0


_VERBS: dict[str, Callable[[Parser, Sequence[str]], int]] = {
    "list": _list,
    "compare": _compare,
    "open": _open,
    "clean": _clean,
}


def _add_choice(parser: Parser) -> None:
    parser.add_argument("--plugin", default="", metavar="NAME", help="of this plugin only")
    parser.add_argument("--task", default="", metavar="NAME", help="of this task only")


def _chosen(given: Any) -> list[Past]:
    return past_runs(given.root, given.plugin, given.task)


def _facts(run: Past, brief: bool = False) -> dict[str, Any]:
    facts = {"plugin": run.plugin, "task": run.task, "status": run.outcome, "seconds": run.seconds}
    if brief:
        return facts
    main_figure = run.main_figure()
    return {
        "folder": str(run.folder),
        **facts,
        "started": run.status.get("started"),
        "error": run.status.get("error"),
        "main_figure": dict([main_figure]) if main_figure else None,
        "weights": run.has_weights,
        "report": str(run.report) if run.report.is_file() else None,
    }


def _shown(value: Any) -> str:
    return figure(value) if not isinstance(value, list) else f"[{', '.join(map(figure, value))}]"


def _agreed(question: str) -> bool:
    """Whether the user says yes. Raises UsageError where there is nobody to ask."""
    if not sys.stdin.isatty():
        raise UsageError(f"{question} nobody is there to say so: add --yes")
    print(f"{question} [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _has_screen() -> bool:
    if os.environ.get("BROWSER") or sys.platform in ("darwin", "win32"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
