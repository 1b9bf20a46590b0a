"""What one batch costs, in training and in validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from diffx.condition import drop
from diffx.model import Model
from diffx.noise import Noise, derive
from diffx.process.gaussian import Gaussian


class Dataset(Protocol):
    """Items are dicts with the clean state under ``x`` and values of the conditioners' fields."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Mapping[str, Any]: ...


def collate(model: Model, items: Sequence[Mapping[str, Any]]) -> tuple[Tensor, Tensor]:
    """Items -> states [B, ...] and condition numbers [B, F]."""
    names = list(model.conditioning.fields)
    states = torch.stack([torch.as_tensor(item["x"], dtype=torch.float32) for item in items])
    numbers = torch.stack([model.conditioning.parse({n: item.get(n) for n in names}) for item in items])
    return states, numbers


def batch_loss(
    model: Callable[..., Tensor],
    process: Gaussian,
    states: Tensor,
    numbers: Tensor,
    seeds: Sequence[int],
    uniform: Tensor,
    cond_dropout: float,
) -> Tensor:
    """Loss of each sample [B], at noise levels from ``uniform`` [B] and noise from ``seeds``."""
    if cond_dropout:
        numbers = drop(numbers, Noise(seeds)["drop"].uniform(numbers.shape[1] + 1), cond_dropout)
    noisy = process.corrupt(states, process.times(uniform.double().numpy()), Noise(seeds, states.device))
    return process.loss(model(noisy.x, noisy.t, numbers), noisy)


def stratified(seed: int, step: int, samples: range, total: int) -> Tensor:
    """Uniform variates of ``samples``, evenly spread over the step's batch of ``total`` from one random offset.

    Low-discrepancy noise levels lower the variance of the gradient (Kingma et al. 2021, appendix I.1).
    """
    offset = Noise([derive(seed, "levels", step)]).uniform(1)[0]
    position = torch.tensor([k % total for k in samples])
    return ((offset + position / total) % 1).clamp(1e-6, 1 - 1e-6)


@torch.no_grad()
def validate(model: Model, process: Gaussian, data: Dataset, batch: int, seed: int, device: torch.device) -> float:
    """Mean loss over ``data`` at fixed noise and evenly spread levels, so that values compare between steps."""
    was_training = model.training
    model.eval()
    values = []
    for first in range(0, len(data), batch):
        index = range(first, min(first + batch, len(data)))
        states, numbers = collate(model, [data[i] for i in index])
        uniform = torch.tensor([(i + 0.5) / len(data) for i in index])
        seeds = [derive(seed, "validation", i) for i in index]
        values.append(batch_loss(model, process, states.to(device), numbers, seeds, uniform, 0.0))
    model.train(was_training)
    return float(torch.cat(values).mean())
