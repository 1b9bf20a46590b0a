"""Guidance by a gradient: of a classifier at the noisy state, or of any energy at the prediction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from diffx.condition import Condition
from diffx.guide.states import linearise, tweedie, white_variance
from diffx.predict import Predict
from diffx.schedule import Schedule


def classifier(
    predict: Predict,
    log_prob: Callable[[Tensor, Any], Tensor],
    schedule: Schedule,
    weight: float = 1.0,
    clip: float | None = None,
) -> Predict:
    """m + w (sigma^2 / alpha) grad_x log p(y | x_t) (Dhariwal and Nichol 2021, algorithm 1, by Tweedie's formula).

    Exact with w = 1 and the exact log p(y | x_t): the result is E[x_0 | x_t, y].

    Args:
        log_prob: x_t [B, ...], t -> log p(y | x_t) [B], trained or known at every noise level.
        weight: w; 0 is off.
        clip: largest root mean square of a sample's shift, in the data's units.
    """

    def guided(x: Tensor, t: Any, condition: Condition | None = None) -> Tensor:
        gain, time = tweedie(schedule, t, x)
        value, pull = linearise(lambda point: log_prob(point, time), x)
        return predict(x, t, condition) + _clipped(weight * gain * pull(torch.ones_like(value)), clip)

    return guided


def energy(
    predict: Predict,
    energy_of: Callable[[Tensor], Tensor],
    schedule: Schedule,
    weight: float = 1.0,
    through_network: bool = True,
    sigma_data: float = 1.0,
    clip: float | None = None,
) -> Predict:
    """Towards low energy of the clean data: samples of p(x_0) exp(-w E(x_0)), approximately.

    Through the network (diffusion posterior sampling, Chung et al. 2023; loss guidance, Song et al. 2023b),

        m - w (sigma^2 / alpha) (dm/dx)^T grad E(m),

    which costs a backward pass and keeps the shift on the data's manifold; (sigma^2 / alpha) dm/dx is the posterior
    covariance of x_0. Without (He et al. 2024), that covariance is taken to be what N(0, sigma_data^2) data have,

        m - w v_t grad E(m),    v_t = sigma^2 sigma_data^2 / (sigma^2 + alpha^2 sigma_data^2).

    Both put E(E[x_0 | x_t]) for the free energy of E at x_t: exact for linear E, too strong for a curved one while
    the noise is high.

    Args:
        energy_of: x_0-hat [B, ...] -> E [B], differentiable.
        weight: w; 0 is off.
        clip: largest root mean square of a sample's shift, in the data's units.
    """

    def guided(x: Tensor, t: Any, condition: Condition | None = None) -> Tensor:
        if through_network:
            gain, time = tweedie(schedule, t, x)
            mean, pull = linearise(lambda point: predict(point, time, condition), x)
        else:
            gain, mean = white_variance(schedule, t, sigma_data, x), predict(x, t, condition)
        value, slope = linearise(energy_of, mean)
        gradient = slope(torch.ones_like(value))
        return mean - _clipped(weight * gain * (pull(gradient) if through_network else gradient), clip)

    return guided


def _clipped(shift: Tensor, clip: float | None) -> Tensor:
    if clip is None:
        return shift
    size = shift.square().mean(tuple(range(1, shift.ndim)), keepdim=True).sqrt()
    return shift * (clip / size.clamp(min=clip))
