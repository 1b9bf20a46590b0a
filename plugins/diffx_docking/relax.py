"""Minimisation of many poses at once, each by BFGS of its own, in the degrees of freedom of a pose."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from diffx.process import SO3

Pose = Mapping[str, Tensor]
Energy = Callable[[Pose], tuple[Tensor, Tensor]]  # pose -> energies [B], gradients [B, 6 + m]
_ARMIJO, _SHRINK, _MOST = 1e-4, 0.35, 0.5  # least decrease, step if it fails, longest step in Å or radians


def moved(pose: Pose, step: Tensor) -> dict[str, Tensor]:
    """The pose after a tangent step [B, 6 + m]: translation, rotation vector in the world's frame, torsions."""
    shift, turn, twist = step[:, :3], step[:, 3:6], step[:, 6:]
    rotation = SO3().exp(pose["rotation"], turn)
    return {"translation": pose["translation"] + shift, "rotation": rotation, "torsion": pose["torsion"] + twist}


def minimise(energy: Energy, pose: Pose, steps: int = 20) -> tuple[dict[str, Tensor], Tensor]:
    """Poses of less energy, and their energies [B].

    BFGS with backtracking (Nocedal and Wright 2006, algorithm 6.1), all poses in step; one whose trial step does not
    lower its energy stays where it is, and tries a shorter one next.
    """
    here = dict(pose)
    value, gradient = energy(here)
    batch, size = gradient.shape
    unit = torch.eye(size, dtype=gradient.dtype)
    inverse = unit.expand(batch, size, size).clone()
    length = torch.ones(batch, 1, dtype=gradient.dtype)
    fresh = torch.ones(batch, dtype=torch.bool)
    for _ in range(steps):
        direction = -(inverse @ gradient[..., None])[..., 0]
        slope = (direction * gradient).sum(-1, keepdim=True)
        uphill = slope >= 0
        direction, slope = direction.where(~uphill, -gradient), slope.where(~uphill, -gradient.square().sum(-1, True))
        step = direction * length
        step = step * (_MOST / step.abs().amax(-1, keepdim=True).clamp_min(1e-9)).clamp(max=1.0)
        there = moved(here, step)
        new_value, new_gradient = energy(there)
        better = (new_value[:, None] <= value[:, None] + _ARMIJO * length * slope)[:, 0]
        change = new_gradient - gradient
        curvature = (step * change).sum(-1)
        usable = better & (curvature > 1e-8)
        # the first curvature that is seen sets the scale (equation 6.20)
        scale = (curvature / change.square().sum(-1)).where(usable & fresh, 1.0)
        inverse = _updated(inverse * scale[:, None, None], step, change, curvature, usable, unit)
        fresh = fresh & ~usable
        here = {k: there[k].where(better.view(-1, *(1,) * (there[k].ndim - 1)), here[k]) for k in here}
        value, gradient = new_value.where(better, value), new_gradient.where(better[:, None], gradient)
        length = torch.ones_like(length).where(better[:, None], length * _SHRINK)
    return here, value


def _updated(inverse: Tensor, step: Tensor, change: Tensor, curvature: Tensor, usable: Tensor, unit: Tensor) -> Tensor:
    """The inverse Hessian after a step, where the curvature along it is positive (equation 6.17)."""
    rho = (1 / curvature.where(usable, 1.0))[:, None, None]
    left = unit - rho * step[:, :, None] * change[:, None]
    new = left @ inverse @ left.transpose(-1, -2) + rho * step[:, :, None] * step[:, None]
    return new.where(usable[:, None, None], inverse)
