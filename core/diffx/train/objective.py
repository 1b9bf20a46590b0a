"""What one batch costs, in training and in validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from diffx.condition import Conditioning, Values, drop
from diffx.nets.model import Model
from diffx.noise import Noise, derive
from diffx.process import Process
from diffx.state import as_state, each


class Dataset(Protocol):
    """Items are dicts with the clean state under ``x`` and values of the conditioners' fields."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Mapping[str, Any]: ...


def collate(conditioning: Conditioning, items: Sequence[Mapping[str, Any]]) -> tuple[Any, dict[str, Tensor]]:
    """Items -> states [B, ...], one a leaf where they are mixed, and a batch of condition values."""
    states = [as_state(item["x"]) for item in items]
    values = conditioning.collate([{name: item.get(name) for name in conditioning.fields} for item in items])
    return each(lambda *leaves: torch.stack(leaves), *states), values


@dataclass(frozen=True)
class Objective:
    """The loss of each sample of a batch.

    Args:
        model: (x_t, t, values) -> prediction: a :class:`Model`, compiled or distributed as need be.
        conditioning: the model's.
        process: what noises the states and compares.
        cond_dropout: share of samples whose condition is forgotten.
    """

    model: Callable[..., Any]
    conditioning: Conditioning
    process: Process
    cond_dropout: float = 0.0

    def __call__(self, states: Any, values: Values, seeds: Sequence[int], uniform: Tensor) -> Tensor:
        """[B], at noise levels from ``uniform`` [B] and noise from ``seeds``."""
        noise = Noise(seeds)
        if self.cond_dropout:
            values = drop(values, noise["drop"].uniform(len(values) + 1), self.cond_dropout)
        values = self.conditioning.augment(values, noise["augment"])
        times = self.process.times(uniform.double().numpy())
        noisy = self.process.corrupt(states, times, Noise(seeds, device_of(states)))

        def predict(beside: Mapping[str, Any]) -> Any:
            return self.model(noisy.x, noisy.t, values, beside)

        beside = self.process.rehearse(predict, noisy, noise["rehearse"])
        return self.process.loss(predict(beside), noisy)


def device_of(states: Any) -> torch.device:
    """Where a state, or its first leaf, lies."""
    return (next(iter(states.values())) if isinstance(states, Mapping) else states).device


def stratified(seed: int, step: int, samples: range, total: int) -> Tensor:
    """Uniform variates of ``samples``, evenly spread over the step's batch of ``total`` from one random offset.

    Low-discrepancy noise levels lower the variance of the gradient (Kingma et al. 2021, appendix I.1).
    """
    offset = Noise([derive(seed, "levels", step)]).uniform(1)[0]
    position = torch.tensor([k % total for k in samples])
    return ((offset + position / total) % 1).clamp(1e-6, 1 - 1e-6)


@torch.no_grad()
def validate(model: Model, process: Process, data: Dataset, batch: int, seed: int, device: torch.device) -> float:
    """Mean loss over ``data`` at fixed noise and evenly spread levels, so that values compare between steps.

    Args:
        model: what is validated.
        process: what noises the data.
        data: items as in training.
        batch: items in one forward pass.
        seed: of the noise.
        device: of the model.
    """
    was_training = model.training
    model.eval()
    objective = Objective(model, model.conditioning, process)
    losses = []
    for first in range(0, len(data), batch):
        index = range(first, min(first + batch, len(data)))
        states, values = collate(model.conditioning, [data[i] for i in index])
        uniform = torch.tensor([(i + 0.5) / len(data) for i in index])
        seeds = [derive(seed, "validation", i) for i in index]
        losses.append(objective(each(lambda leaf: leaf.to(device), states), values, seeds, uniform))
    model.train(was_training)
    return float(torch.cat(losses).mean())
