"""A schedule answers alpha, sigma, their rates, and the inverse of sigma/alpha, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffx.schedule import Schedule


@dataclass(frozen=True)
class Laplace(Schedule):
    """Variance preserving, with log-SNR spread as a Laplace distribution (Hang et al. 2024, "Improved noise schedule").

    For t uniform in (0, 1), log-SNR has the mean ``mean`` and the scale ``scale``: most levels lie where signal and
    noise are alike. With q = sigma/alpha,

        q(t) = exp(-mean / 2) (2 t)^(scale / 2)              for t <= 1/2,
        q(t) = exp(-mean / 2) (2 (1 - t))^(-scale / 2)       for t > 1/2,

    so both ends are exact: no noise at 0, no signal at 1 - where a network must not predict eps.
    """

    mean: float = 0.0
    scale: float = 0.5

    def ratio(self, t):
        t = np.asarray(t, dtype=np.float64)
        with np.errstate(divide="ignore"):
            late = np.power(2 * (1 - t), -self.scale / 2)
        return (np.exp(-self.mean / 2) * np.where(t <= 0.5, np.power(2 * t, self.scale / 2), late))[()]

    def time(self, ratio):
        q = np.asarray(ratio, dtype=np.float64) * np.exp(self.mean / 2)
        with np.errstate(divide="ignore"):
            late = 1 - np.power(q, -2 / self.scale) / 2
        return np.where(q <= 1, np.power(np.minimum(q, 1), 2 / self.scale) / 2, late)[()]

    def alpha(self, t):
        return (1 / np.hypot(1, self.ratio(t)))[()]

    def sigma(self, t):
        with np.errstate(divide="ignore"):
            return (1 / np.hypot(1, np.divide(1, self.ratio(t))))[()]

    def rates(self, t):
        t = np.asarray(t, dtype=np.float64)
        alpha, sigma = self.alpha(t), self.sigma(t)
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = -self.scale / np.minimum(t, 1 - t)  # of log-SNR
            return (alpha * sigma**2 / 2 * slope)[()], (-sigma * alpha**2 / 2 * slope)[()]
