"""Linear equations of a batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def conjugate_gradient(apply: Callable[[Tensor], Tensor], b: Tensor, iterations: int) -> Tensor:
    """x with apply(x) = b for every sample of a batch (Hestenes and Stiefel 1952), from x = 0.

    Args:
        apply: a linear map of [B, ...] to itself, symmetric positive semi-definite, that mixes no samples.
        b: [B, ...], real or complex (as pairs of reals).
        iterations: applications. A sample that has converged stays where it is: nothing waits for the host.
    """

    def dot(u: Tensor, v: Tensor) -> Tensor:
        return (u.conj() * v).real.sum(tuple(range(1, u.ndim)), keepdim=True)

    x, residual, direction = torch.zeros_like(b), b, b
    size = first = dot(b, b)
    for _ in range(iterations):
        image = apply(direction)
        curvature = dot(direction, image)
        going = (curvature > 0) & (size > 1e-13 * first)
        # divide by 1 where there is nothing to divide, so that gradients through the solution stay finite as well
        step = going * size / torch.where(going, curvature, 1.0)
        x = x + step * direction
        residual = residual - step * image
        new = dot(residual, residual)
        direction = residual + going * new / torch.where(going, size, 1.0) * direction
        size = new
    return x
