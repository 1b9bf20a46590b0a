"""What training tells the outside."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Monitor:
    """Is told how training goes; this one says nothing. A run of ``diffx.run`` is told through a subclass."""

    def log(self, text: str) -> None:
        """Something to be read."""

    def step(self, step: int, **values: Any) -> None:
        """After a step that is not recorded: its ``loss`` and ``grad_norm``, which are tensors without axes on the
        training device, and its ``lr``. Reading a tensor makes the device wait."""

    def record(self, step: int, **values: float) -> None:
        """After every ``log_every``-th step: the mean loss since the last record, gradient norm and learning rate;
        after a validation: ``val_loss``."""

    @contextmanager
    def progress(self, items: int, label: str, done: int = 0) -> Iterator[Any]:
        """A bar with ``advance(steps, **shown)``."""
        yield self

    def advance(self, steps: int = 1, **shown: float) -> None:
        """That many steps are done."""


class Printer(Monitor):
    """Prints the loss every few seconds, at the beginning and at the end.

    Args:
        every: seconds between two lines.
    """

    def __init__(self, every: float = 10.0):
        self.every, self.total = every, 0
        self._printed = -float("inf")

    def log(self, text: str) -> None:
        """Print it."""
        print(text, flush=True)

    def record(self, step: int, **values: float) -> None:
        """Print it, unless the last line was printed just now."""
        if step < self.total and time.monotonic() - self._printed < self.every:
            return
        self._printed = time.monotonic()
        said = {"loss": values.get("loss"), "validation loss": values.get("val_loss")}
        shown = ", ".join(f"{name} {value:.4g}" for name, value in said.items() if value is not None)
        print(f"step {step} of {self.total}: {shown}", flush=True)

    @contextmanager
    def progress(self, items: int, label: str, done: int = 0) -> Iterator[Any]:
        """No bar; it learns how many steps there are."""
        self.total = items
        yield self
