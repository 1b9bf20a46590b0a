"""Predictor-corrector sampling: after each step of a plan, Langevin dynamics at the level it reached."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from diffx.condition import Condition
from diffx.condition.base import told
from diffx.noise import Noise
from diffx.plan import Plan
from diffx.predict import Predict
from diffx.process import Gaussian
from diffx.sampling.loop import first_state, gaussian_only
from diffx.state import check_batch, column


@torch.no_grad()
def predictor_corrector(
    predict: Predict,
    process: Gaussian,
    plan: Plan,
    shape: tuple[int, ...],
    seeds: Sequence[int],
    condition: Condition | None = None,
    start: Tensor | None = None,
    device: torch.device | str = "cpu",
    callback: Callable[[int, Tensor, Tensor], None] | None = None,
    *,
    corrections: int = 1,
    snr: float = 0.16,
) -> Tensor:
    """Song et al. 2021, algorithms 1, 4 and 5: x <- x + e g + sqrt(2 e) z, with the score g at the level of x.

    The step size e = 2 (snr |z| / |g|)^2 is each sample's own. Three things differ from the published code: norms are
    not averaged over the batch, so that a sample does not depend on its neighbours; |z| is its root mean square
    sqrt(d), because a step size that follows the noise it multiplies is no longer Langevin dynamics; and |g| is taken
    for no less than that of Gaussian data, sqrt(d) / hypot(alpha sigma_data, sigma), which keeps e finite where the
    score vanishes. On Gaussian data the variance then settles at 1 / (1 - snr^2) of what it should be: 2.6 % more.

    Args:
        plan: without memory: ddim, ddpm or euler. One more evaluation for each correction; none after the last row.
        corrections: Langevin steps after each step of the plan.
        snr: signal-to-noise ratio of a correction, "r" in the paper.

    The other arguments, and the result, are those of :func:`diffx.sampling.sample`.

    Raises:
        ValueError: corrections < 0, snr not positive, or a plan whose rows use what earlier rows left.
    """
    _check(plan, corrections, snr)
    noise = Noise(seeds, device)
    x = first_state(process, shape, noise, plan.rows[0].t, condition, start)
    memory = process.memory(x, plan.depth)
    for index, row in enumerate(plan.rows):
        prediction = predict(x, row.t, told(condition, memory.told))
        check_batch(len(noise.seeds), prediction, "the prediction")
        x = process.step(x, prediction, row, memory, noise, index)
        for k in range(corrections if row.s > 0 else 0):
            z = noise["correct"].normal(*x.shape[1:], step=index * corrections + k)
            x = _langevin(process, x, predict(x, row.s, told(condition, memory.told)), row.s, z, snr)
        if callback is not None:
            callback(index, x, prediction)
    return x


@dataclass(frozen=True)
class PredictorCorrector:
    """:func:`predictor_corrector` in place of a plan, for :func:`diffx.sampling.sample`.

    Args:
        plan: without memory: ddim, ddpm or euler.
        corrections: Langevin steps after each row of the plan.
        snr: signal-to-noise ratio of a correction.

    Raises:
        ValueError: a plan whose rows use what earlier rows left, or of a mixed state; numbers out of range.
    """

    plan: Plan
    corrections: int = 1
    snr: float = 0.16

    def __post_init__(self) -> None:
        _check(self.plan, self.corrections, self.snr)

    def __len__(self) -> int:
        """Network evaluations."""
        return len(self.plan) + self.corrections * sum(row.s > 0 for row in self.plan.rows)

    def run(self, predict, process, shape, seeds, condition=None, start=None, device="cpu", callback=None) -> Tensor:
        """The samples. ValueError for a process that is not Gaussian."""
        gaussian_only(process, "Langevin corrections")
        way = partial(predictor_corrector, corrections=self.corrections, snr=self.snr)
        return way(predict, process, self.plan, shape, seeds, condition, start, device, callback)


def _check(plan: Plan, corrections: int, snr: float) -> None:
    if corrections < 0 or not snr > 0:
        raise ValueError(f"corrections are 0 or more and snr is positive, not {corrections} and {snr}")
    if any(len(row.b) > 1 or row.d or not row.evaluate for row in plan.rows):
        raise ValueError(f"{plan.name} remembers what a correction makes stale; correct ddim, ddpm or euler")


def _langevin(process: Gaussian, x: Tensor, prediction: Tensor, t: float, z: Tensor, snr: float) -> Tensor:
    alpha, sigma = float(process.schedule.alpha(t)), float(process.schedule.sigma(t))
    score = (alpha * prediction - x) / sigma**2
    root = math.sqrt(x[0].numel())
    size = 2 * (snr * root / norms(score).clamp(min=root / math.hypot(alpha * process.sigma_data, sigma))) ** 2
    size = column(size, x)
    return x + size * score + (2 * size).sqrt() * z


def norms(x: Tensor) -> Tensor:
    """Euclidean norm of each sample, [B]; each by itself, because a sum over a batch may add in another order."""
    return torch.stack([torch.linalg.vector_norm(sample) for sample in x])
