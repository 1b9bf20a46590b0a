"""The run: what every task is given to speak, write and report through."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, overload

from diffx.evaluation.figure import to_json
from diffx.io.files import append_line, plain, read_json, write_json
from diffx.run.location import locate, process_rank
from diffx.run.progress import Bar, Screen
from diffx.run.record import write_beginning
from diffx.run.report import Report
from diffx.run.resume import read_status

T = TypeVar("T")


class Run:
    """One run and its folder.

    `cfg` is the resolved configuration, `folder` where everything is written, `report` collects what the page shows.
    In a distributed run every process has a `Run` on the same folder; only the first writes to it and to the screen
    (`is_main`), the others keep a log of their own.
    """

    def __init__(self, cfg: Any, folder: str | Path, argv: Sequence[str] = (), screen: Screen | None = None):
        self.cfg = cfg
        self.folder = Path(folder)
        self.argv = list(argv)
        self.rank = process_rank()
        self.is_main = self.rank == 0
        self.screen = screen or Screen(quiet=not self.is_main)
        self.started = datetime.now().astimezone()
        self.report = Report()
        self.metrics: dict[str, Any] = {}
        self.flags: list[str] = []
        self.failures: list[dict[str, str]] = []
        self.folder.mkdir(parents=True, exist_ok=True)
        self.before = read_status(self.folder)  # the status an earlier session left here; None in a new folder
        self.waiting = False
        self.made_before: dict[str, tuple[int, int]] = {}

    @classmethod
    def open(cls, cfg: Any, argv: Sequence[str] = (), screen: Screen | None = None) -> Run:
        """Find or make the folder `cfg` asks for (see `diffx.run.location.locate`). Raises UsageError."""
        return cls(cfg, locate(cfg), argv, screen)

    def wait(self) -> None:
        """A resumed run leaves what its folder says of it alone until `begin`."""
        self.waiting, self.made_before = True, self.made()
        self.metrics = read_json(self.folder / "metrics.json")
        self.log(f"resuming {self.folder}")

    def begin(self) -> None:
        """The work has begun: what the folder says of the run is this session's from here on.

        A task that resumes calls it when nothing can refuse it any more; recording a step or a figure does it too.
        """
        if self.waiting:
            self.waiting = False
            write_beginning(self)

    def made(self) -> dict[str, tuple[int, int]]:
        """(size, time of the last change in ns) of each file in samples/ and checkpoints/."""
        found = [path for name in ("samples", "checkpoints") for path in (self.folder / name).rglob("*")]
        return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found if path.is_file()}

    @property
    def samples(self) -> Path:
        """The folder for what was made; it exists once asked for."""
        return self._sub("samples")

    @property
    def checkpoints(self) -> Path:
        """The folder for checkpoints; it exists once asked for."""
        return self._sub("checkpoints")

    @property
    def shortfall(self) -> str | None:
        """One line on the failed items of a batch; None when there are none."""
        n = len(self.failures)
        return f"{n} item{'s' if n > 1 else ''} failed, the rest is done" if n else None

    def log(self, text: str) -> None:
        """Say it on the screen and in log.txt."""
        self.screen.print(text)
        self.log_only(text)

    def log_only(self, text: str) -> None:
        """Write it to log.txt, with the time; nothing on the screen."""
        name = "log.txt" if self.is_main else f"log.rank{self.rank}.txt"
        append_line(self.folder / name, f"{datetime.now():%Y-%m-%d %H:%M:%S}  {text}")

    def record(self, step: int, **values: Any) -> None:
        """Append one line to metrics.jsonl: the step and the values at it (numbers, or whatever `plain` takes).

        A value that is not finite is written as null. A resumed run may record a step twice: the later line counts.
        """
        self.begin()
        if self.is_main:
            append_line(self.folder / "metrics.jsonl", json.dumps({"step": int(step), **plain(values)}))

    def metric(self, name: str, value: Any) -> None:
        """Set a final figure; metrics.json is rewritten at once, so that a kill loses none.

        `value` is a number, a `diffx.evaluation.Figure`, or a dict. A dict with `value` is a figure in the form of
        docs/evaluation.md (`interval`, `baseline`, `floor`, `n`, `goal`, ...); any other dict is a group of metrics. A
        figure that is not finite becomes null and a flag.
        """
        self.begin()
        value = to_json(value)
        self.metrics[name] = plain(value)
        if _lost(value, self.metrics[name]):
            self.flag(f"metric {name} is not finite")
        if self.is_main:
            write_json(self.folder / "metrics.json", self.metrics)

    def flag(self, text: str) -> None:
        """Something the user must know about the result; shown on the screen, in status.json and in the report."""
        if text not in self.flags:
            self.flags.append(text)
            self.log(f"note: {text}")

    def fail(self, item: str | Path, reason: str | BaseException) -> None:
        """One item of a batch failed; the rest goes on. The run ends with exit code 1 and the list of failures."""
        self.begin()
        text = " ".join(str(reason).split()) or type(reason).__name__
        self.failures.append({"item": str(item), "reason": text})
        self.log(f"failed: {item}: {text}")

    @overload
    def progress(self, items: int, label: str, done: int = 0, unit: str = "step") -> Bar[int]: ...
    @overload
    def progress(self, items: Iterable[T], label: str, done: int = 0, unit: str = "step") -> Bar[T]: ...
    def progress(self, items: Any, label: str, done: int = 0, unit: str = "step") -> Bar[Any]:
        """A progress bar with rate and time left on a terminal; elsewhere a line now and then.

        `for x in run.progress(items, "reading", unit="volume")`, with a number in place of items to count, or
        `with run.progress(total, "training", done=first) as bar: bar.advance(loss=0.12)`.
        """
        return Bar(self.screen, items, label, done, unit)

    def _sub(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path


def _lost(value: Any, written: Any) -> bool:
    """Whether a number became None on its way into JSON."""
    if isinstance(value, dict):
        return any(_lost(item, written[str(key)]) for key, item in value.items())
    if isinstance(value, list | tuple):
        return any(_lost(a, b) for a, b in zip(value, written, strict=True))
    return value is not None and (written is None or (isinstance(written, list) and None in written))
