"""Training as a function of (seed, step)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from diffx.config import TrainConfig
from diffx.errors import DataError
from diffx.nets.model import Model
from diffx.process import Process
from diffx.train.objective import Dataset
from diffx.train.signals import StopAtBoundary
from diffx.train.trainer import Trainer


class Monitor(Protocol):
    """What training tells the outside; a run of ``diffx.run`` is one."""

    def log(self, text: str) -> None: ...
    def record(self, step: int, **values: float) -> None: ...
    def progress(self, items: int, label: str, done: int = 0) -> Any: ...


def fit(
    model: Model,
    process: Process,
    data: Dataset,
    config: TrainConfig,
    *,
    seed: int,
    folder: Path,
    monitor: Monitor,
    meta: Mapping[str, Any],
    extra: Mapping[str, Tensor] | None = None,
    validation: Dataset | None = None,
    device: str = "auto",
    resume: bool = False,
    finished: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict,
) -> Path:
    """Train ``model`` and write its averaged weights.

    Order of the data, noise, learning rate and average follow from ``seed`` and the step number, so a run that is
    stopped - or killed - and resumed ends with the same weights, on a CPU to the bit.

    Args:
        model: its denoiser's ``autocast`` is set from ``config.precision``. Parameters without ``requires_grad`` stay.
        folder: ``last.safetensors`` (to resume from) and ``weights.safetensors`` are written there, and ``snapshots/``
            for :func:`diffx.train.posthoc.reconstruct`.
        meta: JSON-able facts for the headers (plugin, configuration).
        extra: tensors that belong to the weights though they are not trained (a codec), stored under ``extra.``.
        validation: its loss, with the averaged weights and fixed noise, is recorded every ``config.val_every`` steps.
        resume: go on from ``last.safetensors``.
        finished: from the averaged state dict to what ``weights.safetensors`` holds.

    Returns:
        path of ``weights.safetensors``.

    Raises:
        DataError: empty data, nothing to resume from, a checkpoint of another network.
        DiffxError: the loss is not finite; the line names the step and the last good checkpoint.
        KeyboardInterrupt: after SIGINT or SIGTERM, once the checkpoint is written.
    """
    if not len(data):
        raise DataError("there is nothing to train on: the training split is empty")
    trainer = Trainer(model, process, data, config, seed, folder, meta, extra or {}, device)
    state = trainer.state
    if resume:
        state.restore(trainer.last)
        monitor.log(f"resumed at step {state.step} of {config.steps}")
    shown: dict[str, float] = {}
    batches = trainer.batches()
    with StopAtBoundary() as stop, monitor.progress(config.steps, "training", done=state.step) as bar:
        while state.step < config.steps:
            norm, rate = trainer.step(batches)
            if state.step % config.log_every == 0 or state.step == config.steps:
                shown = {"loss": trainer.watch.check(state.step)}
                monitor.record(state.step, **shown, grad_norm=float(norm), lr=rate)
            bar.advance(1, **shown)
            if validation is not None and len(validation) and config.val_every and state.step % config.val_every == 0:
                monitor.record(state.step, val_loss=trainer.validate(validation))
            if config.ema_snapshots and state.step % config.ema_snapshots == 0:
                trainer.snapshot()
            if trainer.agree(stop.requested):
                trainer.save()
                monitor.log(f"stopped at step {state.step}; go on with resume=true")
                raise KeyboardInterrupt
            if state.step % config.checkpoint_every == 0:
                trainer.save()
        trainer.save()
    return trainer.finish(finished)
