"""What a pocket is at a point of space: learned sums over its atoms, and how they change from there."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

CUTOFF = 7.0  # Å
_NEAREST = 64  # atoms of the pocket that count at a point
_FAR = 40.0  # exponents beyond are nothing; their products would be numbers too small for fast arithmetic


class Sensed(NamedTuple):
    """Channels at points [..., K], and their gradients in space [..., K, 3], per Å."""

    value: Tensor
    slope: Tensor


class Near(NamedTuple):
    """The pocket's atoms nearest to points [N, 3]: which [N, P], distances [N, P] in Å, and unit vectors from the atoms
    to the points [N, P, 3]."""

    which: Tensor
    distance: Tensor
    away: Tensor


def nearest(points: Tensor, atoms: Tensor, count: int = _NEAREST) -> Near:
    """Of atoms [m, 3], those nearest to points [N, 3]; count or m of them."""
    gaps = torch.cdist(points, atoms, compute_mode="donot_use_mm_for_euclid_dist")
    distance, index = gaps.topk(min(count, len(atoms)), largest=False, sorted=False)
    distance = distance.clamp_min(1e-3)
    return Near(index, distance, (points[:, None] - atoms[index]) / distance[..., None])


class Radial(nn.Module):
    """Distances [...] in Å -> [..., count]: Gaussians from 1 Å to `cutoff`, faded out smoothly before it."""

    centres: Tensor

    def __init__(self, count: int, cutoff: float):
        super().__init__()
        self.cutoff, self.width = cutoff, (cutoff - 1) / (count - 1)
        self.register_buffer("centres", torch.linspace(1, cutoff, count), persistent=False)

    def forward(self, distance: Tensor) -> Tensor:
        return self.with_slope(distance)[0]

    def with_slope(self, distance: Tensor) -> tuple[Tensor, Tensor]:
        """The Gaussians, and their derivatives with respect to the distance."""
        off = (distance[..., None] - self.centres) / self.width
        bell = (-off.square().clamp(max=_FAR)).exp()
        angle = math.pi * (distance / self.cutoff).clamp(max=1)[..., None]
        fade, falling = 0.5 * angle.cos() + 0.5, -0.5 * math.pi / self.cutoff * angle.sin()
        return bell * fade, bell * (falling - 2 / self.width * off * fade)


class Field(nn.Module):
    """Channels rho_k(x) = sum_j b_jk w_k(|x - r_j|) of a pocket whose atoms j lie at r_j.

    The charges b come from the encoded pocket, the curves w are learned sums of Gaussians. Nothing depends on time or
    on the ligand, so that a pocket's field may be computed once, on a grid.

    Args:
        width: of the encoded pocket.
        channels: K.
        radial: Gaussians of a curve.
    """

    def __init__(self, width: int, channels: int, radial: int = 16):
        super().__init__()
        self.charge = nn.Linear(width, channels)
        self.radial = Radial(radial, CUTOFF)
        self.curve = nn.Parameter(torch.randn(radial, channels) * radial**-0.5)

    def forward(self, charge: Tensor, near: Near) -> Sensed:
        """Charges [m, K] of the pocket's atoms -> the field at N points."""
        bell, change = self.radial.with_slope(near.distance)
        own = nn.functional.embedding(near.which, charge)  # its gradient is faster than that of charge[index]
        value = (own * (bell @ self.curve)).sum(1)
        slope = (own * (change @ self.curve)).transpose(1, 2) @ near.away
        return Sensed(value, slope)
