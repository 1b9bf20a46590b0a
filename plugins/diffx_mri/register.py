"""Registration in batches: affine by normalised cross-correlation, then diffeomorphic by a stationary velocity field.

All maps pull: a point of template space goes to the point of the scan whose value belongs there. Lengths in mm.
Diffeomorphism: Arsigny et al., "A log-Euclidean framework for statistics on diffeomorphisms", MICCAI 2006.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from .geometry import Geometry

SQUARINGS = 5
_RADIUS = 60.0  # mm; makes an entry of the affine matrix and a translation move a cortex voxel by like amounts


def ncc(a: torch.Tensor, b: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
    """Global normalised cross-correlation per item, [B], of [B, 1, x, y, z] with [1 or B, 1, x, y, z].

    weight [B, 1, x, y, z], 0 to 1: how much a voxel counts.
    """
    if weight is None:
        a = (a - a.mean((1, 2, 3, 4), keepdim=True)).flatten(1)
        b = (b - b.mean((1, 2, 3, 4), keepdim=True)).flatten(1)
        return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)).clamp_min(1e-6)
    total = weight.sum((1, 2, 3, 4), keepdim=True).clamp_min(1e-6)
    a, b = ((v - (weight * v).sum((1, 2, 3, 4), keepdim=True) / total) * weight.sqrt() for v in (a, b))
    return (a * b).flatten(1).sum(1) / (a.flatten(1).norm(dim=1) * b.flatten(1).norm(dim=1)).clamp_min(1e-6)


def pool(images: torch.Tensor, factor: int) -> torch.Tensor:
    """Mean of factor^3 voxels."""
    return F.avg_pool3d(images, factor) if factor > 1 else images


def affine_points(matrices: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Points [x, y, z, 3] through matrices [B, 4, 4]: [B, x, y, z, 3]."""
    return torch.einsum("bij,xyzj->bxyzi", matrices[:, :3, :3], points) + matrices[:, None, None, None, :3, 3]


def register_affine(
    moving: torch.Tensor,
    template: torch.Tensor,
    geometry: Geometry,
    start: torch.Tensor,
    steps: int = 40,
    rate: float = 1.0,
    chunk: int = 16,
    weight: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Twelve-parameter maps from template to scans.

    moving [N, 1, x, y, z] covers the canvas, template [1, 1, x', y', z'] the box, at one spacing; start [N, 4, 4] (mm).
    `rate` is Adam's step in mm at the cortex, falling to a tenth. `weight`, of the shape of `moving`: how much each
    voxel of a scan counts, 0 for those to be left out.
    Returns the matrices [N, 4, 4] and the final correlation [N].
    """
    spacing = geometry.spacing * geometry.box[0] / template.shape[-3]
    points = geometry.points(tuple(template.shape[-3:]), spacing)
    matrices, scores = [], []
    for first in range(0, len(moving), chunk):
        images, begin = moving[first : first + chunk], start[first : first + chunk]
        delta = torch.zeros(len(images), 3, 4, requires_grad=True)
        optimiser = torch.optim.Adam([delta], lr=rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: 1 - 0.9 * i / max(steps, 1))
        for _ in range(steps):
            current = _compose(begin, delta)
            where = affine_points(current, points)
            score = ncc(geometry.warp(images, where), template, _counting(weight, first, chunk, geometry, where))
            optimiser.zero_grad()
            (-score.sum()).backward()
            optimiser.step()
            schedule.step()
        with torch.no_grad():
            current = _compose(begin, delta)
            where = affine_points(current, points)
            weights = _counting(weight, first, chunk, geometry, where)
            scores.append(ncc(geometry.warp(images, where), template, weights))
            matrices.append(current)
    return torch.cat(matrices), torch.cat(scores)


def _counting(
    weight: torch.Tensor | None, first: int, chunk: int, geometry: Geometry, where: torch.Tensor
) -> torch.Tensor | None:
    """Weights of a chunk at points of its scans; held while the gradient is taken. Beyond the scan all counts."""
    if weight is None:
        return None
    counting = 1 - geometry.warp(1 - weight[first : first + chunk], where.detach())
    return torch.where(counting > 1e-5, counting, 0.0)  # not by rounding either: Adam would magnify it


def _compose(begin: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
    step = torch.cat([delta[:, :, :3] / _RADIUS, delta[:, :, 3:]], 2)
    step = torch.cat([step, torch.zeros_like(step[:, :1])], 1) + torch.eye(4)
    return begin @ step


def exponential(velocity: torch.Tensor, geometry: Geometry, refine: int = 2) -> torch.Tensor:
    """Displacement exp(v)(x) - x on the canvas, mm, [B, 3, X, Y, Z] at cell/refine voxels, by scaling and squaring.

    velocity [B, 3, *grid] in mm; beyond the box it keeps its border value. exp(-v) is the inverse of exp(v).
    """
    field = geometry.extend(velocity, "replicate")
    if refine > 1:
        field = F.interpolate(field, scale_factor=refine, mode="trilinear", align_corners=False)
    step = geometry.spacing * geometry.cell / refine
    return squared(field / step) * step


def squared(velocity: torch.Tensor) -> torch.Tensor:
    """Scaling and squaring of a velocity [B, 3, x, y, z] in voxels: u <- u + u(x + u), SQUARINGS times from v / 2^n on,
    trilinear, the border going on beyond itself (Arsigny et al. 2006, algorithm 1)."""
    shape = velocity.shape[2:]
    voxels = torch.stack(torch.meshgrid(*(torch.arange(n).to(velocity) for n in shape), indexing="ij"), -1)
    last = torch.tensor([max(n - 1, 1) for n in shape]).to(velocity)
    field = velocity / 2**SQUARINGS
    for _ in range(SQUARINGS):
        grid = (voxels + field.movedim(1, -1)) * 2 / last - 1
        field = field + F.grid_sample(field, grid.flip(-1), padding_mode="border", align_corners=True)
    return field


def displaced(displacement: torch.Tensor, points: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """points [x, y, z, 3] plus a displacement [B, 3, ...] resized to their `shape` (same extent): [B, x, y, z, 3]."""
    if tuple(displacement.shape[-3:]) != tuple(shape):
        displacement = F.interpolate(displacement, size=shape, mode="trilinear", align_corners=False)
    return points + displacement.movedim(1, -1)


def roughness(field: torch.Tensor) -> torch.Tensor:
    """Mean squared forward difference between neighbouring nodes, per item [B]."""
    return sum(torch.diff(field, dim=axis).square().mean((1, 2, 3, 4)) for axis in (2, 3, 4)) / 3  # type: ignore[return-value]


def register_velocity(
    moving: torch.Tensor,
    template: torch.Tensor,
    geometry: Geometry,
    base: torch.Tensor,
    start: torch.Tensor,
    steps: int = 30,
    rate: float = 0.4,
    stiffness: float = 5e-4,
    refine: int = 1,
    chunk: int = 8,
    progress: Callable[[int], None] | None = None,
    weight: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Residual velocities r so that moving(exp(base + r)(x)) resembles template(x).

    moving [N, 1, ...] covers the canvas, template [1, 1, ...] the box, at one spacing; base, start [N, 3, *grid] mm.
    Loss: mean squared difference + stiffness * roughness of r. `rate` (mm) is Adam's step, falling to a tenth.
    `weight`, of the shape of `moving`: how much each voxel of a scan counts, 0 for those to be left out.
    Returns r [N, 3, *grid] and the final mean squared difference [N].
    """
    spacing = geometry.spacing * geometry.box[0] / template.shape[-3]
    shape: tuple[int, int, int] = tuple(template.shape[-3:])  # type: ignore[assignment]
    points = geometry.points(shape, spacing)
    residuals, errors = [], []
    for first in range(0, len(moving), chunk):
        images, linear = moving[first : first + chunk], base[first : first + chunk]
        residual = start[first : first + chunk].clone().requires_grad_()
        optimiser = torch.optim.Adam([residual], lr=rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: 1 - 0.9 * i / max(steps, 1))

        def mismatch(residual: torch.Tensor, images=images, linear=linear, first=first) -> torch.Tensor:
            inside = geometry.crop(exponential(linear + residual, geometry, refine))
            where = displaced(inside, points, shape)
            squares = (geometry.warp(images, where) - template).square()
            counting = _counting(weight, first, chunk, geometry, where)
            return (squares if counting is None else squares * counting).mean((1, 2, 3, 4))

        for _ in range(steps):
            loss = (mismatch(residual) + stiffness * roughness(residual)).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        residuals.append(residual.detach())
        with torch.no_grad():
            errors.append(mismatch(residual))
        if progress:
            progress(len(images))
    return torch.cat(residuals), torch.cat(errors)
