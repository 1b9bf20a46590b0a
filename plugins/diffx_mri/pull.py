"""Between a scan and template space: pose it, pull it back through its shape, push it forward again."""

from __future__ import annotations

import numpy as np
import torch

from .align import Brain, split_pose
from .geometry import Geometry
from .register import affine_points, displaced, exponential, pool


def posed(
    brains: list[Brain], matrices: torch.Tensor, geometry: Geometry, whole_head: bool
) -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
    """Split affine maps [N, 4, 4] (template to centred scan) into poses, log stretches, and the brains in that pose."""
    parts = [split_pose(m.double().numpy()) for m in matrices]
    poses = np.stack([p for p, _ in parts])
    return poses, np.stack([s for _, s in parts]), on_canvas(brains, poses, geometry, whole_head)


def on_canvas(brains: list[Brain], poses: np.ndarray, geometry: Geometry, whole_head: bool) -> torch.Tensor:
    """Brains in their poses [N, 4, 4] on the canvas at twice the spacing, [N, 1, *canvas/2], for registration."""
    images = [torch.from_numpy(b.canvas(geometry, p, 1, not whole_head)) for b, p in zip(brains, poses, strict=True)]
    return torch.cat([pool(image[None, None], 2) for image in images])


def pull_back(
    brains: list[Brain],
    poses: np.ndarray,
    velocity: torch.Tensor,
    geometry: Geometry,
    whole_head: bool,
    refinements: int = 3,
) -> torch.Tensor:
    """The brains in template space [N, *box]: what, warped by `push`, comes nearest to the posed scan.

    Starts from the scan read in one cubic-spline interpolation; conjugate gradients undo the blur of the push.
    """
    points = geometry.points(geometry.box)
    images = []
    for brain, pose, v in zip(brains, poses, velocity, strict=True):
        inside = geometry.crop(exponential(v[None], geometry))
        where = displaced(inside, points, geometry.box)
        scan = affine_points(torch.from_numpy(pose[None]).float(), where[0]).numpy()[0] + brain.shift
        image = torch.from_numpy(brain.at(scan, 3, not whole_head))[None].clamp_(0, 1.5)
        if refinements:
            target = torch.from_numpy(brain.canvas(geometry, pose, 3, not whole_head))[None]
            image = _deblur(image, target, v[None], geometry, refinements)
        images.append(image)
    return torch.cat(images)


def push(appearance: torch.Tensor, velocity: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Template-space images [B, *box] warped by exp(-v) onto the canvas, [B, *canvas]; linear in the image."""
    return geometry.warp(appearance[:, None], _backwards(velocity, geometry), geometry.box)[:, 0]


def _backwards(velocity: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    points = geometry.points(geometry.canvas).to(velocity.device)
    return displaced(exponential(-velocity, geometry), points, geometry.canvas)


def _deblur(
    image: torch.Tensor,
    target: torch.Tensor,
    velocity: torch.Tensor,
    geometry: Geometry,
    steps: int,
    stay: float = 0.05,
) -> torch.Tensor:
    """Conjugate gradients on |push(x) - target|^2 + stay |x - image|^2."""
    back = _backwards(velocity, geometry)

    def forward(x: torch.Tensor) -> torch.Tensor:
        return geometry.warp(x[:, None], back, geometry.box)[:, 0]

    def transposed(y: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            x = torch.zeros_like(image, requires_grad=True)
            return torch.autograd.grad((forward(x) * y).sum(), x)[0]

    x = image.clone()
    left = transposed(target - forward(x))
    direction, size = left.clone(), left.square().sum()
    for _ in range(steps):
        if size <= 0:
            break
        image_of = transposed(forward(direction)) + stay * direction
        length = size / (direction * image_of).sum()
        x, left = x + length * direction, left - length * image_of
        size, before = left.square().sum(), size
        direction = left + size / before * direction
    return x
