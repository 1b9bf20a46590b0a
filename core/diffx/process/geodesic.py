"""Diffusion on a manifold: noise is Brownian motion, the prediction its score, and a step goes along a geodesic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffx.noise import Noise
from diffx.process.base import Memory, Noisy, Process, Solver
from diffx.process.space import Space
from diffx.process.table import Plan, Row
from diffx.process.walk import geodesic_random_walk
from diffx.schedule import Schedule
from diffx.schedule.distribution import NoiseDistribution, uniform_time
from diffx.state import check_batch, check_prediction


@dataclass(frozen=True)
class Geodesic(Process):
    """x_t is drawn from the heat kernel of spread sigma(t) around x_0, on R^n, a torus or SO(3).

    Variance exploding: there is no shrinking of data on a manifold (De Bortoli et al. 2022; on poses of molecules Corso
    et al. 2023). The prediction is the score, the gradient of log p_t at x, as a tangent vector; its size goes from
    1/sigma to next to nothing, so a network should give out numbers of about unit size, times :meth:`score_scale`.

    Plans are geodesic random walks (:func:`diffx.plan.geodesic_random_walk`).

    Args:
        space: where x lives.
        schedule: one with alpha = 1, as VE(sigma_min, sigma_max): exponential in t, from 0 to 1.
        noise_distribution: where training spends its noise: uniform variates [B] -> training times [B]; by default
            uniform in time, so in log sigma on VE.
    """

    space: Space
    schedule: Schedule
    noise_distribution: NoiseDistribution = uniform_time

    def times(self, u: np.ndarray) -> np.ndarray:
        """Training times [B] from uniform variates [B] in (0, 1)."""
        return self.noise_distribution(self.schedule, u)

    def score_scale(self, t: float | np.ndarray) -> np.ndarray:
        """Root mean square of an element of the score of q(x_t | x_0), in host float64: 1/sigma on R^n.

        Towards the uniform distribution it falls exponentially, and is held at about 1e-10.
        """
        return np.sqrt(self.space.norm(self.schedule.sigma(np.asarray(t, dtype=np.float64))))

    def prior(self, shape: tuple[int, ...], noise: Noise, t: float | None = None) -> Tensor:
        """Where sampling starts, [B, *shape]: uniform on torus and SO(3), N(0, sigma(t)^2 I) on R^n.

        See :meth:`Space.prior` for how large sigma should be. To start from something known, noise it with
        :meth:`corrupt` to the plan's first time, and give it to ``sample`` as ``start``.
        """
        self.space.tangent(shape)
        t = self.schedule.t_max if t is None else t
        return self.space.prior(shape, float(self.schedule.sigma(t)), noise["prior"])

    def corrupt(self, x0: Tensor, t: float | np.ndarray, noise: Noise) -> Noisy:
        """Noise x0 [B, ...] to times t, a float or [B]. The target is the score of q(x_t | x_0) at x_t.

        Raises:
            ValueError: there is not one seed for each sample, or x0 is not of the space.
        """
        check_batch(len(noise.seeds), x0, "the clean state")
        shape = self.space.tangent(tuple(x0.shape[1:]))
        t = np.broadcast_to(np.asarray(t, dtype=np.float64), (x0.shape[0],))
        sigma, weight = (
            torch.as_tensor(np.array(v), dtype=torch.float32, device=x0.device)
            for v in (self.schedule.sigma(t), self.score_scale(t) ** -2)
        )
        sigma = sigma.view(-1, *(1 for _ in shape))
        v = self.space.draw(noise["corrupt"].normal(*shape), sigma)
        return Noisy(self.space.exp(x0, v), t, self.space.score(v, sigma), weight)

    def loss(self, prediction: Tensor, noisy: Noisy) -> Tensor:
        """|prediction - score|^2 / E|score|^2, one value a sample: [B]; of a prediction of 0 it is 1 on average."""
        return noisy.weight * (prediction.float() - noisy.target).square().flatten(1).mean(1)

    def step(self, x: Tensor, prediction: Tensor | None, row: Row, memory: Memory, noise: Noise, index: int) -> Tensor:
        """Apply one row of a walk, x' = exp_x(sum_j B_j m_-j + C z), to x [B, ...]. Updates ``memory``.

        The scores m of earlier points are used at x as they are: on SO(3), in the world's frame.

        Raises:
            ValueError: a row that scales the state or anchors it, which has no meaning on a manifold.
        """
        if (row.a, row.d, row.hold, row.output) != (1.0, 0.0, False, (0.0, 1.0)):
            raise ValueError("on a manifold a row only walks, x' = exp_x(sum B m + C z): use geodesic_random_walk()")
        v = torch.zeros(x.shape[:1] + self.space.tangent(tuple(x.shape[1:])), dtype=x.dtype, device=x.device)
        if prediction is not None:
            check_prediction(prediction, v.shape)
            memory.history = (prediction.to(x.dtype), *memory.history)[: memory.depth]
        for b, m in zip(row.b, memory.history[: len(row.b)], strict=True):
            if b:
                v = v.add_(m, alpha=b)
        if row.c:
            v = v.add_(noise["step"].normal(*v.shape[1:], step=index), alpha=row.c)
        return self.space.exp(x, v)

    def plan(self, solver: Solver, times: Sequence[float], eta: float | None = None) -> Plan:
        """A geodesic random walk, whatever the solver; without ``eta`` the deterministic one."""
        return geodesic_random_walk(self.schedule, times, eta or 0.0)
