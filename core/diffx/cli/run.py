"""`diffx run`: everything that can be wrong is said before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from diffx.cli.chosen import Chosen, choose, configure
from diffx.cli.layout import paragraphs
from diffx.errors import DiffxError, UsageError
from diffx.plugins.loader import Plugins, load, require_extra
from diffx.plugins.registry import find

HELP = """usage: diffx run plugin=NAME [task=NAME] [preset=NAME] [config=FILE] [key=value ...]

Run a task of a plugin. Values are taken from the plugin's defaults, then preset=, then config=, then key=value.
diffx run plugin=NAME --help shows the plugin's tasks, presets, weights and the options that people use first, with
--all every option. diffx plugins lists the plugins.

  --quiet  say nothing but errors
  --json   the last line of the standard output is one JSON object: status, folder, figures"""
FLAGS = ("-h", "--help", "--all", "-q", "--quiet", "--json")


def main(words: Sequence[str], *, traceback: bool = False) -> int:
    flags = {word for word in words if word in FLAGS}
    given = [word for word in words if word not in FLAGS]
    if flags & {"-h", "--help", "--all"}:
        return _help(given, everything="--all" in flags)
    quiet = bool(flags & {"-q", "--quiet"})
    last_line = "json" if "--json" in flags else "" if quiet else "text"
    try:
        return _run(words, given, traceback, quiet, last_line)
    except DiffxError as error:
        if last_line == "json":
            import json

            print(json.dumps({"status": "failed", "exit_code": error.exit_code, "error": str(error), "folder": None}))
        raise


def _help(given: Sequence[str], everything: bool) -> int:
    if not any(word.startswith(("plugin=", "config=")) for word in given):
        print(paragraphs(HELP))
        return 0
    from diffx.cli.describe import describe

    print(describe(choose(given, "run"), everything))
    return 0


def _run(words: Sequence[str], given: Sequence[str], traceback: bool, quiet: bool, last_line: str) -> int:
    chosen = choose(given, "run")
    cfg = configure(chosen, given)
    for name in cfg.extensions:
        find(name)
    require_extra(chosen.found)
    from diffx.checks.inputs import check_inputs

    check_inputs(chosen.found, cfg)
    from diffx.run import execute
    from diffx.run.location import admit
    from diffx.run.progress import Screen

    admit(cfg)
    task = _task(chosen, cfg)

    argv = ["run", *words, *(["--traceback"] if traceback else [])]
    screen = Screen(quiet=True) if quiet else None
    return execute(cfg, task, argv, traceback=traceback, screen=screen, last_line=last_line)


def _task(chosen: Chosen, cfg: Any) -> Callable[[Any], None]:
    """The function of `cfg.task`, after which every plugin's diffx_finish is called."""
    plugins = load(chosen.found.name, tuple(cfg.extensions))
    function = plugins.task(cfg.task)
    _check_names(plugins, cfg)

    def task(run: Any) -> None:
        try:
            function(run)
        except BaseException as error:
            for failure in plugins.notify("diffx_finish", run=run, error=error):
                run.log(f"note: {failure}")  # what ended the run is what the user has to know
            raise
        for failure in plugins.notify("diffx_finish", run=run, error=None):
            raise failure

    return task


def _check_names(plugins: Plugins, cfg: Any) -> None:
    """Raises UsageError for a solver, schedule or network that nobody brings, before data are read for it."""
    problems = []
    for hook, key, name in (
        ("diffx_samplers", "sample.sampler", cfg.sample.sampler),
        ("diffx_schedules", "process.schedule", cfg.process.schedule),
        ("diffx_networks", "net.name", cfg.net.name),
    ):
        try:
            plugins.named(hook, key, name)
        except UsageError as error:
            problems.append(str(error))
    if problems:
        raise UsageError("\n".join(problems))
