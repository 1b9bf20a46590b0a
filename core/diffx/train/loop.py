"""Training as a function of (seed, step)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader

from diffx import checkpoint
from diffx.config import TrainConfig
from diffx.errors import DataError
from diffx.model import Model
from diffx.noise import derive
from diffx.process.gaussian import Gaussian
from diffx.train.ema import PowerEMA
from diffx.train.objective import Dataset, batch_loss, collate, stratified, validate
from diffx.train.order import Batches
from diffx.train.precision import autocast_dtype, pick_device
from diffx.train.signals import StopAtBoundary
from diffx.train.state import State
from diffx.train.watch import Watch


class Monitor(Protocol):
    """What training tells the outside; a run of ``diffx.run`` is one."""

    def log(self, text: str) -> None: ...
    def record(self, step: int, **values: float) -> None: ...
    def progress(self, items: int, label: str, done: int = 0) -> Any: ...


def learning_rate(step: int, config: TrainConfig) -> float:
    """Rate of step number ``step`` (counted from 0): linear warm-up, then a half cosine to 1 % at ``config.steps``."""
    ramp = min(1.0, (step + 1) / max(config.warmup, 1))
    done = min(1.0, max(0.0, (step - config.warmup) / max(config.steps - config.warmup, 1)))
    return config.lr * ramp * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def fit(
    model: Model,
    process: Gaussian,
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
) -> Path:
    """Train ``model`` and write its averaged weights.

    Order of the data, noise, learning rate and average follow from ``seed`` and the step number, so a run that is
    stopped - or killed - and resumed ends with the same weights, on a CPU to the bit.

    Args:
        model: its denoiser's ``autocast`` is set from ``config.precision``.
        folder: ``last.safetensors`` (to resume from) and ``weights.safetensors`` are written there.
        meta: JSON-able facts for the headers (plugin, configuration).
        extra: tensors that belong to the weights though they are not trained (a codec), stored under ``extra.``.
        validation: its loss, with the averaged weights and fixed noise, is recorded every ``config.val_every`` steps.
        resume: go on from ``last.safetensors``.

    Returns:
        path of ``weights.safetensors``.

    Raises:
        DataError: empty data, nothing to resume from, a checkpoint of another network.
        DiffxError: the loss is not finite; the line names the step and the last good checkpoint.
        KeyboardInterrupt: after SIGINT or SIGTERM, once the checkpoint is written.
    """
    if not len(data):
        raise DataError("there is nothing to train on: the training split is empty")
    place = pick_device(device)
    accelerator = Accelerator(cpu=place.type == "cpu", mixed_precision="no")
    place = accelerator.device
    model.to(place)
    dtype = autocast_dtype(config.precision, place)
    model.denoiser.autocast = dtype
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trainable, lr=config.lr, weight_decay=config.weight_decay, fused=True)
    scaler = torch.amp.GradScaler(place.type, enabled=dtype is torch.float16)
    state = State(model, PowerEMA(trainable, config.ema_std), optimiser, scaler, extra or {})
    last = folder / "last.safetensors"
    if resume:
        state.restore(last)
        monitor.log(f"resumed at step {state.step} of {config.steps}")
    wrapped = accelerator.prepare_model(model) if accelerator.num_processes > 1 else model
    compiled = torch.compile(wrapped) if config.compile else wrapped
    rank, world = accelerator.process_index, accelerator.num_processes
    order = Batches(seed, len(data), state.step, config.batch, config.accumulate, rank, world)
    loader: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
        data,  # type: ignore[arg-type]
        batch_sampler=order,  # type: ignore[arg-type]
        num_workers=config.workers,
        collate_fn=partial(collate, model),
        persistent_workers=config.workers > 0,
        generator=torch.Generator(),  # otherwise it draws from the global one
    )
    global_batch = config.batch * config.accumulate * world
    watch = Watch(accelerator, last)

    def save() -> None:
        watch.check(state.step)
        if accelerator.is_main_process:
            state.save(last, dict(meta))

    def stopping() -> bool:
        if world == 1:
            return stop.requested
        if state.step % config.log_every:
            return False
        # a process that left alone would leave the others waiting
        return bool(accelerator.reduce(torch.tensor(float(stop.requested), device=place)) > 0)

    batches = iter(loader)
    shown: dict[str, float] = {}
    with StopAtBoundary() as stop, monitor.progress(config.steps, "training", done=state.step) as bar:
        wrapped.train()
        while state.step < config.steps:
            rate = learning_rate(state.step, config)
            for group in optimiser.param_groups:
                group["lr"] = rate
            total = torch.zeros((), device=place)
            for part in range(config.accumulate):
                states, numbers = next(batches)
                samples = order.numbers(state.step, part)
                uniform = stratified(seed, state.step, samples, global_batch)
                final = part == config.accumulate - 1
                with nullcontext() if final or world == 1 else wrapped.no_sync():  # type: ignore[operator]
                    seeds = [derive(seed, "sample", k) for k in samples]
                    loss = batch_loss(
                        compiled, process, states.to(place), numbers, seeds, uniform, config.cond_dropout
                    ).mean()
                    scaler.scale(loss / config.accumulate).backward()
                total += loss.detach() / config.accumulate
            scaler.unscale_(optimiser)
            norm = torch.nn.utils.clip_grad_norm_(trainable, config.clip or math.inf)
            scaler.step(optimiser)
            scaler.update()
            optimiser.zero_grad(set_to_none=True)
            state.step += 1
            state.ema.update(state.step)
            # under loss scaling an infinite gradient is skipped, not an error
            watch.add(total, torch.zeros_like(total) if scaler.is_enabled() else norm)
            if state.step % config.log_every == 0 or state.step == config.steps:
                shown = {"loss": watch.check(state.step)}
                monitor.record(state.step, **shown, grad_norm=float(norm), lr=rate)
            bar.advance(1, **shown)
            if validation is not None and len(validation) and config.val_every and state.step % config.val_every == 0:
                state.ema.swap()
                value = validate(model, process, validation, config.batch, seed, place)
                state.ema.swap()
                monitor.record(state.step, val_loss=value)
            if stopping():
                save()
                monitor.log(f"stopped at step {state.step}; go on with resume=true")
                raise KeyboardInterrupt
            if state.step % config.checkpoint_every == 0:
                save()
        save()
    weights = folder / "weights.safetensors"
    if accelerator.is_main_process:
        export(weights, state.averaged(), {**meta, "step": state.step}, extra)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return weights


def export(
    path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any], extra: Mapping[str, Tensor] | None
) -> None:
    """Weights for sampling: fp16 parameters under ``model.``, ``extra.`` as given."""
    half = {f"model.{k}": v.half() if v.dtype == torch.float32 else v for k, v in tensors.items()}
    checkpoint.save(path, half | {f"extra.{k}": v for k, v in (extra or {}).items()}, {**meta, "kind": "weights"})
