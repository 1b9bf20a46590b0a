"""Gaussian diffusion of one tensor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from diffx.noise import Noise
from diffx.process.base import Memory, Noisy
from diffx.process.weighting import Weight, edm_weight
from diffx.schedule import EDM, Schedule
from diffx.schedule.distribution import NoiseDistribution, lognormal

if TYPE_CHECKING:
    from diffx.process.table import Row


@dataclass(frozen=True)
class Gaussian:
    """x_t = alpha(t) x_0 + sigma(t) eps for a tensor of any shape.

    Args:
        schedule: alpha and sigma.
        sigma_data: standard deviation of the data, which sets the prior's scale and the loss weight.
        levels: maps uniform variates [B] to training times [B].
        weight: loss weight of x_0-hat at times [B]; by default :func:`edm_weight`.
    """

    schedule: Schedule = field(default_factory=EDM)
    sigma_data: float = 1.0
    levels: NoiseDistribution = field(default_factory=lognormal)
    weight: Weight | None = None

    def times(self, u: np.ndarray) -> np.ndarray:
        """Training times [B] from uniform variates [B] in (0, 1)."""
        return self.levels(self.schedule, u)

    def prior(self, shape: tuple[int, ...], noise: Noise, t: float | None = None) -> Tensor:
        """x at the start of sampling, [B, *shape]: N(0, alpha^2 sigma_data^2 + sigma^2), of which alpha is ~0."""
        t = self.schedule.t_max if t is None else t
        scale = np.hypot(self.schedule.alpha(t) * self.sigma_data, self.schedule.sigma(t))
        return noise["prior"].normal(*shape) * float(scale)

    def corrupt(self, x0: Tensor, t: np.ndarray, noise: Noise) -> Noisy:
        """Noise x0 [B, ...] to times t [B]."""
        t = np.broadcast_to(np.asarray(t, dtype=np.float64), (x0.shape[0],))
        eps = noise["corrupt"].normal(*x0.shape[1:])
        weight = (self.weight or edm_weight(self.sigma_data))(self.schedule, t)
        column = (-1,) + (1,) * (x0.ndim - 1)
        a, s, w = (
            torch.as_tensor(np.array(v), dtype=torch.float32, device=x0.device)
            for v in (self.schedule.alpha(t), self.schedule.sigma(t), weight)
        )
        return Noisy(a.view(column) * x0 + s.view(column) * eps, t, x0, w)

    def loss(self, prediction: Tensor, noisy: Noisy) -> Tensor:
        """Weighted mean squared error of x_0-hat, one value a sample: [B]."""
        return noisy.weight * (prediction.float() - noisy.target).square().flatten(1).mean(1)

    def step(self, x: Tensor, prediction: Tensor | None, row: Row, memory: Memory, noise: Noise, index: int) -> Tensor:
        """Apply one row of a plan, x' = A x + D anchor + sum_j B_j m_-j + C z, to x [B, ...]. Updates ``memory``."""
        if prediction is not None:
            p, q = row.keep
            output = prediction if (p, q) == (0.0, 1.0) else (q * prediction).add_(x, alpha=p)
            memory.history = (output, *memory.history)[: memory.depth]
        if row.hold:
            memory.anchor = x
        if row.a == row.c == row.d == 0 and row.b == (1.0,):
            return memory.history[0]  # what was predicted, to the bit: 0 x + m loses signs of zero
        out = x * row.a
        for b, m in zip(row.b, memory.history[: len(row.b)], strict=True):
            if b:
                out = out.add_(m, alpha=b)
        if row.d:
            assert memory.anchor is not None, "an anchor is used before a row holds one"
            out = out.add_(memory.anchor, alpha=row.d)
        if row.c:
            out = out.add_(noise["step"].normal(*x.shape[1:], step=index), alpha=row.c)
        return out
