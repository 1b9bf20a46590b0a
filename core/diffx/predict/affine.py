"""Gaussian leaves: a network's output as x_0-hat.

Every parametrisation is affine, x_0-hat = skip x + out F(in x), so samplers, guides and losses know only x_0-hat.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from diffx.condition import Condition
from diffx.predict.preconditioner import Preconditioned, Preconditioner
from diffx.schedule import Schedule
from diffx.state import column

Coefficients = tuple[float | np.ndarray, float | np.ndarray]


def _eps(alpha, sigma, rates, sigma_data) -> Coefficients:
    return 1 / alpha, -sigma / alpha


def _x0(alpha, sigma, rates, sigma_data) -> Coefficients:
    return 0 * alpha, 0 * alpha + 1


def _v(alpha, sigma, rates, sigma_data) -> Coefficients:
    norm = alpha**2 + sigma**2
    return alpha / norm, -sigma / norm


def _flow(alpha, sigma, rates, sigma_data) -> Coefficients:
    d_alpha, d_sigma = rates
    wronskian = d_alpha * sigma - d_sigma * alpha
    return -d_sigma / wronskian, sigma / wronskian


def _edm(alpha, sigma, rates, sigma_data) -> Coefficients:
    total = sigma**2 + (alpha * sigma_data) ** 2
    return alpha * sigma_data**2 / total, sigma * sigma_data / total**0.5


#: network output -> (skip, out). eps: Ho et al. 2020; v = alpha eps - sigma x_0: Salimans and Ho 2022;
#: flow = alpha' x_0 + sigma' eps: Lipman et al. 2023; edm: Karras et al. 2022, table 1.
PARAMETRISATIONS: dict[str, Callable[..., Coefficients]] = {"eps": _eps, "x0": _x0, "v": _v, "flow": _flow, "edm": _edm}


class Affine(Preconditioner):
    """Preconditioning of a Gaussian leaf: the network sees it at unit variance, and its output becomes x_0-hat.

    Args:
        kind: a key of ``PARAMETRISATIONS``: what the network outputs.
        schedule: alpha and sigma.
        sigma_data: standard deviation of the data.
        element_sigma_data: standard deviation of each element of the state [C, *S], where they differ much. It takes
            the place of ``sigma_data``, so that a network that outputs 0 already gives every element its own Wiener
            estimate. A buffer.

    Raises:
        ValueError: unknown kind; or one from which x_0 cannot be recovered at the end of the schedule, as ``eps`` where
            the terminal SNR is zero, and ``flow`` where the path is infinitely fast there.
    """

    element_sigma_data: Tensor | None

    def __init__(
        self, kind: str, schedule: Schedule, sigma_data: float = 1.0, element_sigma_data: Tensor | None = None
    ):
        super().__init__()
        if kind not in PARAMETRISATIONS:
            raise ValueError(f"unknown prediction {kind!r}; known: {', '.join(PARAMETRISATIONS)}")
        _check_determined(kind, schedule, sigma_data)
        self.kind, self.schedule, self.sigma_data = kind, schedule, sigma_data
        self.register_buffer("element_sigma_data", element_sigma_data)

    def precondition(self, x: Tensor, t: float | np.ndarray) -> Preconditioned:
        """x times ``scale``, level = log(sigma/alpha) / 4 clipped to +-5, and raw -> skip x + out raw."""
        time = np.asarray(t, dtype=np.float64)
        alpha, sigma = np.asarray(self.schedule.alpha(time)), np.asarray(self.schedule.sigma(time))
        rates = _limited(*self.schedule.rates(time))
        scale: float | Tensor
        if self.element_sigma_data is None:
            scale, skip, out = (column(c, x) for c in self._coefficients(alpha, sigma, rates, self.sigma_data))
        else:
            a, b, *c = (column(v, x) for v in (alpha, sigma, *rates))
            scale, skip, out = self._coefficients(a, b, c, self.element_sigma_data)
        with np.errstate(divide="ignore"):
            level = np.log(sigma / alpha)
        return Preconditioned(x * scale, self.level(level, x), lambda raw: x * skip + raw * out)

    def _coefficients(self, alpha: Any, sigma: Any, rates: Any, sigma_data: Any) -> tuple[Any, Any, Any]:
        """What multiplies the network's input, the state and the network's output."""
        skip, out = PARAMETRISATIONS[self.kind](alpha, sigma, rates, sigma_data)
        return (sigma**2 + (alpha * sigma_data) ** 2) ** -0.5, skip, out


def _limited(d_alpha: Any, d_sigma: Any) -> tuple[Any, Any]:
    """The rates, in proportion only where sigma grows infinitely fast, as where a path starts in a square root."""
    fast = ~np.isfinite(d_sigma)
    return np.where(fast, 0.0, d_alpha)[()], np.where(fast, 1.0, d_sigma)[()]


def _check_determined(kind: str, schedule: Schedule, sigma_data: float) -> None:
    """Refuse an output that says nothing about x_0 where sampling starts: of infinite weight, or of none."""
    t = schedule.t_max
    alpha, sigma, *rates = (np.float64(v) for v in (schedule.alpha(t), schedule.sigma(t), *schedule.rates(t)))
    with np.errstate(all="ignore"):
        weights = np.array(PARAMETRISATIONS[kind](alpha, sigma, rates, sigma_data), dtype=np.float32)
    if np.isfinite(weights).all() and weights[1] != 0:
        return
    others = ("v", "x0", "edm") if kind == "flow" else ("v", "x0", "flow", "edm")
    why = "zero terminal SNR" if kind == "eps" else f"t = {t:g}, where the path of {schedule} is infinitely fast"
    raise ValueError(f"{kind} does not determine x_0 at {why}; predict {', '.join(others[:-1])} or {others[-1]}")


class Denoiser(Affine):
    """A network as a :class:`Predict` of x_0-hat, for a state of one Gaussian tensor.

    Args:
        net: ``net(x [B, ...], level [B], condition) -> [B, ...]``; level = log(sigma/alpha) / 4, clipped to +-5.
        autocast: dtype the network runs in (None: as its weights are).

    The other arguments, and the errors, are those of :class:`Affine`.
    """

    def __init__(
        self,
        net: nn.Module,
        kind: str,
        schedule: Schedule,
        sigma_data: float = 1.0,
        autocast: torch.dtype | None = None,
        element_sigma_data: Tensor | None = None,
    ):
        super().__init__(kind, schedule, sigma_data, element_sigma_data)
        self.net, self.autocast = net, autocast

    def forward(self, x: Tensor, t: float | np.ndarray, condition: Condition | None = None) -> Tensor:
        """x_t [B, ...], host time (float or [B]), condition -> x_0-hat [B, ...], fp32.

        Raises:
            ValueError: an estimate in the condition, which a ``SelfConditionedDenoiser`` takes.
        """
        if getattr(condition, "estimate", None) is not None:
            raise ValueError("this denoiser is not self-conditioned, but the process is: SelfConditionedDenoiser fits")
        return self.run(self.net, x, t, condition, self.autocast)
