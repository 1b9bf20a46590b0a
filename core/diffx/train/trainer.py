"""One process's share of a training run: its batches, its steps, and the files it leaves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader

from diffx.config import TrainConfig
from diffx.io import checkpoint
from diffx.nets.model import Model
from diffx.nets.precision import autocast_dtype, pick_device
from diffx.noise import derive
from diffx.pipeline.weights import export, for_sampling, half
from diffx.process import Process
from diffx.state import each
from diffx.train.ema import PowerEMA
from diffx.train.muon import Muon
from diffx.train.objective import Dataset, Objective, collate, stratified, validate
from diffx.train.order import Batches
from diffx.train.posthoc import SNAPSHOTS, WIDTHS
from diffx.train.state import State
from diffx.train.uncertainty import Uncertainty
from diffx.train.watch import Watch


def learning_rate(step: int, config: TrainConfig) -> float:
    """Rate of step number ``step`` (counted from 0): linear warm-up, then a half cosine to 1 % at ``config.steps``.

    With ``config.decay`` "inverse_sqrt" it stays at its peak up to step ``config.constant`` and falls with
    1 / sqrt(step) from there, so that training may go on from any step.
    """
    ramp = min(1.0, (step + 1) / max(config.warmup, 1))
    if config.decay == "inverse_sqrt":
        return config.lr * ramp * math.sqrt(config.constant / max(step, config.constant))
    done = min(1.0, max(0.0, (step - config.warmup) / max(config.steps - config.warmup, 1)))
    return config.lr * ramp * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


class Trainer:
    """What :func:`diffx.train.fit` does between two looks at the clock; its arguments are explained there."""

    def __init__(
        self,
        model: Model,
        process: Process,
        data: Dataset,
        config: TrainConfig,
        seed: int,
        folder: Path | None,
        meta: Mapping[str, Any],
        extra: Mapping[str, Tensor],
        device: str,
    ):
        self.model, self.process, self.data, self.config, self.seed = model, process, data, config, seed
        self.folder, self.meta, self.extra = folder, meta, extra
        self.last = folder / "last.safetensors" if folder else None
        self.accelerator = Accelerator(cpu=pick_device(device).type == "cpu", mixed_precision="no")
        self.place, self.world = self.accelerator.device, self.accelerator.num_processes
        self.watch = Watch(self.accelerator, self.last)
        model.to(self.place)
        model.denoiser.autocast = autocast_dtype(config.precision, self.place)
        self.trainable = [p for p in model.parameters() if p.requires_grad]
        self.state = self._initial_state()
        if config.compile:
            getattr(model.denoiser, "net", model.denoiser).compile()  # in place: names in checkpoints stay
        self.wrapped: Any = self.accelerator.prepare_model(model) if self.world > 1 else model
        self.objective = Objective(self.wrapped, model.conditioning, process, config.cond_dropout)
        rank = self.accelerator.process_index
        self.order = Batches(seed, len(data), 0, config.batch, config.accumulate, rank, self.world)

    def _initial_state(self) -> State:
        config = self.config
        groups: list[dict[str, Any]] = [{"params": self.trainable}]
        uncertainty = Uncertainty().to(self.place) if config.uncertainty else None
        if uncertainty is not None:
            groups.append({"params": list(uncertainty.parameters()), "weight_decay": 0.0})
        return State(
            self.model,
            PowerEMA(self.trainable, config.ema_std),
            self._optimiser(groups),
            torch.amp.GradScaler(self.place.type, enabled=self.model.denoiser.autocast is torch.float16),
            tuple(PowerEMA(self.trainable, std) for std in WIDTHS) if config.ema_snapshots else (),
            uncertainty,
            self.extra,
        )

    def _optimiser(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        config = self.config
        if config.optimizer == "muon":
            return Muon(groups, lr=config.lr, weight_decay=config.weight_decay)
        return torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay, fused=True)

    def batches(self) -> Iterator[Any]:
        """This process's micro-batches from the state's step on, without end."""
        self.order.start = self.state.step
        loader: DataLoader[Any] = DataLoader(
            self.data,  # type: ignore[arg-type]
            batch_sampler=self.order,  # type: ignore[arg-type]
            num_workers=self.config.workers,
            collate_fn=partial(collate, self.model.conditioning),
            persistent_workers=self.config.workers > 0,
            generator=torch.Generator(),  # otherwise it draws from the global one
        )
        self.wrapped.train()
        return iter(loader)

    def step(self, batches: Iterator[Any]) -> tuple[Tensor, Tensor, float]:
        """One optimiser step; its loss and gradient norm, both still on the device, and the learning rate."""
        state, parts = self.state, self.config.accumulate
        rate = learning_rate(state.step, self.config)
        for group in state.optimiser.param_groups:
            group["lr"] = rate
        total = torch.zeros((), device=self.place)
        for part in range(parts):
            last = part == parts - 1
            with nullcontext() if last or self.world == 1 else self.wrapped.no_sync():
                total += self._backward(part, *next(batches)) / parts
        self._share_uncertainty()
        state.scaler.unscale_(state.optimiser)
        norm = torch.nn.utils.clip_grad_norm_(self.trainable, self.config.clip or math.inf)
        state.scaler.step(state.optimiser)
        state.scaler.update()
        state.optimiser.zero_grad(set_to_none=True)
        state.advance()
        # under loss scaling an infinite gradient is skipped, not an error
        self.watch.add(total, torch.zeros_like(total) if state.scaler.is_enabled() else norm)
        return total, norm, rate

    def _backward(self, part: int, states: Any, values: dict[str, Tensor]) -> Tensor:
        """Gradients of one micro-batch; its mean loss, as it is before any learned weighting."""
        samples = self.order.numbers(self.state.step, part)
        uniform = stratified(self.seed, self.state.step, samples, self.order.micro * self.order.accumulate * self.world)
        seeds = [derive(self.seed, "sample", k) for k in samples]
        loss = self.objective(each(lambda leaf: leaf.to(self.place), states), values, seeds, uniform)
        uncertainty = self.state.uncertainty
        target = loss if uncertainty is None else uncertainty.weigh(loss, uniform.to(self.place))
        self.state.scaler.scale(target.mean() / self.order.accumulate).backward()
        return loss.detach().mean()

    def _share_uncertainty(self) -> None:
        # it stands beside the module whose gradients are averaged over the processes
        if self.state.uncertainty is not None and self.world > 1:
            for p in self.state.uncertainty.parameters():
                p.grad = self.accelerator.reduce(p.grad, "mean")

    def validate(self, data: Dataset) -> float:
        """Loss of the averaged weights."""
        self.state.ema.swap()
        value = validate(self.model, self.process, data, self.config.batch, self.seed, self.place)
        self.state.ema.swap()
        return value

    def show(self, show: Callable[[int], None]) -> None:
        """Call it with the step, on the first process, while the averaged weights are in place."""
        if self.accelerator.is_main_process:
            self.state.ema.swap()
            show(self.state.step)
            self.state.ema.swap()
            self.wrapped.train()

    def agree(self, stop: bool) -> bool:
        """Whether to stop: at once for a single process, together for several."""
        if self.world == 1:
            return stop
        if self.state.step % self.config.log_every:
            return False
        # a process that left alone would leave the others waiting
        return bool(self.accelerator.reduce(torch.tensor(float(stop), device=self.place)) > 0)

    def rehearse(self) -> None:
        """Save both files once and delete them, so that what cannot be saved is known before the first step.

        Raises:
            PluginError: what cannot be saved.
        """
        if self.last and self.accelerator.is_main_process:
            checkpoint.rehearse(self.last, self.state.tensors(), {**self.meta, **self.state.facts()})
            weights = for_sampling(self.state.averaged(), self.extra)
            checkpoint.rehearse(self.weights, weights, {**self.meta, "kind": "weights", "step": self.state.step})

    def save(self) -> None:
        """The state, to go on from, if nothing since the last one is wrong with it."""
        self.watch.check(self.state.step)
        if self.last and self.accelerator.is_main_process:
            self.state.save(self.last, self.meta)

    def snapshot(self) -> None:
        """The averages from which others can be reconstructed, in fp16."""
        self.watch.check(self.state.step)
        if self.folder and self.accelerator.is_main_process:
            path = self.folder / SNAPSHOTS / f"{self.state.step:09d}.safetensors"
            facts = {**self.meta, "kind": "snapshot", "step": self.state.step, "widths": WIDTHS}
            checkpoint.save(path, half(self.state.profiled()), facts)

    @property
    def weights(self) -> Path:
        """Where the averaged weights go."""
        assert self.folder is not None, "a training without a folder writes no file"
        return self.folder / "weights.safetensors"

    def finish(self, finished: Callable[[dict[str, Tensor]], Mapping[str, Tensor]]) -> None:
        """Give the model its averaged weights, and write them."""
        averaged = finished(self.state.averaged())
        if self.folder and self.accelerator.is_main_process:
            export(self.weights, averaged, {**self.meta, "step": self.state.step}, self.extra)
        self.model.load_state_dict(dict(averaged))
        self.accelerator.wait_for_everyone()
        if self.world > 1:
            # what still holds the process group keeps its threads until the interpreter exits, which then may abort
            del self.wrapped, self.objective
            self.accelerator.free_memory()
        self.accelerator.end_training()
