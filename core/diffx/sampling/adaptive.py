"""The probability flow with steps as long as a tolerance allows, for each sample by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from diffx.condition import Condition
from diffx.config import SampleConfig
from diffx.noise import Noise
from diffx.predict import Predict
from diffx.process import Gaussian, Process
from diffx.sampling.loop import first_state, gaussian_only
from diffx.schedule.base import sigma_range
from diffx.state import check_prediction, column

# Dormand and Prince 1980, RK5(4)7M: stage times, stages, and the fifth-order weights less the fourth-order ones.
_TIMES = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_STAGES: tuple[tuple[float, ...], ...] = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)

# PI control of order 5 (Hairer and Wanner, Solving ODEs II, section IV.2).
_SAFETY, _NOW, _BEFORE, _LEAST, _MOST = 0.9, 0.7 / 5, 0.4 / 5, 0.2, 5.0


class Solved(NamedTuple):
    """Samples [B, *shape], fp32, and how many evaluations each needed, [B]."""

    x: Tensor
    evaluations: np.ndarray


@torch.no_grad()
def adaptive(
    predict: Predict,
    process: Gaussian,
    shape: tuple[int, ...],
    seeds: Sequence[int],
    condition: Condition | None = None,
    start: Tensor | None = None,
    device: torch.device | str = "cpu",
    callback: Callable[[int, Tensor, Tensor], None] | None = None,
    *,
    high: float | None = None,
    low: float | None = None,
    rtol: float = 1e-3,
    atol: float = 1e-3,
) -> Solved:
    """Dormand-Prince 5(4) on the probability flow, in the angle phi of :func:`diffx.plan.ab`, with sigma_data of the
    process: regular at zero SNR, and of unit variance, so that tolerances are shares of the data's deviation.

    Each sample has a step size, and so a time, of its own: it is the same whatever batch it is in. A batch takes as
    long as its slowest sample, and samples that are done wait for it.

    Args:
        predict: x_0-hat, a function of x and t alone: a self-conditioned denoiser makes its own estimates here.
        process: its schedule and sigma_data are used.
        callback: called after each step with (number, x, prediction); steps that were too long are among them.
        high: sigma/alpha where it starts; by default that of the prior.
        low: sigma/alpha where it ends, and the prediction is the sample; by default the least that a grid goes to.
        rtol: error of one step allowed as a share of |z|, which adds to ``atol``; 1e-6 at least.
        atol: error of one step allowed in z, root mean square over a sample's elements; 1e-6 at least.

    The other arguments are those of :func:`diffx.sampling.sample`.

    Raises:
        ValueError: a tolerance below 1e-6, or high not above low.
        ArithmeticError: a step size vanished, as it does where predictions are not finite.
    """
    if not (rtol >= 1e-6 and atol >= 1e-6):
        raise ValueError(f"fp32 allows tolerances of 1e-6 and more, not {rtol} and {atol}")
    noise, flow = Noise(seeds, device), _Flow(predict, process, condition)
    least = sigma_range(process.schedule)[0] if low is None else low
    most = float(process.schedule.ratio(process.schedule.t_max)) if high is None else high
    if not 0 < least < most:
        raise ValueError(f"the flow goes from high to low, both above 0, not from {most} to {least}")
    top, bottom = (float(np.arctan(r / process.sigma_data)) for r in (most, least))

    count = len(noise.seeds)
    phi, h = np.full(count, top), np.full(count, (top - bottom) / 16)
    first = first_state(process, shape, noise, float(flow.time(top)), condition, start)
    z = first / column(flow.norm(phi), first)
    slope = flow(z, phi)
    before, steps, rejected = np.ones(count), np.zeros(count, dtype=int), np.zeros(count, dtype=bool)
    for number in range(100_000):
        active = phi > bottom
        if not active.any():
            break
        h = np.where(active, np.minimum(h, phi - bottom), 0.0)
        ends = h >= phi - bottom
        new, slopes = _stages(flow, z, slope, phi, h)
        error = np.where(active, _errors(z, new, slopes, h, rtol, atol), 0.0)
        steps += active
        good = active & (error <= 1)
        chosen = column(good, z, torch.bool)
        z, slope = torch.where(chosen, new, z), torch.where(chosen, slopes[-1], slope)
        phi = np.where(good, np.where(ends, bottom, phi - h), phi)
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = _SAFETY * np.where(good, error**-_NOW * before**_BEFORE, error**-0.2)
        factor = np.clip(np.nan_to_num(factor, nan=_LEAST), _LEAST, np.where(good & ~rejected, _MOST, 1.0))
        before, rejected = np.where(good, np.maximum(error, 1e-4), before), active & ~good
        h = h * factor
        if (rejected & (h < 1e-7)).any():
            stuck = int(np.argmax(rejected & (h < 1e-7)))
            t = float(flow.time(phi[stuck]))
            raise ArithmeticError(f"sample {stuck} is stuck at t = {t:g}: are its predictions finite?")
        if callback is not None:
            callback(number, z * column(flow.norm(phi), z), flow.prediction(z, slope, phi))
    x = z * column(flow.norm(phi), z)
    return Solved(predict(x, flow.time(phi), condition), 6 * steps + 2)


@dataclass(frozen=True)
class Adaptive:
    """:func:`adaptive` in place of a plan, for :func:`diffx.sampling.sample`.

    Args:
        tolerance: of the error of a step, absolute and relative, as a share of the data's deviation; 1e-6 at least.
        stop: sigma/alpha at which the prediction is taken for the sample; None: the least noise of the schedule.
    """

    tolerance: float = 1e-3
    stop: float | None = None

    @classmethod
    def from_options(cls, process: Process, options: SampleConfig) -> Adaptive:
        """As ``sample.tolerance`` and ``sample.stop`` say. ValueError for options or a process that have no place."""
        gaussian_only(process, "adaptive steps")
        if options.eta or options.correct_steps:
            raise ValueError("sampler 'adaptive' is deterministic: it has no eta and no correct_steps")
        return cls(options.tolerance, options.stop or None)

    def run(self, predict, process, shape, seeds, condition=None, start=None, device="cpu", callback=None) -> Tensor:
        """The samples. ValueError for a process that is not Gaussian."""
        gaussian_only(process, "adaptive steps")
        way = partial(adaptive, low=self.stop, rtol=self.tolerance, atol=self.tolerance)
        return way(predict, process, shape, seeds, condition, start, device, callback).x


class _Flow:
    """dz/dphi = (cos(phi) z - x_0-hat / sigma_data) / sin(phi), for phi [B]."""

    def __init__(self, predict: Predict, process: Gaussian, condition: Condition | None):
        self.predict, self.process, self.condition = predict, process, condition

    def time(self, phi: np.ndarray | float) -> np.ndarray:
        schedule = self.process.schedule
        with np.errstate(over="ignore"):
            t = schedule.time(self.process.sigma_data * np.tan(phi))
        return np.where(np.asarray(phi) >= np.pi / 2, schedule.t_max, np.minimum(t, schedule.t_max))

    def norm(self, phi: np.ndarray) -> np.ndarray:
        t = self.time(phi)
        return np.hypot(self.process.schedule.alpha(t) * self.process.sigma_data, self.process.schedule.sigma(t))

    def prediction(self, z: Tensor, slope: Tensor, phi: np.ndarray) -> Tensor:
        """x_0-hat, from the slope that it gave."""
        return self.process.sigma_data * (z * column(np.cos(phi), z) - slope * column(np.sin(phi), z))

    def __call__(self, z: Tensor, phi: np.ndarray) -> Tensor:
        prediction = self.predict(z * column(self.norm(phi), z), self.time(phi), self.condition)
        check_prediction(prediction, z.shape)
        return z * column(np.cos(phi) / np.sin(phi), z) - prediction * column(
            1 / (self.process.sigma_data * np.sin(phi)), z
        )


def _stages(flow: _Flow, z: Tensor, slope: Tensor, phi: np.ndarray, h: np.ndarray) -> tuple[Tensor, list[Tensor]]:
    """The state after a step of h [B] down, of order 5, and the slopes of all stages, the last at that state."""
    slopes, new = [slope], z
    for at, weights in zip(_TIMES[1:], _STAGES[1:], strict=True):
        mean = sum((k * w for k, w in zip(slopes, weights, strict=True) if w), torch.zeros_like(z))
        new = z - mean * column(h, z)
        slopes.append(flow(new, phi - at * h))
    return new, slopes


def _errors(z: Tensor, new: Tensor, slopes: list[Tensor], h: np.ndarray, rtol: float, atol: float) -> np.ndarray:
    """Error of each sample as a share of what is allowed; each sample by itself, as sums over a batch may add in
    another order."""
    error = sum((k * w for k, w in zip(slopes, _ERROR, strict=True) if w), torch.zeros_like(z)) * column(h, z)
    share = error / (atol + rtol * torch.maximum(z.abs(), new.abs()))
    return torch.stack([sample.square().mean().sqrt() for sample in share]).double().cpu().numpy()
