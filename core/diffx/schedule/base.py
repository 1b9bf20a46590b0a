"""Noise schedules: x_t = alpha(t) x_0 + sigma(t) eps, as frozen objects in host float64.

Time runs from 0 (clean) to ``t_max`` (prior). Everything is a plain float or a NumPy array on the host, so that a
sampler's coefficients are known before the accelerator starts and no schedule is ever cast to half precision.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np

Time = TypeVar("Time", float, np.ndarray)


@dataclass(frozen=True)
class Schedule(ABC):
    """What every schedule answers. ``t`` is a float or a float64 array in [0, t_max]."""

    t_max: ClassVar[float] = 1.0

    @abstractmethod
    def alpha(self, t: Time) -> Time:
        """Scale of the data."""

    @abstractmethod
    def sigma(self, t: Time) -> Time:
        """Standard deviation of the noise."""

    @abstractmethod
    def rates(self, t: Time) -> tuple[Time, Time]:
        """(d alpha/dt, d sigma/dt): the velocity of the probability flow is alpha' x_0 + sigma' eps."""

    def ratio(self, t: Time) -> Time:
        """Noise-to-signal ratio sigma/alpha, "sigma" in EDM's coordinates; inf where alpha is 0."""
        with np.errstate(divide="ignore"):
            return np.divide(self.sigma(t), self.alpha(t))

    @abstractmethod
    def time(self, ratio: Time) -> Time:
        """Inverse of :meth:`ratio`; ratio in [0, inf]."""

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
        return self._time(np.log1p(np.square(np.asarray(ratio, dtype=np.float64))))

    def _time(self, integral):
        """Where the integral of beta, -2 log alpha and a quadratic in t, has this value."""
        root = np.sqrt(self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * integral)
        with np.errstate(invalid="ignore"):
            t = 2 * integral / (root + self.beta_min)
        return np.where(np.isinf(integral), self.t_max, np.minimum(t, self.t_max))[()]


@dataclass(frozen=True)
class SubVP(Linear):
    """:class:`Linear`'s alpha with sigma = 1 - alpha^2, below the variance-preserving sigma at every time (Song et al.
    2021, eq. 29)."""

    def sigma(self, t):
        return -np.expm1(2 * self._log_alpha(t))[()]

    def rates(self, t):
        beta = self.beta_min + t * (self.beta_max - self.beta_min)
        alpha = self.alpha(t)
        return -0.5 * beta * alpha, beta * alpha**2

    def time(self, ratio):
        # ratio = 1/alpha - alpha = 2 sinh(-log alpha)
        return self._time(2 * np.arcsinh(np.asarray(ratio, dtype=np.float64) / 2))


@dataclass(frozen=True)
class Sigmoid(Schedule):
    """Variance preserving, alpha^2 a sigmoid of time, shifted and scaled to run from 1 to 0 (Jabri et al. 2022,
    algorithm 1, without its clipping: the SNR at t = 1 is exactly zero).

    The paths start and end in square roots: at t = 1 they are infinitely fast, so ``euler`` and ``heun`` cannot start
    there, and a network cannot predict the ``flow``.

    Args:
        start: where the part of the sigmoid begins that is used.
        end: where it ends, above ``start``.
        tau: its temperature; larger is straighter.
    """

    start: float = -3.0
    end: float = 3.0
    tau: float = 1.0

    @property
    def _ends(self) -> tuple[float, float]:
        return self.start / self.tau / 2, self.end / self.tau / 2

    def _power(self, t):
        """(alpha^2, sigma^2), as products: a difference of sigmoids would lose its digits at the ends."""
        low, high = self._ends
        t = np.asarray(t, dtype=np.float64)
        scale = np.sinh(high - low) * np.cosh(low + (high - low) * t)
        signal, noise = np.sinh((high - low) * (1 - t)), np.sinh((high - low) * t)
        return np.cosh(low) * signal / scale, np.cosh(high) * noise / scale

    def alpha(self, t):
        return np.sqrt(self._power(t)[0])[()]

    def sigma(self, t):
        return np.sqrt(self._power(t)[1])[()]

    def rates(self, t):
        low, high = self._ends
        middle = np.cosh(low + (high - low) * np.asarray(t, dtype=np.float64))
        slope = (high - low) * np.cosh(low) * np.cosh(high) / (np.sinh(high - low) * middle**2)
        with np.errstate(divide="ignore"):
            return -np.divide(slope, 2 * self.alpha(t)), np.divide(slope, 2 * self.sigma(t))

    def time(self, ratio):
        low, high = self._ends
        with np.errstate(divide="ignore"):
            weight = np.cosh(high) / np.cosh(low) / np.square(np.asarray(ratio, dtype=np.float64))
        t = np.log1p(2 * np.sinh(high - low) / (weight + np.exp(low - high))) / (2 * (high - low))
        return np.where(np.isinf(ratio), self.t_max, np.minimum(t, self.t_max))[()]


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

    Exactly exponential in t from 0 to 1, so noise of sigma_min is left at t = 0. A plan that ends at 0 hands on the
    prediction, on this schedule too: nothing is evaluated at sigma_min, and the sample has no noise left.
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
    """The part of [low, high] in sigma/alpha that the schedule reaches, for grids spaced in noise; EDM and VE have
    their own."""
    if isinstance(schedule, EDM | VE):
        return schedule.sigma_min, schedule.sigma_max
    top = float(schedule.ratio(schedule.t_max))
    return low, top if math.isfinite(top) and top < high else high
