"""Training crops of a stage: a part of a posed brain, what of it the coarse volume does not show, and where it lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from diffx.noise import Noise, derive

from .place import coordinates, enlarged, extent
from .stages import Stage

_MANY = 2**17  # crops of an epoch
_FORGET = 0.1  # share of crops whose age is not told, and of those whose sex is not
_SEEN = 0.1  # intensity from which a voxel is brain
_INSIDE = 0.2  # intensity from which a voxel is well inside
_CORE = 64.0  # mm in the middle of a brain, at the least, whose residuals tell their scale


class Crops:
    """Items ``{"x": [1, S, S, S] residual, "coarse": [1, S / 2 + 2, ...], "place": [3, S, S, S], "age", "sex"}``.

    The residual is what the volume adds to its enlarged coarse volume, over `scale`. An item is a function of the seed
    and its number. For training there are many more than brains: at any place and offset of the coarse grid, mirrored
    or not, of changed gain and gamma, age and sex told or not. Without `augment` there is one a brain, in its middle.

    Args:
        brains: posed brains [X, Y, Z] on voxels of `stage.source` mm, 1.0 at the 99th percentile, of any type that
            `scaling` makes so.
        people: mappings with the age in years and the sex of each, or None.
        stage: which one learns from them.
        side: of a crop, in voxels of the stage; even.
        seed: of what is random.
        scale: standard deviation of the residual; None: it is measured (`residual_scale`).
        scaling: what a stored value is multiplied with.
        augment: for training.
    """

    def __init__(
        self,
        brains: Sequence[Tensor],
        people: Sequence[Mapping[str, Any]],
        stage: Stage,
        side: int,
        seed: int = 0,
        scale: float | None = None,
        scaling: float = 1.0,
        augment: bool = True,
    ):
        self.brains, self.people, self.stage, self.side, self.seed = brains, people, stage, side, seed
        self.scaling, self.augment = scaling, augment
        self._extents: list[Tensor] = []
        self._boxes: list[tuple[list[int], list[int]]] = []
        for number in range(len(brains)):
            brain = self._whole(number)
            self._extents.append(extent(brain, stage.source))
            seen = (brain > _SEEN).nonzero()
            self._boxes.append((seen.amin(0).tolist(), (seen.amax(0) + 1).tolist()))
        self.scale = 1.0
        self.scale = residual_scale(self) if scale is None else scale

    def __len__(self) -> int:
        return _MANY if self.augment else len(self.brains)

    def __getitem__(self, index: int) -> dict[str, Any]:
        noise = Noise([derive(self.seed, "crop", index)])
        number = int(noise["brain"].uniform(1) * len(self.brains)) if self.augment else index
        return self.crop(number, noise)

    def crop(self, number: int, noise: Noise, augment: bool | None = None) -> dict[str, Any]:
        """An item of brain `number`."""
        augment = self.augment if augment is None else augment
        pool, side, person = self.stage.pool, self.side, self.people[number]
        u = noise["crop"].uniform(8)[0].tolist()
        corner = self._corner(number, u[:3] if augment else None)
        lo, size = [c - 2 * pool for c in corner], (side + 4) * pool  # a coarse voxel around, for the interpolation
        source, where = self.stage.source, self._extents[number]
        if augment and self.stage.deform:
            part, pool = deformed(self._whole(number), lo, size, source, noise["deform"]), pool // 2
            where = extent(part, 2 * source)
            where[0] += torch.tensor(lo) * source
        else:
            part = _cut(torch.as_tensor(self.brains[number]), lo, size).float() * self.scaling
        if augment:
            low, high = self.stage.gamma
            part = part.clamp_min(0) ** (low + (high - low) * u[3]) * (0.94 + 0.12 * u[4])
        fine = F.avg_pool3d(part[None, None], pool)
        coarse = F.avg_pool3d(fine, 2)
        residual = (fine - enlarged(coarse))[0, :, 2:-2, 2:-2, 2:-2] / self.scale
        place = coordinates([c * source for c in corner], (side,) * 3, self.stage.spacing, where)
        coarse = coarse[0]
        if augment and u[5] < 0.5:
            residual, coarse, place = residual.flip(1), coarse.flip(1), place.flip(1)
            place[0] = -place[0]
        age, sex = (None if augment and x < _FORGET else person[k] for x, k in zip(u[6:], ("age", "sex"), strict=True))
        return {"x": residual, "coarse": coarse, "place": place, "age": age, "sex": sex}

    def _whole(self, number: int) -> Tensor:
        return torch.as_tensor(self.brains[number]).float() * self.scaling

    def _corner(self, number: int, u: Sequence[float] | None) -> list[int]:
        """First source voxel of a crop: anywhere that holds brain, or in the middle."""
        pool, corner = self.stage.pool, []
        size, margin = self.side * pool, self.stage.margin * pool
        for axis, (lo, hi) in enumerate(zip(*self._boxes[number], strict=True)):
            first, last = lo - margin, hi + margin - size
            if first > last:  # the brain is smaller than the crop
                first, last = (first + last) // 2 - pool, (first + last) // 2 + pool
            corner.append((lo + hi - size) // 2 if u is None else first + int(u[axis] * (last + 1 - first)))
        return corner


def residual_scale(crops: Crops) -> float:
    """Standard deviation of what the coarse volumes do not show, well inside of every third brain."""
    crops, inside = copy(crops), []
    crops.side = max(crops.side, round(_CORE / crops.stage.spacing))
    for number in range(0, len(crops.brains), 3):
        item = crops.crop(number, Noise([number]), augment=False)
        coarse = enlarged(item["coarse"][None])[0, :, 2:-2, 2:-2, 2:-2]
        inside.append(item["x"][coarse > _INSIDE])
    return float(torch.cat(inside).std())


def _cut(brain: Tensor, lo: Sequence[int], size: int) -> Tensor:
    """The cube of `size` voxels from corner `lo`, 0 outside the volume."""
    pads = [(max(-a, 0), max(a + size - n, 0)) for a, n in zip(lo, brain.shape, strict=True)]
    inside = tuple(slice(max(a, 0), max(min(a + size, n), 0)) for a, n in zip(lo, brain.shape, strict=True))
    return F.pad(brain[inside], [p for pair in reversed(pads) for p in pair])


def deformed(brain: Tensor, lo: Sequence[int], size: int, spacing: float, noise: Noise) -> Tensor:
    """The cube of `size` voxels from corner `lo` through a small random deformation, on voxels of twice the edge.

    `spacing`: of the brain, mm. An affine map (3 degrees, 4 % an axis, shear of 2 %, 3 mm) and a smooth field (1.5 mm,
    nodes every 32 mm).
    """
    n = torch.tensor(brain.shape, dtype=torch.float32)
    turn, stretch, shear = noise["turn"].normal(3, 3)[0], noise["stretch"].normal(3)[0], noise["shear"].normal(3, 3)[0]
    rotation = torch.linalg.matrix_exp(
        0.05 * (turn - turn.T) / 2**0.5 + torch.diag(0.04 * stretch) + 0.02 * shear.triu(1)
    )
    axes = [torch.arange(a, a + size, 2).float() for a in lo]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1) + 1 - n / 2
    knots = int(size * spacing / 32) + 3
    field = F.interpolate(
        1.5 / spacing * noise["field"].normal(3, knots, knots, knots), scale_factor=3, mode="trilinear"
    )
    field = F.interpolate(field, size=tuple(points.shape[:3]), mode="trilinear")[0].movedim(0, -1)
    points = (points @ rotation.T + 3 / spacing * noise["shift"].normal(3)[0] + field) / ((n - 1) / 2)
    halved = F.avg_pool3d(brain[None, None], 2, 1)
    return F.grid_sample(halved, points.flip(-1)[None], align_corners=False)[0, 0].clamp_min(0)
