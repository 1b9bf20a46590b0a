"""Grids: where on the way from noise to data a sampler stops, as falling schedule times.

Each takes ``start``, the noise (sigma/alpha) of the first time, for a start from a noisy state instead of the prior.
Those spaced in noise go from there to the least noise a network knows, and then to 0. Where a schedule has no clean
time (VE), its least noise takes the place of 0.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

from diffx.process.table import pairs
from diffx.schedule.base import Schedule, sigma_range


def _first(schedule: Schedule, start: float | None) -> float:
    return schedule.t_max if start is None else float(schedule.time(start))


def uniform(schedule: Schedule, n: int, start: float | None = None) -> tuple[float, ...]:
    """n + 1 times, evenly spaced from t_max to 0."""
    return tuple(float(t) for t in _first(schedule, start) * (1 - np.arange(n + 1) / n))


def trailing(schedule: Schedule, n: int, start: float | None = None, trained: int = 1000) -> tuple[float, ...]:
    """``uniform``, rounded to the times k t_max / ``trained`` that a network trained in discrete time has seen (Lin et
    al. 2024, section 3.3; their step k - 1 is time k here).

    Raises:
        ValueError: n is larger than the number of those times.
    """
    last = round(_first(schedule, start) / schedule.t_max * trained)
    if n > last:
        raise ValueError(f"there are only {last} times for {n} steps of the trailing grid")
    ticks = np.floor(last * (1 - np.arange(n + 1) / n) + 0.5)
    return tuple(float(t) for t in schedule.t_max * ticks / trained)


def _spaced(
    schedule: Schedule, n: int, start: float | None, to: Callable, back: Callable, to_zero: bool = False
) -> tuple[float, ...]:
    """n times evenly spaced in to(sigma/alpha), then 0, which with ``to_zero`` is the next of the same row."""
    low, high = sigma_range(schedule)
    high = high if start is None else start
    if not low < high < math.inf:
        raise ValueError(f"this grid starts from noise above {low:g}, and finite, not from {start}")
    if to_zero or schedule.ratio(0.0) > 0:
        low, intervals = float(schedule.ratio(0.0)), n
    else:
        intervals = max(n - 1, 1)
    ratios = back(to(high) + np.arange(n) / intervals * (to(low) - to(high)))
    ratios[0] = high
    return (*(float(schedule.time(r)) for r in ratios), 0.0)


def karras(schedule: Schedule, n: int, start: float | None = None, rho: float = 7.0) -> tuple[float, ...]:
    """Evenly spaced in (sigma/alpha)^(1/rho), then 0 (Karras et al. 2022, eq. 5)."""
    return _spaced(schedule, n, start, lambda s: s ** (1 / rho), lambda y: y**rho)


def log_snr(schedule: Schedule, n: int, start: float | None = None) -> tuple[float, ...]:
    """Evenly spaced in log-SNR, so exponential in sigma/alpha, then 0 (Lu et al. 2022)."""
    return _spaced(schedule, n, start, np.log, np.exp)


def angle(schedule: Schedule, n: int, start: float | None = None, sigma_data: float = 1.0) -> tuple[float, ...]:
    """n + 1 times, evenly spaced in phi from the prior to 0, sigma/alpha = sigma_data tan(phi) (the coordinate of Lu
    and Song 2024): the prediction from phi_max / n is the sample."""
    return _spaced(schedule, n, start, *_tangent(sigma_data), to_zero=True)


def angle_least(schedule: Schedule, n: int, start: float | None = None, sigma_data: float = 1.0) -> tuple[float, ...]:
    """Evenly spaced in phi down to the least noise, then 0: made for ``ab``, whose error it halves.

    The last interval but one is long in log-SNR, and rules that extrapolate in that (``dpmpp``, ``unipc``) do so badly
    there.
    """
    return _spaced(schedule, n, start, *_tangent(sigma_data))


def _tangent(sigma_data: float) -> tuple[Callable, Callable]:
    return lambda ratio: np.arctan(ratio / sigma_data), lambda phi: sigma_data * np.tan(phi)


#: by the name of ``sample.grid``; log_snr has its name in k-diffusion too
GRIDS: dict[str, Callable[..., tuple[float, ...]]] = {
    "uniform": uniform,
    "trailing": trailing,
    "karras": karras,
    "log_snr": log_snr,
    "exponential": log_snr,
    "angle": angle,
    "angle_least": angle_least,
}


def steps(schedule: Schedule, times: Sequence[float], eta: float = 0.0) -> list[tuple[float, float]]:
    """:func:`pairs` of a grid that may also rise, from a state of some noise, for a solver without fresh noise: the
    probability flow from data to noise."""
    rising = [float(t) for t in times]
    if eta or len(rising) < 2 or not rising[1] > rising[0]:
        return pairs(times)
    if not (schedule.sigma(rising[0]) > 0 and all(t < s <= schedule.t_max for t, s in itertools.pairwise(rising))):
        raise ValueError(f"a grid that rises does so strictly, from noise above 0 up to t_max, unlike {rising}")
    return list(itertools.pairwise(rising))
