"""Training as a function of (seed, step)."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from diffx.config import TrainConfig
from diffx.errors import DataError, UsageError, did_you_mean
from diffx.nets.model import Model
from diffx.pipeline import Pipeline
from diffx.process import Process
from diffx.state import as_state, each
from diffx.train.monitor import Monitor, Printer
from diffx.train.objective import Dataset
from diffx.train.signals import StopAtBoundary
from diffx.train.trainer import Trainer


def fit(
    model: nn.Module,
    process: Process,
    data: Dataset,
    config: TrainConfig | None = None,
    *,
    seed: int = 0,
    folder: str | Path | None = None,
    monitor: Monitor | None = None,
    meta: Mapping[str, Any] | None = None,
    extra: Mapping[str, Tensor] | None = None,
    validation: Dataset | None = None,
    device: str = "auto",
    resume: bool = False,
    finished: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict,
    show: Callable[[int], None] | None = None,
    show_at: Container[int] = (),
    **options: Any,
) -> Pipeline:
    """Train a model; it ends with its averaged weights, in a :class:`Pipeline` that draws from it.

    Order of the data, noise, learning rate and average follow from ``seed`` and the step number, so a run that is
    stopped - or killed - and resumed ends with the same weights, on a CPU to the bit.

    Args:
        model: a :class:`Model`, or a denoiser alone where nothing conditions it. Its denoiser's ``autocast`` is set
            from the precision. Parameters without ``requires_grad`` stay.
        process: what noises the data.
        data: items are dicts with the clean state under "x", [C, *S] float32, and values of the conditioners' fields.
        config: how to train; None: the defaults of :class:`diffx.TrainConfig`.
        seed: of the order of the data and the noise.
        folder: ``last.safetensors`` (to resume from) and ``weights.safetensors`` are written there, and ``snapshots/``
            for :func:`diffx.train.posthoc.reconstruct`. None: nothing is written.
        monitor: is told how it goes; None: a line is printed now and then.
        meta: facts for the headers (plugin, configuration).
        extra: tensors that belong to the weights though they are not trained (a codec), stored under ``extra.``.
        validation: its loss, with the averaged weights and fixed noise, is recorded every ``val_every`` steps.
        device: "auto", "cpu" or "cuda".
        resume: go on from ``last.safetensors``.
        finished: from the averaged state dict to what ``weights.safetensors`` holds.
        show: called with the step, while ``model`` has the averaged weights, after each of the steps ``show_at``.
        show_at: see ``show``.
        options: single options of ``config`` by name: ``steps=2000, batch=64, lr=1e-3``.

    Raises:
        DataError: empty data, nothing to resume from, a checkpoint of another network.
        UsageError: an unknown option; one that needs a folder.
        PluginError: weights, facts or extra tensors that cannot be saved; said before the first step.
        DiffxError: the loss is not finite; the line names the step and the last good checkpoint.
        KeyboardInterrupt: after SIGINT or SIGTERM, once the checkpoint is written.
    """
    config = _chosen(config or TrainConfig(), options)
    if not len(data):
        raise DataError("there is nothing to train on: the training split is empty")
    if folder is None and (resume or config.ema_snapshots):
        raise UsageError("to resume, and to keep snapshots, training needs a folder: fit(..., folder=DIR)")
    model = model if isinstance(model, Model) else Model(model)
    folder = None if folder is None else Path(folder)
    meta, extra, monitor = meta or {}, extra or {}, monitor or Printer()
    trainer = Trainer(model, process, data, config, seed, folder, meta, extra, device)
    state = trainer.state
    if resume and trainer.last:
        state.load_state(trainer.last)
        monitor.log(f"resumed at step {state.step} of {config.steps}")
    else:
        trainer.rehearse()
    shown: dict[str, float] = {}
    batches = trainer.batches()
    with StopAtBoundary() as stop, monitor.progress(config.steps, "training", done=state.step) as bar:
        while state.step < config.steps:
            loss, norm, rate = trainer.step(batches)
            if state.step % config.log_every == 0 or state.step == config.steps:
                shown = {"loss": trainer.watch.check(state.step)}
                monitor.record(state.step, **shown, grad_norm=float(norm), lr=rate)
            else:
                monitor.step(state.step, loss=loss, grad_norm=norm, lr=rate)
            bar.advance(1, **shown)
            if validation is not None and len(validation) and config.val_every and state.step % config.val_every == 0:
                monitor.record(state.step, val_loss=trainer.validate(validation))
            if show is not None and state.step in show_at:
                trainer.show(show)
            if config.ema_snapshots and state.step % config.ema_snapshots == 0:
                trainer.snapshot()
            if trainer.agree(stop.requested):
                trainer.save()
                monitor.log(f"stopped at step {state.step}" + ("; go on with resume=true" if folder else ""))
                raise KeyboardInterrupt
            if state.step % config.checkpoint_every == 0:
                trainer.save()
        trainer.save()
    trainer.finish(finished)
    return Pipeline(
        model,
        process,
        each(lambda leaf: tuple(leaf.shape), as_state(data[0]["x"])),
        device=str(trainer.place),
        precision=config.precision,
        meta={**meta, "step": state.step},
        extra=extra,
        path=trainer.weights if folder else None,
    )


def _chosen(config: TrainConfig, options: Mapping[str, Any]) -> TrainConfig:
    for name in options:
        if not hasattr(config, name):
            raise UsageError(f"{name}: no option of training{did_you_mean(name, vars(config))}")
    return replace(config, **options)
