"""Cases whose answer is known in closed form, and a plain executor of plans to put beside the library's."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import ndtr

from diffx.plan import Plan
from diffx.schedule import (
    EDM,
    VE,
    Cosine,
    Linear,
    RectifiedFlow,
    Schedule,
    Shifted,
    Sigmoid,
    SubVP,
    ZeroTerminal,
)  # fmt: skip

SCHEDULES = [Cosine(), Linear(), EDM(), RectifiedFlow()]
EVERY_SCHEDULE = [*SCHEDULES, Sigmoid(), SubVP(), VE(), ZeroTerminal(), Shifted(), Shifted(Cosine(), 0.5)]


def name_of(schedule: Schedule) -> str:
    return type(schedule).__name__


class Mixture:
    """Data drawn from sum_k w_k N(mu_k, s_k^2), one number a sample: its marginals, denoiser and exact flow."""

    def __init__(self, weights=(1.0,), means=(0.7,), stds=(0.5,)):
        self.w, self.mu, self.s = (np.asarray(v, dtype=np.float64)[:, None] for v in (weights, means, stds))

    def denoise(self, schedule: Schedule, x: np.ndarray, t: float | np.ndarray) -> np.ndarray:
        """E[x_0 | x_t = x]; t is a float or has the shape of x."""
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        var = alpha**2 * self.s**2 + sigma**2
        off = x[None] - alpha * self.mu
        log_p = np.log(self.w) - 0.5 * np.log(var) - 0.5 * off**2 / var
        p = np.exp(log_p - log_p.max(0))
        return (p / p.sum(0) * (self.mu + alpha * self.s**2 / var * off)).sum(0)

    def cdf(self, schedule: Schedule, x: np.ndarray, t: float) -> np.ndarray:
        std = np.sqrt(schedule.alpha(t) ** 2 * self.s**2 + schedule.sigma(t) ** 2)
        return (self.w * ndtr((x[None] - schedule.alpha(t) * self.mu) / std)).sum(0)

    def quantile(self, schedule: Schedule, u: np.ndarray, t: float) -> np.ndarray:
        """Inverse of the marginal's distribution function at t. In one dimension the probability flow keeps quantiles,
        so these are the exact ends of its paths."""
        width = 9 * (schedule.sigma(t) + self.s.max()) + np.abs(self.mu).max()
        low, high = np.full_like(u, -width), np.full_like(u, width)
        for _ in range(60):
            middle = (low + high) / 2
            below = self.cdf(schedule, middle, t) < u
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return (low + high) / 2

    def predict(self, schedule: Schedule):
        """The denoiser as a ``Predict`` on tensors [B, ...]; every element is a number of its own."""

        def predict(x: torch.Tensor, t, condition=None) -> torch.Tensor:
            time = t if np.ndim(t) == 0 else np.repeat(np.asarray(t), x[0].numel())
            return torch.from_numpy(self.denoise(schedule, x.double().numpy().ravel(), time)).view(x.shape).to(x.dtype)

        return predict


TWO_MODES = Mixture((0.3, 0.7), (-1.0, 0.8), (0.3, 0.25))
QUANTILES = (np.arange(199) + 0.5) / 199


def execute(plan: Plan, denoise, x: np.ndarray, noise=None) -> np.ndarray:
    """A plan as its documentation reads, in float64: x' = A x + D anchor + sum_j B_j m_-j + C z.

    ``denoise(x, t)`` predicts; ``noise(row number)`` draws z.
    """
    outputs: list[np.ndarray] = []
    anchor = None
    for number, row in enumerate(plan.rows):
        if row.evaluate:
            p, q = row.output
            outputs.insert(0, p * x + q * denoise(x, row.t))
        if row.hold:
            anchor = x
        new = row.a * x
        for j, b in enumerate(row.b):
            new = new + b * outputs[j]
        if row.d:
            new = new + row.d * anchor
        if row.c:
            new = new + row.c * noise(number)
        x = new
    return x


def gaussian_end(plan: Plan, schedule: Schedule, mean: float, std: float) -> tuple[float, float]:
    """Mean and standard deviation, without sampling, of what a plan makes of N(mean, std^2) data.

    The denoiser is affine, so every state is an affine function of (1, start, z_1, z_2, ...), which is carried along.
    """
    basis = np.eye(2 + (len(plan.rows) if any(row.c for row in plan.rows) else 0))

    def denoise(x: np.ndarray, t: float) -> np.ndarray:
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        gain = alpha * std**2 / (alpha**2 * std**2 + sigma**2)
        return gain * x + (mean - gain * alpha * mean) * basis[0]

    end = execute(plan, denoise, basis[1], lambda number: basis[2 + number])
    t = plan.rows[0].t
    start_mean, start_var = schedule.alpha(t) * mean, schedule.alpha(t) ** 2 * std**2 + schedule.sigma(t) ** 2
    return float(end[0] + end[1] * start_mean), float(np.sqrt(end[1] ** 2 * start_var + (end[2:] ** 2).sum()))


def spaced(schedule: Schedule, n: int, high: float = 8.0, low: float = 0.05) -> tuple[float, ...]:
    """n intervals even in log-SNR over the part where data and noise mix."""
    return tuple(float(schedule.time(r)) for r in np.geomspace(high, low, n + 1))


def flow_error(plan: Plan, schedule: Schedule, data: Mixture) -> float:
    """Mean distance of where the plan takes each path of the probability flow from where it goes."""
    start = data.quantile(schedule, QUANTILES, plan.rows[0].t)
    end = execute(plan, lambda x, t: data.denoise(schedule, x, t), start)
    return float(np.abs(end - data.quantile(schedule, QUANTILES, plan.rows[-1].s)).mean())


def order_of(errors: list[float]) -> float:
    """Measured order of convergence from errors at n, 2n, 4n, ...: that of the last doubling."""
    return float(np.log2(errors[-2] / errors[-1]))
