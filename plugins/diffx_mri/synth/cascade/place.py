"""Where a voxel lies in the brain, whatever the size and place of that brain."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate


def extent(volume: Tensor, spacing: float) -> Tensor:
    """Centre and half lengths [2, 3] of the intensity of a volume [X, Y, Z], mm from the corner of its first voxel.

    A half length is sqrt(5) standard deviations: that of an ellipsoid of even intensity is its half axis. The variance
    of a voxel's own width is taken off (Sheppard's correction), so that pooling changes nothing.
    """
    found = []
    for axis in range(3):
        weight = volume.double().sum([a for a in range(3) if a != axis])
        at = (torch.arange(len(weight), dtype=torch.float64) + 0.5) * spacing
        middle = (weight * at).sum() / weight.sum()
        variance = (weight * (at - middle) ** 2).sum() / weight.sum() - spacing**2 / 12
        found.append(torch.stack([middle, (5 * variance).sqrt()]))
    return torch.stack(found, 1).float()


def coordinates(corner: Sequence[float], shape: Sequence[int], spacing: float, of: Tensor) -> Tensor:
    """Coordinates [3, *shape] of voxel centres, about -1 to 1 inside the brain of that `extent` [2, 3].

    `corner`: of the first voxel, mm, on the axes of the extent.
    """
    axes = [
        (start + (torch.arange(n) + 0.5) * spacing - middle) / half
        for start, n, middle, half in zip(corner, shape, of[0], of[1], strict=True)
    ]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def enlarged(volume: Tensor) -> Tensor:
    """A volume [B, C, X, Y, Z] on voxels of half the edge, trilinear."""
    return interpolate(volume, scale_factor=2, mode="trilinear", align_corners=False)
