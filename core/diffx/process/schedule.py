"""Noise schedules: x_t = alpha(t) x_0 + sigma(t) eps, as frozen objects in host float64.

Time runs from 0 (clean) to ``t_max`` (prior). Everything is a plain float or a NumPy array on the host, so that a
sampler's coefficients are known before the accelerator starts and no schedule is ever cast to half precision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np

Time = TypeVar("Time", float, np.ndarray)


@dataclass(frozen=True)
class Schedule:
    """What every schedule answers. ``t`` is a float or a float64 array in [0, t_max]."""

    t_max: ClassVar[float] = 1.0

    def alpha(self, t: Time) -> Time:
        """Scale of the data."""
        raise NotImplementedError

    def sigma(self, t: Time) -> Time:
        """Standard deviation of the noise."""
        raise NotImplementedError

    def rates(self, t: Time) -> tuple[Time, Time]:
        """(d alpha/dt, d sigma/dt): the velocity of the probability flow is alpha' x_0 + sigma' eps."""
        raise NotImplementedError

    def ratio(self, t: Time) -> Time:
        """Noise-to-signal ratio sigma/alpha, "sigma" in EDM's coordinates; inf where alpha is 0."""
        with np.errstate(divide="ignore"):
            return np.divide(self.sigma(t), self.alpha(t))

    def time(self, ratio: Time) -> Time:
        """Inverse of :meth:`ratio`; ratio in [0, inf]."""
        raise NotImplementedError

    def log_snr(self, t: Time) -> Time:
        """log(alpha^2 / sigma^2) (Kingma et al. 2021); +inf when clean, -inf at zero terminal SNR."""
        with np.errstate(divide="ignore"):
            return -2 * np.log(self.ratio(t))


@dataclass(frozen=True)
class Cosine(Schedule):
    """Variance preserving, alpha = cos(pi t / 2) (Nichol and Dhariwal 2021, without the offset).

    The SNR at t = 1 is exactly zero, so a network on it must not predict eps (Lin et al. 2024).
    """

    def alpha(self, t):
        # sin of the complement: exactly 0 at t = 1, where cos(pi/2) in floating point is not
        return np.sin(np.pi / 2 * (1.0 - np.asarray(t, dtype=np.float64)))[()]

    def sigma(self, t):
        return np.sin(np.pi / 2 * np.asarray(t, dtype=np.float64))[()]

    def rates(self, t):
        return -np.pi / 2 * self.sigma(t), np.pi / 2 * self.alpha(t)

    def time(self, ratio):
        return np.arctan(ratio) * 2 / np.pi


@dataclass(frozen=True)
class Linear(Schedule):
    """Variance preserving with beta linear in time (Ho et al. 2020; in continuous time Song et al. 2021, eq. 32)."""

    beta_min: float = 0.1
    beta_max: float = 20.0

    def _log_alpha(self, t):
        t = np.asarray(t, dtype=np.float64)
        return -0.25 * t**2 * (self.beta_max - self.beta_min) - 0.5 * t * self.beta_min

    def alpha(self, t):
        return np.exp(self._log_alpha(t))[()]

    def sigma(self, t):
        return np.sqrt(-np.expm1(2 * self._log_alpha(t)))[()]

    def rates(self, t):
        half_beta = 0.5 * (self.beta_min + t * (self.beta_max - self.beta_min))
        alpha, sigma = self.alpha(t), self.sigma(t)
        with np.errstate(divide="ignore"):
            return -half_beta * alpha, np.divide(half_beta * alpha**2, sigma)

    def time(self, ratio):
        # -2 log alpha = log(1 + ratio^2), a quadratic in t
        log_term = np.log1p(np.square(np.asarray(ratio, dtype=np.float64)))
        slope = self.beta_max - self.beta_min
        root = np.sqrt(self.beta_min**2 + 2 * slope * log_term)
        with np.errstate(invalid="ignore"):
            t = 2 * log_term / (root + self.beta_min)
        return np.where(np.isinf(log_term), self.t_max, np.minimum(t, self.t_max))[()]


@dataclass(frozen=True)
class EDM(Schedule):
    """Variance exploding with t = sigma (Karras et al. 2022). ``sigma_max`` is where sampling starts."""

    sigma_max: float = 80.0
    sigma_min: float = 0.002

    @property
    def t_max(self) -> float:  # type: ignore[override]
        return self.sigma_max

    def alpha(self, t):
        return np.ones_like(t, dtype=np.float64)[()]

    def sigma(self, t):
        return np.asarray(t, dtype=np.float64)[()]

    def rates(self, t):
        return np.zeros_like(t, dtype=np.float64)[()], np.ones_like(t, dtype=np.float64)[()]

    def time(self, ratio):
        return np.minimum(ratio, self.sigma_max)


@dataclass(frozen=True)
class VE(Schedule):
    """Variance exploding with sigma = sigma_min^(1 - t) sigma_max^t (Song et al. 2021, appendix C).

    Exactly exponential in t from 0 to 1, so noise of sigma_min is left at t = 0.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def alpha(self, t):
        return np.ones_like(t, dtype=np.float64)[()]

    def sigma(self, t):
        return (self.sigma_min * (self.sigma_max / self.sigma_min) ** np.asarray(t, dtype=np.float64))[()]

    def rates(self, t):
        return np.zeros_like(t, dtype=np.float64)[()], self.sigma(t) * np.log(self.sigma_max / self.sigma_min)

    def time(self, ratio):
        with np.errstate(divide="ignore"):
            t = np.log(np.asarray(ratio, dtype=np.float64) / self.sigma_min) / np.log(self.sigma_max / self.sigma_min)
        return np.clip(t, 0.0, self.t_max)[()]


@dataclass(frozen=True)
class RectifiedFlow(Schedule):
    """Straight paths, x_t = (1 - t) x_0 + t eps (Liu et al. 2023; Lipman et al. 2023)."""

    def alpha(self, t):
        return (1.0 - np.asarray(t, dtype=np.float64))[()]

    def sigma(self, t):
        return np.asarray(t, dtype=np.float64)[()]

    def rates(self, t):
        one = np.ones_like(t, dtype=np.float64)[()]
        return -one, one

    def time(self, ratio):
        ratio = np.asarray(ratio, dtype=np.float64)
        return np.where(np.isinf(ratio), 1.0, ratio / (1.0 + np.where(np.isinf(ratio), 0.0, ratio)))[()]


def sigma_range(schedule: Schedule, low: float = 0.002, high: float = 80.0) -> tuple[float, float]:
    """The part of [low, high] in sigma/alpha that the schedule reaches, for grids spaced in noise; EDM has its own."""
    if isinstance(schedule, EDM):
        return schedule.sigma_min, schedule.sigma_max
    top = float(schedule.ratio(schedule.t_max))
    return low, top if math.isfinite(top) and top < high else high
