"""Two hooks: one after each recorded step, one at the end. Event files lie in the run's folder, below tensorboard/."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import diffx

_writers: dict[Any, Any] = {}  # of the runs that are going on, by their folder


@diffx.hookimpl
def diffx_step(run: Any, step: int, values: Mapping[str, Any], recorded: bool) -> None:
    if run.is_main and recorded:
        for name, value in values.items():
            _writer(run, step).add_scalar(name, value, step)


@diffx.hookimpl
def diffx_finish(run: Any, error: BaseException | None) -> None:
    if not run.is_main:
        return
    for name, figure in run.metrics.items():
        value = figure.get("value") if isinstance(figure, Mapping) else figure
        if isinstance(value, int | float):
            _writer(run, 0).add_scalar(f"final/{name}", value)
    if run.folder in _writers:
        _writers.pop(run.folder).close()


def _writer(run: Any, step: int) -> Any:
    """The run's writer. One that begins at a later step takes the place of what a stopped run wrote from there on."""
    if run.folder not in _writers:
        from torch.utils.tensorboard import SummaryWriter

        _writers[run.folder] = SummaryWriter(run.folder / "tensorboard", purge_step=step)
    return _writers[run.folder]
