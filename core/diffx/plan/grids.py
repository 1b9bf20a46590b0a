"""Grids: where on the way from noise to data a sampler stops, as falling schedule times."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

from diffx.process.schedule import Schedule, sigma_range


def uniform(schedule: Schedule, n: int) -> tuple[float, ...]:
    """n + 1 times, evenly spaced from t_max to 0."""
    return tuple(float(t) for t in schedule.t_max * (1 - np.arange(n + 1) / n))


def _spaced(schedule: Schedule, n: int, to: Callable, back: Callable) -> tuple[float, ...]:
    """n times evenly spaced in to(sigma/alpha), then 0."""
    low, high = sigma_range(schedule)
    ramp = np.linspace(0.0, 1.0, n) if n > 1 else np.zeros(1)
    ratios = back(to(high) + ramp * (to(low) - to(high)))
    ratios[0] = high
    return (*(float(schedule.time(r)) for r in ratios), 0.0)


def karras(schedule: Schedule, n: int, rho: float = 7.0) -> tuple[float, ...]:
    """Evenly spaced in (sigma/alpha)^(1/rho), then 0 (Karras et al. 2022, eq. 5)."""
    return _spaced(schedule, n, lambda s: s ** (1 / rho), lambda y: y**rho)


def log_snr(schedule: Schedule, n: int) -> tuple[float, ...]:
    """Evenly spaced in log-SNR, then 0 (Lu et al. 2022)."""
    return _spaced(schedule, n, np.log, np.exp)


def angle(schedule: Schedule, n: int, sigma_data: float = 1.0) -> tuple[float, ...]:
    """sigma/alpha = sigma_data tan(phi) with phi evenly spaced down to 0 (the coordinate of Lu and Song 2024)."""
    top = math.atan(sigma_range(schedule)[1] / sigma_data)
    phi = top * (1 - np.arange(n + 1) / n)
    return tuple(float(schedule.time(r)) for r in sigma_data * np.tan(phi))


GRIDS: dict[str, Callable[..., tuple[float, ...]]] = {
    "uniform": uniform,
    "karras": karras,
    "log_snr": log_snr,
    "angle": angle,
}


def pairs(times: Sequence[float]) -> list[tuple[float, float]]:
    """(t, s) of each step of a grid. ValueError unless it falls strictly towards 0 and has two entries at least."""
    times = [float(t) for t in times]
    if len(times) < 2 or not all(t > s >= 0 for t, s in itertools.pairwise(times)):
        raise ValueError(f"a time grid falls strictly from noise towards 0 and has two entries at least, not {times}")
    return list(itertools.pairwise(times))
