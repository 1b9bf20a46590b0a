"""Gaussian diffusion of one tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from diffx.noise import Noise
from diffx.process.base import Memory, Noisy, Process, Solver
from diffx.process.synchronised import times_of
from diffx.process.table import Plan, Row
from diffx.process.weighting import Weight, edm_weight
from diffx.schedule import EDM, Schedule
from diffx.schedule.distribution import NoiseDistribution, lognormal
from diffx.state import check_batch, check_prediction, column


@dataclass(frozen=True)
class Gaussian(Process):
    """x_t = alpha(t) x_0 + sigma(t) eps for a tensor of any shape.

    Args:
        schedule: alpha and sigma.
        sigma_data: standard deviation of the data, which sets the prior's scale and the loss weight.
        noise_distribution: where training spends its noise: uniform variates [B] -> training times [B].
        weight: loss weight of x_0-hat at times [B]; by default :func:`edm_weight`.
        self_condition: show the network its own last estimate of x_0 (Chen et al. 2023, "Analog bits", section 3.2), in
            ``Condition.estimate``: in training a first estimate for half of the samples, in sampling that of the row
            before, and 0 where there is none. Its denoiser is a ``SelfConditionedDenoiser``.
    """

    uses_solver: ClassVar[bool] = True

    schedule: Schedule = field(default_factory=EDM)
    sigma_data: float = 1.0
    noise_distribution: NoiseDistribution = field(default_factory=lognormal)
    weight: Weight | None = None
    self_condition: bool = False

    def times(self, u: np.ndarray) -> np.ndarray:
        """Training times [B] from uniform variates [B] in (0, 1)."""
        return self.noise_distribution(self.schedule, u)

    def prior(self, shape: tuple[int, ...], noise: Noise, t: float | None = None) -> Tensor:
        """x at the start of sampling, [B, *shape]: N(0, alpha^2 sigma_data^2 + sigma^2), of which alpha is ~0."""
        t = self.schedule.t_max if t is None else t
        scale = np.hypot(self.schedule.alpha(t) * self.sigma_data, self.schedule.sigma(t))
        return noise["prior"].normal(*shape) * float(scale)

    def corrupt(self, x0: Tensor, t: np.ndarray, noise: Noise) -> Noisy:
        """Noise x0 [B, ...] to times t, a float or [B]. ValueError where there is not one seed for each sample."""
        check_batch(len(noise.seeds), x0, "the clean state")
        t = np.broadcast_to(np.asarray(t, dtype=np.float64), (x0.shape[0],))
        eps = noise["corrupt"].normal(*x0.shape[1:])
        alpha, sigma = (column(v, x0, torch.float32) for v in (self.schedule.alpha(t), self.schedule.sigma(t)))
        weight = (self.weight or edm_weight(self.sigma_data))(self.schedule, t)
        weights = torch.as_tensor(np.array(weight), dtype=torch.float32, device=x0.device)
        return Noisy(alpha * x0 + sigma * eps, t, x0, weights)

    def loss(self, prediction: Tensor, noisy: Noisy) -> Tensor:
        """Weighted mean squared error of x_0-hat, one value a sample: [B]."""
        return noisy.weight * (prediction.float() - noisy.target).square().flatten(1).mean(1)

    def step(self, x: Tensor, prediction: Tensor | None, row: Row, memory: Memory, noise: Noise, index: int) -> Tensor:
        """Apply one row of a plan, x' = A x + D anchor + sum_j B_j m_-j + C z, to x [B, ...]. Updates ``memory``."""
        if prediction is not None:
            check_prediction(prediction, x.shape)
            if self.self_condition:
                memory.told = {"estimate": prediction}
            p, q = row.output
            output = prediction if (p, q) == (0.0, 1.0) else (q * prediction).add_(x, alpha=p)
            memory.history = (output, *memory.history)[: memory.depth]
        if row.hold:
            memory.anchor = x
        if row.a == row.c == row.d == 0 and row.b == (1.0,):
            return memory.history[0]  # what was predicted, to the bit: 0 x + m loses signs of zero
        out = x * row.a
        for b, m in zip(row.b, memory.history[: len(row.b)], strict=True):
            if b:
                out = out.add_(m, alpha=b)
        if row.d:
            assert memory.anchor is not None, "an anchor is used before a row holds one"
            out = out.add_(memory.anchor, alpha=row.d)
        if row.c:
            out = out.add_(noise["step"].normal(*x.shape[1:], step=index), alpha=row.c)
        return out

    def plan(self, solver: Solver, times: Sequence[float], eta: float | None = None) -> Plan:
        """What the solver makes of the schedule and, where it takes them, of ``sigma_data`` and ``eta``.

        Raises:
            ValueError: an eta above 0 for a solver that has none, or of 0 for one that always adds noise.
        """
        takes = signature(solver).parameters
        asked = {"sigma_data": self.sigma_data} | ({} if eta is None else {"eta": eta})
        plan = solver(self.schedule, times, **{name: value for name, value in asked.items() if name in takes})
        if eta is not None and "eta" not in takes and (eta or any(row.c for row in plan.rows)):
            raise ValueError(f"{plan.name} has no eta, and so not one of {eta:g}: how much noise it adds is fixed")
        return plan

    def synchronised(self, plan: Plan, lead: Process, solver: Solver, eta: float | None = None) -> Plan:
        """The same solver, at the times of this leaf."""
        return self.plan(solver, times_of(plan, lead, self), eta)

    def memory(self, x: Tensor, depth: int) -> Memory:
        """Nothing yet; with self-conditioning, an estimate of 0, which is none."""
        return Memory(depth, told={"estimate": torch.zeros_like(x)} if self.self_condition else {})

    @torch.no_grad()
    def rehearse(self, predict: Callable[[Mapping[str, Any]], Any], noisy: Noisy, noise: Noise) -> Mapping[str, Any]:
        """With self-conditioning, a first estimate for half of the samples, without gradient; 0 for the others."""
        if not self.self_condition:
            return {}
        chosen = noise.uniform(1)[:, 0] < 0.5
        first = predict({"estimate": torch.zeros_like(noisy.x)})
        return {"estimate": first.where(column(chosen, first, torch.bool), 0.0)}
