"""Ctrl-C and SIGTERM stop training between two steps, never inside one."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

__all__ = ["StopAtBoundary"]


class StopAtBoundary:
    """While active, the first SIGINT or SIGTERM sets ``requested``; a second SIGINT interrupts at once."""

    def __init__(self) -> None:
        self.requested = False
        self._owner = os.getpid()
        self._before: dict[int, object] = {}

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:  # a data-loading worker has inherited this handler
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True

    def __enter__(self) -> StopAtBoundary:
        if threading.current_thread() is threading.main_thread():  # Python delivers signals nowhere else
            self._before = {s: signal.signal(s, self._on_signal) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
