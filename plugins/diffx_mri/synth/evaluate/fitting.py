"""A small training loop: a function of the step number, so that a run that is killed goes on to the same weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffx.errors import DataError, DiffxError
from diffx.io import checkpoint
from diffx.train.signals import StopAtBoundary

_EVERY = 200  # steps between two checkpoints


def fit(module: nn.Module, loss: Callable[[int], Tensor], steps: int, rate: float, file: Path, run: Any) -> None:
    """Adam on `loss(step)` for `steps` steps, the rate falling to 0 as a half cosine.

    `file` keeps weights and moments every 200 steps and at Ctrl-C or SIGTERM; what it holds of this training is taken
    up. `run` has `record`, `progress` and `log`.

    Raises:
        DiffxError: the loss is not finite. KeyboardInterrupt: after a signal, once the checkpoint is written.
    """
    name = file.stem
    optimiser = torch.optim.Adam(module.parameters(), lr=rate)
    done = _take_up(file, module, optimiser, steps, run)
    module.train()
    with StopAtBoundary() as stop, run.progress(steps, f"training the {name}", done=done) as bar:
        for step in range(done, steps):
            for group in optimiser.param_groups:
                group["lr"] = rate * min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
            value = loss(step)
            if not torch.isfinite(value):
                raise DiffxError(f"training the {name}: the loss is not finite at step {step}; last state: {file}")
            optimiser.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimiser.step()
            if step % 20 == 0:
                run.record(step, **{f"{name} loss": value.item()})
            if (step + 1) % _EVERY == 0 or step + 1 == steps or stop.requested:
                _keep(file, module, optimiser, step + 1, steps)
            if stop.requested:
                raise KeyboardInterrupt
            bar.advance(loss=value.item())
    module.eval()


def _keep(file: Path, module: nn.Module, optimiser: torch.optim.Optimizer, step: int, steps: int) -> None:
    tensors = {f"weights.{name}": tensor for name, tensor in module.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
    checkpoint.save(file, tensors, {"kind": "checkpoint", "step": step, "steps": steps})


def _take_up(file: Path, module: nn.Module, optimiser: torch.optim.Optimizer, steps: int, run: Any) -> int:
    """Weights and moments from the file; the number of steps done, 0 where there is none."""
    if not file.exists():
        return 0
    tensors, meta = checkpoint.load(file)
    if meta.get("steps") != steps:
        raise DataError(f"{file}: it is of a training of {meta.get('steps')} steps, not {steps}; give another out=")
    checkpoint.load_into(module, checkpoint.under(tensors, "weights"), file)
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in checkpoint.under(tensors, "adam").items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    run.log(f"{file.stem}: resumed at step {meta['step']} of {steps}")
    return int(meta["step"])
