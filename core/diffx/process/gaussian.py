"""Gaussian diffusion of one tensor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from diffx.noise import Noise
from diffx.process.schedule import EDM, Schedule

if TYPE_CHECKING:
    from diffx.plan import Row


@dataclass(frozen=True)
class Noisy:
    """A corrupted batch: ``x`` [B, ...], host times ``t`` [B], what the prediction should be, and the weight [B]."""

    x: Tensor
    t: np.ndarray
    target: Tensor
    weight: Tensor


@dataclass
class Memory:
    """What a solver carries between rows: earlier predictions, newest first, and the anchor of a two-stage step."""

    history: tuple[Any, ...] = ()
    anchor: Any = None


def lognormal(mean: float = -1.2, std: float = 1.2, tail: float = 0.0) -> Callable[[Schedule, np.ndarray], np.ndarray]:
    """Noise levels with log(sigma/alpha) ~ N(mean, std^2) (Karras et al. 2022, table 1).

    ``tail``: share of the levels that is spread evenly, in the logarithm, from mean + std up to the schedule's top
    instead (at most 1000): a state whose elements move together is decided at far more noise than any one of them.
    """

    def times(schedule: Schedule, u: np.ndarray) -> np.ndarray:
        u = np.asarray(u, dtype=np.float64)
        body = torch.special.ndtri(torch.from_numpy(np.clip((u - tail) / (1 - tail), 1e-9, 1 - 1e-9))).numpy()
        top = np.log(min(float(schedule.ratio(schedule.t_max)), 1000.0))
        high = top + (mean + std - top) * u / max(tail, 1e-9)
        return schedule.time(np.exp(np.where(u < tail, high, mean + std * body)))

    return times


def uniform_time(schedule: Schedule, u: np.ndarray) -> np.ndarray:
    """Noise levels uniform in time."""
    return u * schedule.t_max


def edm_weight(sigma_data: float) -> Callable[[Schedule, np.ndarray], np.ndarray]:
    """(s^2 + sigma_data^2) / (s sigma_data)^2, s = sigma/alpha: unit weight on the raw network (Karras et al. 2022).

    On a variance-preserving schedule with sigma_data = 1 this is the v-prediction loss.
    """

    def weight(schedule: Schedule, t: np.ndarray) -> np.ndarray:
        # written with alpha and sigma so that zero terminal SNR gives 1 / sigma_data^2, not inf / inf
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        return (alpha**2 * sigma_data**2 + sigma**2) / (sigma * sigma_data) ** 2

    return weight


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
    levels: Callable[[Schedule, np.ndarray], np.ndarray] = field(default_factory=lognormal)
    weight: Callable[[Schedule, np.ndarray], np.ndarray] | None = None

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

    def step(self, x: Tensor, prediction: Tensor, row: Row, memory: Memory, noise: Noise, index: int) -> Tensor:
        """Apply one row of a plan: x' = A x + D anchor + sum_j B_j m_-j + C z. Updates ``memory``."""
        history = (prediction, *memory.history)
        if row.hold:
            memory.anchor = x
        out = x * row.a
        for b, m in zip(row.b, history[: len(row.b)], strict=True):
            if b:
                out = out.add_(m, alpha=b)
        if row.d:
            out = out.add_(memory.anchor, alpha=row.d)
        if row.c:
            out = out.add_(noise["step"].normal(*x.shape[1:], step=index), alpha=row.c)
        memory.history = history[:2]
        return out
