"""From what a network outputs to one canonical prediction: x_0-hat, in fp32.

Every parametrisation is affine, x_0-hat = skip x + out F(in x), so samplers, guides and losses know only x_0-hat.
The network alone may run in low precision; the coefficients come from host float64.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from diffx.condition import Condition
from diffx.process.schedule import Schedule

Coefficients = tuple[float | np.ndarray, float | np.ndarray]


class Predict(Protocol):
    """x_t [B, ...], host time (float or [B]), condition -> x_0-hat [B, ...]."""

    def __call__(self, x: Tensor, t: float | np.ndarray, condition: Condition | None = None) -> Tensor: ...


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


class Denoiser(nn.Module):
    """A network as a :class:`Predict`.

    Args:
        net: ``net(x [B, ...], level [B], condition) -> [B, ...]``; level = log(sigma/alpha) / 4, clipped to +-5.
        kind: a key of ``PARAMETRISATIONS``: what the network outputs.
        schedule: alpha and sigma.
        sigma_data: standard deviation of the data; the network's input always has about unit variance.
        autocast: dtype the network runs in (None: as its weights are).
        spread: standard deviation of each element of the state [C, *S], where they differ much; it takes the place of
            ``sigma_data``, so that a silent network already gives every element its own Wiener estimate. A buffer.

    Raises:
        ValueError: unknown kind; ``eps`` on a schedule whose terminal SNR is zero (x_0 cannot be recovered there).
    """

    def __init__(
        self,
        net: nn.Module,
        kind: str,
        schedule: Schedule,
        sigma_data: float = 1.0,
        autocast: torch.dtype | None = None,
        spread: Tensor | None = None,
    ):
        super().__init__()
        if kind not in PARAMETRISATIONS:
            raise ValueError(f"unknown prediction {kind!r}; known: {', '.join(PARAMETRISATIONS)}")
        if kind == "eps" and float(schedule.alpha(schedule.t_max)) == 0:
            raise ValueError("eps does not determine x_0 at zero terminal SNR; predict v, x0, flow or edm")
        self.net, self.kind, self.schedule, self.sigma_data, self.autocast = net, kind, schedule, sigma_data, autocast
        self.spread: Tensor | None
        self.register_buffer("spread", spread)

    def forward(self, x: Tensor, t: float | np.ndarray, condition: Condition | None = None) -> Tensor:
        time = np.asarray(t, dtype=np.float64)
        alpha, sigma = np.asarray(self.schedule.alpha(time)), np.asarray(self.schedule.sigma(time))
        rates = self.schedule.rates(time)
        with np.errstate(divide="ignore"):
            level = np.clip(np.log(sigma / alpha) / 4, -5.0, 5.0)

        def on_device(value: float | np.ndarray) -> float | Tensor:
            if time.ndim == 0:
                return float(value)  # a scalar multiply: nothing to copy, nothing to wait for
            column = (-1,) + (1,) * (x.ndim - 1)
            return torch.as_tensor(np.asarray(value, np.float32), device=x.device).view(column)

        if self.spread is None:
            scale, skip, out = (on_device(c) for c in self._coefficients(alpha, sigma, rates, self.sigma_data))
        else:
            a, b, *c = (on_device(v) for v in (alpha, sigma, *rates))
            scale, skip, out = self._coefficients(a, b, c, self.spread)
        if time.ndim == 0:
            levels = torch.full((x.shape[0],), float(level), device=x.device)
        else:
            levels = torch.as_tensor(level.astype(np.float32), device=x.device)
        low = torch.autocast(x.device.type, self.autocast) if self.autocast else contextlib.nullcontext()
        with low:
            raw = self.net(x * scale, levels, condition)
        return x * skip + raw.float() * out

    def _coefficients(self, alpha: Any, sigma: Any, rates: Any, sigma_data: Any) -> tuple[Any, Any, Any]:
        """What multiplies the network's input, the state and the network's output."""
        skip, out = PARAMETRISATIONS[self.kind](alpha, sigma, rates, sigma_data)
        return (sigma**2 + (alpha * sigma_data) ** 2) ** -0.5, skip, out


def parametrise(net: nn.Module, kind: str, schedule: Schedule, sigma_data: float = 1.0, **kwargs) -> Denoiser:
    """``Denoiser(net, kind, schedule, sigma_data)``, under the name the mathematics gives it."""
    return Denoiser(net, kind, schedule, sigma_data, **kwargs)
