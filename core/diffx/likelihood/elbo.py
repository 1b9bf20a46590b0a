"""Bounds on the log-likelihood, of data of every kind of process that has one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from diffx.condition import Condition
from diffx.likelihood.angle import ends, point
from diffx.noise import Noise
from diffx.predict import Predict
from diffx.process.base import Noisy, Process
from diffx.process.discrete import Discrete
from diffx.process.gaussian import Gaussian
from diffx.process.product import Product
from diffx.process.synchronised import synchronised_times
from diffx.process.table import pairs
from diffx.state import check_batch, column

#: (times [B], (prediction, noisy) -> nats [B] of one level)
Level: TypeAlias = tuple[np.ndarray, Callable[[Tensor, Noisy], Tensor]]


def elbo(
    predict: Predict,
    process: Process,
    x: Any,
    *,
    levels: int | Sequence[float] = 64,
    seeds: Sequence[int] | None = None,
    condition: Condition | None = None,
    sigma_min: float | None = None,
) -> Tensor:
    """An unbiased estimate of the evidence lower bound on log p(x), in nats.

    In continuous time (levels are a number, stratified and keyed):

    - Gaussian: -KL(prior) - reconstruction - 1/2 int E|x_0 - x_0-hat|^2 dSNR (Kingma et al. 2021, eq. 15). Tight for
      the exact denoiser but for what the prior and sigma_min leave. The error of a Wiener filter, whose integral is
      known, is subtracted under the integral with the same noise: on correlated Gaussians a fifth of the deviation.
    - Masked, Categorical: -KL(prior) - the mean training loss over uniform times, drawn more densely where little is
      lost. Tight for the exact conditionals.
    - Product: the sum over the leaves, each integrated over its own times, with the others at the times that belong to
      these.

    In discrete time (levels are a falling grid of times, Gaussian only): the bound of ancestral sampling on that grid
    (Ho et al. 2020, eq. 5), one evaluation for each of its steps; from its last time above 0 the data are read.

    Args:
        predict: the canonical prediction, as for sampling.
        process: Gaussian, discrete, or a mixed state of those.
        x: [B, ...]; tokens int64; for a mixed state {leaf: tensor}.
        levels: evaluations, for each leaf of a mixed state.
        seeds: one a sample; 0, 1, ... by default.
        condition: what the network is told, of B samples.
        sigma_min: for Gaussian leaves, sigma/alpha at which x is read, as N(x_t / alpha, (sigma/alpha)^2); by default
            0.002, or the schedule's own least.

    Returns:
        [B] float64.

    Raises:
        ValueError: no levels, a process without a bound here, or not one seed for each sample.
    """
    leaves: Mapping[str, Process] = process.leaves if isinstance(process, Product) else {"": process}
    data = x if isinstance(process, Product) else {"": x}
    some = next(iter(data.values()))
    noise = Noise(range(len(some)) if seeds is None else seeds, some.device)["elbo"]
    check_batch(len(noise.seeds), data, "x")
    total = torch.zeros(len(some), dtype=torch.float64, device=some.device)
    with torch.no_grad():
        for leaf, own in leaves.items():
            constant, schedule_of_levels = _leaf(own, data[leaf], levels, noise[leaf], sigma_min)
            total += constant
            for number, (t, nats) in enumerate(schedule_of_levels):
                times = {
                    name: t if name == leaf else np.array(synchronised_times(t.tolist(), own, other))
                    for name, other in leaves.items()
                }
                asked: Any = times if isinstance(process, Product) else times[""]
                noisy = process.corrupt(x, asked, noise[leaf][str(number)])
                prediction: Any = predict(noisy.x, asked, condition)
                if isinstance(process, Product):
                    noisy = noisy[leaf]
                    prediction = prediction[leaf]
                total += nats(prediction, noisy)
    return total


def bits_per_dim(nats: Tensor, dims: int, bins: int = 256, low: float = -1.0, high: float = 1.0) -> Tensor:
    """Bits an element needs to be stored, from log p(x) in nats [B] of data dequantised by uniform noise.

    -(log p(x) / dims + log bin width) / log 2, for ``bins`` values spread over [low, high] (Theis et al. 2016); the
    default is 8-bit data in [-1, 1], of which uniform noise needs 8 bits.
    """
    return -(nats / dims + math.log((high - low) / bins)) / math.log(2)


def _leaf(
    process: Process, x: Tensor, levels: int | Sequence[float], noise: Noise, sigma_min: float | None
) -> tuple[Tensor | float, list[Level]]:
    """What the bound has beside its integral, and the levels whose sum estimates that."""
    if isinstance(levels, int) and levels < 1:
        raise ValueError(f"a bound has at least one level, not {levels}")
    if isinstance(process, Gaussian):
        if isinstance(levels, int):
            return _continuous(process, x, _strata(levels, noise), sigma_min)
        return _discrete_time(process, x, levels)
    if isinstance(process, Discrete) and isinstance(levels, int):
        return _tokens(process, x, _strata(levels, noise))
    raise ValueError(f"there is no bound here for {type(process).__name__} with levels={levels!r}")


def _strata(levels: int, noise: Noise) -> np.ndarray:
    """Variates [levels, B], one in each of ``levels`` equal parts of (0, 1)."""
    u = noise["level"].uniform(levels).double().cpu().numpy().T
    return (np.arange(levels)[:, None] + u) / levels


def _tokens(process: Any, x: Tensor, v: np.ndarray) -> tuple[Tensor, list[Level]]:
    """The training loss is the integrand over uniform t / t_max = v^2, so dt = 2 v dv.

    Uniform times would have infinite variance where alpha falls linearly from t = 0: a token is lost with probability t
    and then costs its loss / t.
    """

    def level(row: np.ndarray) -> Level:
        def nats(prediction: Tensor, noisy: Noisy) -> Tensor:
            loss = process.loss(prediction, noisy).double()
            return -column(2 * row / len(v), loss, torch.float64) * loss

        return row**2 * process.schedule.t_max, nats

    return -process.prior_kl(x).double(), [level(row) for row in v]


def _continuous(process: Gaussian, x: Tensor, u: np.ndarray, sigma_min: float | None) -> tuple[Tensor, list[Level]]:
    low, high = ends(process, sigma_min)
    span, s2 = (high - low) / len(u), process.sigma_data**2

    def level(row: np.ndarray) -> Level:
        at = point(process, low + (high - low) * row)
        # |dSNR/dq| / 2, from SNR = 1 / (s tan(phi))^2
        return np.asarray(at.t), _excess(process, np.asarray(span * at.cos / at.sin**3 * at.speed / s2))

    snr = [float(at.alpha / at.sigma) ** 2 for at in (point(process, high), point(process, low))]
    power, dims = x.double().square().flatten(1).sum(1), x[0].numel()
    # 1/2 int (|x|^2 + n rho s^4) / (1 + rho s^2)^2 drho, the Wiener filter's
    filtered = [dims * math.log1p(r * s2) + (dims - power / s2) / (1 + r * s2) for r in snr]
    ends_cost = _prior_kl(process, x, process.schedule.t_max) + _reading(dims, snr[1] ** -0.5)
    return -ends_cost - (filtered[1] - filtered[0]) / 2, [level(row) for row in u]


def _discrete_time(process: Gaussian, x: Tensor, times: Sequence[float]) -> tuple[Tensor, list[Level]]:
    schedule, s2 = process.schedule, process.sigma_data**2
    steps = [(t, s) for t, s in pairs(times) if s > 0]
    power, dims = x.double().square().flatten(1).sum(1), x[0].numel()
    cost = _prior_kl(process, x, steps[0][0]) + _reading(dims, float(schedule.ratio(steps[-1][1])))
    levels: list[Level] = []
    for t, s in steps:
        rho = float(schedule.ratio(t)) ** -2
        weight = (float(schedule.ratio(s)) ** -2 - rho) / 2
        cost = cost + weight * (power + dims * rho * s2**2) / (1 + rho * s2) ** 2
        levels.append((np.full(len(x), t), _excess(process, np.full(len(x), weight))))
    return -cost, levels


def _excess(process: Gaussian, weight: np.ndarray) -> Callable[[Tensor, Noisy], Tensor]:
    """weight [B] times what the squared error of x_0-hat is below that of the Wiener filter for N(0, sigma_data^2)."""

    def nats(prediction: Tensor, noisy: Noisy) -> Tensor:
        schedule = process.schedule
        alpha, sigma = (column(f(noisy.t), noisy.x, torch.float64) for f in (schedule.alpha, schedule.sigma))
        s2 = process.sigma_data**2
        wiener = alpha * s2 / (alpha**2 * s2 + sigma**2) * noisy.x.double()
        ours, filters = (m.double() - noisy.target.double() for m in (prediction, wiener))
        return column(weight, ours, torch.float64).view(-1) * (filters - ours).mul(filters + ours).flatten(1).sum(1)

    return nats


def _prior_kl(process: Gaussian, x: Tensor, t: float) -> Tensor:
    """KL(q(x_t | x_0) || N(0, alpha^2 sigma_data^2 + sigma^2)) in nats, [B]."""
    alpha, sigma = float(process.schedule.alpha(t)), float(process.schedule.sigma(t))
    total = (alpha * process.sigma_data) ** 2 + sigma**2
    power, dims = x.double().square().flatten(1).sum(1), x[0].numel()
    return 0.5 * (alpha**2 * power / total + dims * (sigma**2 / total - 1 - math.log(sigma**2 / total)))


def _reading(dims: int, ratio: float) -> float:
    """E[-log N(x; x_t / alpha, ratio^2)] in nats, for n elements."""
    return 0.5 * dims * (math.log(2 * math.pi * ratio**2) + 1)
