"""Where training spends its noise: uniform variates [B] in (0, 1) -> times [B]."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch

from diffx.schedule.base import Schedule

NoiseDistribution: TypeAlias = Callable[[Schedule, np.ndarray], np.ndarray]


def lognormal(mean: float = -1.2, std: float = 1.2, tail: float = 0.0) -> NoiseDistribution:
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
