"""From a task to an exit code: opens the folder, calls the task, and leaves the folder whole however it ends."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback as tracebacks
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Any

from diffx.errors import DiffxError, UsageError, in_one_line
from diffx.run.folder import Run
from diffx.run.progress import Screen
from diffx.run.record import Outcome, write_beginning, write_end
from diffx.run.resources import Meter
from diffx.run.resume import held
from diffx.run.words import duration

INTERRUPTED = 130


def execute(
    cfg: Any,
    task: Callable[[Run], Any],
    argv: Sequence[str] = (),
    *,
    traceback: bool = False,
    screen: Screen | None = None,
    last_line: str = "text",
) -> int:
    """Run `task` in the folder `cfg` asks for and return the exit code; nothing is raised.

    0 ok; 1 failed, or some items of the batch did (`Run.fail`); the error's own code for a DiffxError; 130 for Ctrl-C,
    SIGTERM and SIGHUP, which all reach the task as KeyboardInterrupt so that training can write its checkpoint.

    Written at the start: command.txt, config.yaml, env.json, status.json ("running"; it stays so after a kill -9).
    Written at the end, however that comes: metrics.json, report.html, env.json, and status.json last.
    A resumed run writes all of that once it has begun its work (`Run.begin`): if it is refused, nothing has changed.
    An error is one line on standard error, its traceback is in log.txt; `traceback=True` prints it as well.
    `argv` is the command line without the program's name. `last_line`, on standard output: "text" says where the
    report is, "json" is the outcome as one JSON object, "" is nothing.
    """
    meter = Meter()
    with ExitStack() as stack:
        try:
            run = Run.open(cfg, argv, screen)
            if run.is_main:
                stack.enter_context(held(run.folder))
                if run.before:
                    run.wait()
                else:
                    write_beginning(run)
        except DiffxError as error:
            if last_line == "json":
                outcome = Outcome("failed", error.exit_code, str(error))
                print(json.dumps({**asdict(outcome), "folder": None}), flush=True)
            _print_error(str(error))
            return error.exit_code
        except OSError as error:
            where = os.path.abspath(error.filename) if isinstance(error.filename, str) else "the run folder"
            _print_error(f"{where} cannot be written ({error.strerror or error}): name another run folder with out=")
            return UsageError.exit_code

        with _signals_interrupt():
            outcome = _call(run, task, traceback)
        with _signals_wait():
            run.screen.close_bars(all_of_them=True)
            card = meter.card()
            refused = _is_refused(run, outcome)
            if run.is_main and not refused:
                outcome = write_end(run, outcome, card)
            _say(run, outcome, card["wall_s"], refused, last_line)
        return outcome.exit_code


def _call(run: Run, task: Callable[[Run], Any], show: bool) -> Outcome:
    try:
        task(run)
    except KeyboardInterrupt as error:
        return Outcome("interrupted", INTERRUPTED, str(error) or "interrupted")
    except DiffxError as error:
        _keep_traceback(run, show)
        return Outcome("failed", error.exit_code, str(error))
    except SystemExit as error:
        _keep_traceback(run, show)
        return Outcome("failed", 1, f"the task called exit({error.code})")
    except Exception as error:
        _keep_traceback(run, show)
        advice = _memory_advice(error)
        if advice:
            return Outcome("failed", 1, advice)
        return Outcome("failed", 1, f"{in_one_line(error)} (traceback in {run.folder / 'log.txt'})")
    return Outcome("failed", 1, run.shortfall) if run.shortfall else Outcome("ok", 0)


def _keep_traceback(run: Run, show: bool) -> None:
    text = tracebacks.format_exc().rstrip()
    run.log_only(text)
    if show:
        run.screen.close_bars(all_of_them=True)
        print(text, file=sys.stderr)


def _memory_advice(error: Exception) -> str | None:
    if type(error).__name__ == "OutOfMemoryError":  # torch's, without importing torch
        return "out of GPU memory: lower train.batch or sample.batch, or set train.checkpointing=true"
    if isinstance(error, MemoryError):
        return "out of memory: lower train.batch, sample.batch or train.workers"
    return None


def _is_refused(run: Run, outcome: Outcome) -> bool:
    """Whether a resumed run ended before it did anything: then its folder keeps the record that it had."""
    if run.waiting and (outcome.status == "ok" or run.made() != run.made_before):
        run.begin()
    return run.waiting


def _say(run: Run, outcome: Outcome, wall_s: float, refused: bool, last_line: str) -> None:
    if outcome.error:
        run.log_only(f"{outcome.status}: {outcome.error}")
        if outcome.status == "failed":
            _print_error(outcome.error, "" if run.is_main else f" in process {run.rank}")
        elif run.is_main:
            print(f"diffx: {outcome.error}", file=sys.stderr)
    for failure in run.failures if run.is_main else ():
        print(f"  {failure['item']}: {failure['reason']}", file=sys.stderr)
    if refused:
        print(f"diffx: {run.folder} stays as it was", file=sys.stderr)
    elif run.is_main:
        report = run.folder / "report.html"
        run.log_only(f"{outcome.status} after {duration(wall_s)}")
        if last_line == "json":
            folder = str(run.folder.absolute())
            facts = {"plugin": run.cfg.plugin, "task": run.cfg.task, "folder": folder, "wall_s": wall_s}
            found = {"metrics": run.metrics, "flags": run.flags, "failures": run.failures}
            print(json.dumps({**asdict(outcome), **facts, **found}), flush=True)
        elif last_line:
            print(f"{outcome.status} after {duration(wall_s)}: {report if report.exists() else run.folder}", flush=True)


def _print_error(text: str, where: str = "") -> None:
    for line in text.splitlines():
        print(f"diffx: error{where}: {line}", file=sys.stderr)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP raise KeyboardInterrupt in this process, and end its forked children as they always do."""
    owner = os.getpid()

    def handler(number: int, frame: Any) -> None:
        if os.getpid() != owner:  # a data-loading worker has inherited this handler
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        raise KeyboardInterrupt(f"stopped by {signal.Signals(number).name}")

    with _handlers(("SIGTERM", "SIGHUP"), handler, only_default=True):
        yield


@contextmanager
def _signals_wait() -> Iterator[None]:
    """The second or so in which the end of a run is written is not interrupted."""
    with _handlers(("SIGINT", "SIGTERM", "SIGHUP"), signal.SIG_IGN):
        yield


@contextmanager
def _handlers(names: Sequence[str], handler: Any, only_default: bool = False) -> Iterator[None]:
    """Signal handlers for a while. Left alone: signals the system lacks, and with `only_default` those somebody has
    set (nohup ignores SIGHUP). Python takes handlers in the main thread only; elsewhere nothing is done."""
    before: dict[int, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in (getattr(signal, name) for name in names if hasattr(signal, name)):
                if not only_default or signal.getsignal(number) is signal.SIG_DFL:
                    before[number] = signal.signal(number, handler)
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)
