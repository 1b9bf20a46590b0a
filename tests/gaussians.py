"""Correlated Gaussian data in closed form, and exactly what a plan makes of them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from diffx.process import Gaussian
from diffx.sampling import sample


class Correlated:
    """N(mean [D], cov [D, D]) in float64; states of any shape with D elements."""

    def __init__(self, mean: Tensor, cov: Tensor):
        self.mean, self.cov = mean.double(), cov.double()
        self.eigenvalues, self.basis = torch.linalg.eigh(self.cov)

    @classmethod
    def of(cls, dims: int, length: float = 4.0, std: float = 0.5) -> Correlated:
        """Neighbours correlated as exp(-distance / length), plus a little white noise; the mean is a ramp."""
        i = torch.arange(dims, dtype=torch.float64)
        cov = std**2 * torch.exp(-(i[:, None] - i).abs() / length) + 0.01 * torch.eye(dims)
        return cls(torch.linspace(-0.5, 0.5, dims), cov)

    def predict(self, schedule):
        """E[x_0 | x_t] as a ``Predict``, differentiable; t a float or [B]."""

        def predict(x: Tensor, t, condition=None) -> Tensor:
            alpha, sigma = (
                torch.as_tensor(np.array(f(t)), dtype=torch.float64) for f in (schedule.alpha, schedule.sigma)
            )
            alpha, sigma = alpha.view(-1, 1), sigma.view(-1, 1)
            gain = alpha * self.eigenvalues / (alpha**2 * self.eigenvalues + sigma**2)
            off = (x.flatten(1).double() - alpha * self.mean) @ self.basis
            return (self.mean + (gain * off) @ self.basis.T).view(x.shape).to(x.dtype)

        return predict

    def posterior_cov(self, schedule, t: float) -> Tensor:
        """Cov[x_0 | x_t], [D, D]."""
        alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
        kept = self.eigenvalues * sigma**2 / (alpha**2 * self.eigenvalues + sigma**2)
        return (self.basis * kept) @ self.basis.T

    def given(self, a: Tensor, y: Tensor, noise_std: float) -> Correlated:
        """What is left of the data given y = A x + noise; a [M, D], y [M]."""
        gain = self.cov @ a.T @ torch.linalg.inv(a @ self.cov @ a.T + noise_std**2 * torch.eye(len(a)))
        return Correlated(self.mean + gain @ (y - a @ self.mean), self.cov - gain @ a @ self.cov)

    def log_prob(self, x: Tensor) -> Tensor:
        return torch.distributions.MultivariateNormal(self.mean, self.cov).log_prob(x.flatten(1).double())

    def draw(self, n: int, seed: int = 0) -> Tensor:
        """[n, D] float64."""
        z = torch.randn(n, len(self.mean), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        return self.mean + (z * self.eigenvalues.clamp(min=0).sqrt()) @ self.basis.T


def dense(operator, shape: tuple[int, ...]) -> Tensor:
    """A linear operator on states of a shape as a matrix [M, D]."""
    dims = int(np.prod(shape))
    return operator(torch.eye(dims, dtype=torch.float64).view(dims, *shape)).flatten(1).T


def ends(predict, schedule, plan, shape: tuple[int, ...], law: Correlated) -> tuple[Tensor, Tensor]:
    """Mean and covariance, without sampling, of what a deterministic plan and an affine predict make of x_t, for t the
    plan's first time and x_0 of that law."""
    dims, t = int(np.prod(shape)), plan.rows[0].t
    alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
    mean = alpha * law.mean
    spread = law.basis * (alpha**2 * law.eigenvalues + sigma**2).sqrt()
    start = torch.cat([mean[None], mean + spread.T]).view(dims + 1, *shape)
    end = sample(predict, Gaussian(schedule), plan, shape, range(dims + 1), start=start).flatten(1).double()
    moves = (end[1:] - end[0]).T
    return end[0], moves @ moves.T


def moments(predict, schedule, plan, dims: int) -> tuple[Tensor, Tensor]:
    """Mean and covariance, without sampling, of what a plan without memory and an affine predict make of noise [D]."""
    eye = torch.eye(dims, dtype=torch.float64)
    probes = torch.cat([torch.zeros(1, dims, dtype=torch.float64), eye])
    mean, cov = torch.zeros(dims, dtype=torch.float64), float(schedule.sigma(plan.rows[0].t)) ** 2 * eye
    for row in plan.rows:
        move, shift = row.a * eye, torch.zeros(dims, dtype=torch.float64)
        if row.evaluate:
            answer = predict(probes, row.t)
            move, shift = move + row.b[0] * (answer[1:] - answer[0]).T, row.b[0] * answer[0]
        mean, cov = move @ mean + shift, move @ cov @ move.T + row.c**2 * eye
    return mean, cov
