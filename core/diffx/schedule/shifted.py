"""Schedules made from other schedules: no signal left at the end, or more noise at every time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from diffx.schedule.base import Linear, RectifiedFlow, Schedule


@dataclass(frozen=True)
class ZeroTerminal(Schedule):
    """A variance-preserving schedule shifted and scaled to alpha(0) = 1 and alpha(t_max) = 0, exactly (Lin et al. 2024,
    algorithm 1, on alpha itself instead of on betas): alpha = (base(t) - base(t_max)) / (1 - base(t_max)).

    A network on it must not predict eps.

    Raises:
        ValueError: the base does not preserve variance.
    """

    base: Schedule = field(default_factory=Linear)

    def __post_init__(self) -> None:
        t = self.base.t_max * np.linspace(0, 1, 9)
        if not np.allclose(self.base.alpha(t) ** 2 + self.base.sigma(t) ** 2, 1):
            raise ValueError(f"shifting alpha needs a variance-preserving schedule, not {self.base}")

    @property
    def t_max(self) -> float:  # type: ignore[override]
        return self.base.t_max

    @property
    def _scale(self) -> float:
        return 1 - float(self.base.alpha(self.t_max))

    def alpha(self, t):
        return (self.base.alpha(t) - self.base.alpha(self.t_max)) / self._scale

    def sigma(self, t):
        # 1 - alpha^2 = (1 - alpha)(1 + alpha), and 1 - base = base.sigma^2 / (1 + base): every digit near t = 0
        missing = self.base.sigma(t) ** 2 / (1 + self.base.alpha(t)) / self._scale
        return np.sqrt(missing * (1 + self.alpha(t)))

    def rates(self, t):
        d_alpha = self.base.rates(t)[0] / self._scale
        with np.errstate(divide="ignore"):
            return d_alpha, np.divide(-d_alpha * self.alpha(t), self.sigma(t))

    def time(self, ratio):
        ratio = np.asarray(ratio, dtype=np.float64)
        cos = 1 / np.hypot(1, ratio)
        with np.errstate(invalid="ignore"):
            missing = np.where(np.isinf(ratio), 1.0, (ratio * cos) ** 2 / (1 + cos)) * self._scale
        t = self.base.time(np.sqrt(missing * (2 - missing)) / (1 - missing))
        return np.where(np.isinf(ratio), self.t_max, t)[()]


@dataclass(frozen=True)
class Shifted(Schedule):
    """The states of another schedule, met at other times: sigma/alpha is ``shift`` times that of the base.

    Its log-SNR is lower by 2 log(shift), with shift = d / 64 for images of d pixels a side (Hoogeboom et al. 2023,
    "simple diffusion", eq. 4); on rectified flow the shift of Esser et al. 2024, eq. 23.

    Args:
        base: one of zero terminal SNR: of another the shift would leave the end out of reach.
        shift: positive; more than 1 is more noise at every time.

    Raises:
        ValueError: shift is not positive, or the base's terminal SNR is not zero.
    """

    base: Schedule = field(default_factory=RectifiedFlow)
    shift: float = 3.0

    def __post_init__(self) -> None:
        if not self.shift > 0:
            raise ValueError(f"a shift is positive, not {self.shift}")
        if float(self.base.alpha(self.base.t_max)) != 0:
            raise ValueError(f"a shift needs a schedule of zero terminal SNR, not {self.base}; ZeroTerminal makes one")

    @property
    def t_max(self) -> float:  # type: ignore[override]
        return self.base.t_max

    def _there(self, t):
        """The base's time."""
        return self.base.time(self.shift * self.base.ratio(t))

    def alpha(self, t):
        return self.base.alpha(self._there(t))

    def sigma(self, t):
        return self.base.sigma(self._there(t))

    def rates(self, t):
        """In (0, t_max]: there at least d there / dt is finite."""
        there = self._there(t)
        d_alpha, d_sigma = self.base.rates(there)
        # d there / dt = shift alpha(there)^2 / alpha(t)^2 turn(t) / turn(there); the quotient of alphas written without
        # 0 / 0 at t_max
        power = self.base.alpha(there) ** 2 + self.base.sigma(there) ** 2
        quotient = power / (self.base.alpha(t) ** 2 / self.shift + self.shift * self.base.sigma(t) ** 2)
        with np.errstate(invalid="ignore"):  # NaN where the base is infinitely fast
            pace = quotient * self._turn(t) / self._turn(there)
        return d_alpha * pace, d_sigma * pace

    def _turn(self, t):
        """alpha sigma' - sigma alpha', with which ratio' = turn / alpha^2."""
        d_alpha, d_sigma = self.base.rates(t)
        return self.base.alpha(t) * d_sigma - self.base.sigma(t) * d_alpha

    def time(self, ratio):
        return self.base.time(np.asarray(ratio, dtype=np.float64) / self.shift)
