"""The screen of a run: lines of text and progress bars that do not break one another."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from types import TracebackType
from typing import Any, Generic, TextIO, TypeVar

from diffx.run.words import duration, figure, rate

__all__ = ["Bar", "Screen"]

T = TypeVar("T")

WINDOW = 30.0  # seconds the rate looks back: long enough to be calm, short enough to forget a slow start


class Screen:
    """Where a run speaks: standard error, unless `stream` is given; where there is none, nowhere.

    On a terminal bars are drawn with rich; elsewhere each bar prints a plain line every `every` seconds and one at
    its end. `quiet` says nothing at all (all processes of a distributed run but the first).
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        every: float = 15.0,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.every, self.quiet, self.clock = every, quiet, clock
        self._stream = stream
        self._live: Any = None  # rich.progress.Progress while at least one bar is open
        self._open = 0

    @property
    def stream(self) -> TextIO | None:
        return self._stream if self._stream is not None else sys.stderr

    @property
    def is_terminal(self) -> bool:
        return self.stream is not None and self.stream.isatty() and os.environ.get("TERM") != "dumb"

    def print(self, text: str) -> None:
        """One message, above the bars if there are any."""
        if self.quiet or self.stream is None:
            return
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=self.stream, flush=True)

    def open_bars(self) -> Any:
        """The rich display that all bars of this screen share; None where plain lines are wanted."""
        self._open += 1
        if self._live is None and self.is_terminal and not self.quiet:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            columns = ("{task.description}", "{task.fields[rate]}", "{task.fields[left]}", "{task.fields[note]}")
            label, *rest = (TextColumn(text, markup=False) for text in columns)
            self._live = Progress(
                label, BarColumn(bar_width=30), MofNCompleteColumn(), *rest, console=Console(file=self.stream)
            )
            self._live.start()
        return self._live

    def close_bars(self, all_of_them: bool = False) -> None:
        """One bar has ended; the display goes with the last."""
        self._open = 0 if all_of_them else max(0, self._open - 1)
        if self._open == 0 and self._live is not None:
            live, self._live = self._live, None
            live.stop()


class Bar(Generic[T]):
    """Progress of one piece of work; made by `Run.progress`. Iterate over it, or use `with bar: bar.advance()`."""

    def __init__(self, screen: Screen, items: Iterable[T] | int, label: str, done: int = 0, unit: str = "step"):
        self.screen, self.label, self.unit = screen, label, unit
        self._items: Iterable[Any] = range(done, items) if isinstance(items, int) else items
        self.total = items if isinstance(items, int) else len(items) if isinstance(items, Sized) else None
        self.done, self.first = done, done
        self.note = ""
        self._marks: deque[tuple[float, int]] = deque()
        self._live: Any = None
        self._task: Any = None
        self._entered = False

    def __iter__(self) -> Iterator[T]:
        with self:
            for item in self._items:
                yield item
                self.advance()

    def __enter__(self) -> Bar[T]:
        if self._entered:
            raise RuntimeError(f"the progress bar {self.label!r} has been used already")
        self._entered = True
        self._began = self._said = self._drawn = self.screen.clock()
        self._marks.append((self._began, self.done))
        self._live = self.screen.open_bars()
        if self._live is not None:
            fields = {"rate": "", "left": "", "note": ""}
            self._task = self._live.add_task(self.label, total=self.total, completed=self.done, **fields)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._draw()
            self._live.stop_task(self._task)
        elif kind is None:
            took = duration(self.screen.clock() - self._began)
            self.screen.print(" ".join(filter(None, [f"{self.label} {self._count()} in {took}", self.note])))
        self.screen.close_bars()

    def advance(self, n: int = 1, **shown: Any) -> None:
        """`n` more are done; `shown` are values to print beside the bar, such as loss=0.12."""
        self.done += n
        if shown:
            self.note = " ".join(f"{name} {figure(value, 3)}" for name, value in shown.items())
        now = self.screen.clock()
        if now - self._marks[-1][0] >= 0.25:
            self._marks.append((now, self.done))
            while len(self._marks) > 2 and now - self._marks[1][0] > WINDOW:
                self._marks.popleft()
        if self._live is not None:
            if now - self._drawn >= 0.1:
                self._drawn = now
                self._draw()
        elif now - self._said >= self.screen.every:
            self._said = now
            words = [f"{self.label} {self._count()}", rate(self.rate, self.unit), self._left(), self.note]
            self.screen.print("  ".join(filter(None, words)))

    @property
    def rate(self) -> float:
        """Items a second over about the last half minute; 0 before the first is done."""
        then, done = self._marks[0]
        passed = self.screen.clock() - then
        return (self.done - done) / passed if passed > 0 else 0.0

    def _left(self) -> str:
        if self.total is None or self.rate <= 0 or self.done >= self.total:
            return ""
        return f"{duration((self.total - self.done) / self.rate)} left"

    def _count(self) -> str:
        if self.total is None:
            return f"{self.done} {self.unit}s"
        return f"{self.done}/{self.total}"

    def _draw(self) -> None:
        self._live.update(
            self._task,
            completed=self.done,
            rate=rate(self.rate, self.unit),
            left=self._left(),
            note=self.note,
        )
