"""What all guides share: coefficients of Tweedie's formula, and Jacobians."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffx.schedule import Schedule
from diffx.state import column

#: Noise-to-signal ratio above which x_t says next to nothing about x_0.
UNINFORMED = 1e3


def tweedie(schedule: Schedule, t: Any, x: Tensor) -> tuple[float | Tensor, Any]:
    """sigma^2 / alpha, which turns a gradient at x_t into a shift of x_0-hat, and the time at which to take it.

    That is t, or a little less where alpha vanishes and the gradient with it: x has the same distribution at both
    times, up to alpha = 1e-3.
    """
    time = np.where(np.asarray(schedule.alpha(t)) < 1 / UNINFORMED, schedule.time(UNINFORMED), t)[()]
    return column(schedule.sigma(time) ** 2 / schedule.alpha(time), x), time


def white_variance(schedule: Schedule, t: Any, sigma_data: float, x: Tensor) -> float | Tensor:
    """Variance of x_0 given x_t for N(0, s^2) data, sigma^2 s^2 / (sigma^2 + alpha^2 s^2), as a factor of x."""
    noise, signal = schedule.sigma(t) ** 2, (schedule.alpha(t) * sigma_data) ** 2
    return column(noise / (noise + signal) * sigma_data**2, x)


def linearise(f: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """f(x), and v -> v^T df/dx. Works under ``no_grad``; both are differentiable where x is part of a graph, so that
    one guide may differentiate another."""
    nested = torch.is_grad_enabled() and x.requires_grad
    with torch.enable_grad():
        point = x if nested else x.detach().requires_grad_()
        value = f(point)

    def pull(v: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(value, point, v, retain_graph=True, create_graph=nested)
        return gradient

    return (value if nested else value.detach()), pull
