"""Healthy scans with lesions put in, so that the truth is known to the voxel.

A shape, an ellipsoid or a mask of a real lesion, is turned, scaled to a volume and laid inside the brain. Its tissue is
darker or brighter than the brain's median, uneven, and runs into the tissue around over about a millimetre and a half.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from diffx.errors import DataError

from ..volume import Source, Volume, load
from .components import components

_EDGE = 1.5  # mm, standard deviation of the blur of a lesion's edge
_INSIDE = 0.75  # share of a shape that has to lie in the brain
_TRIES = 60
_DARK = {"T1w": 0.85, "FLAIR": 0.0}  # share of lesions that are darker than the brain
_DARKER, _BRIGHTER = (0.35, 0.75), (1.3, 1.9)  # of the brain's median


@dataclass(frozen=True)
class Simulated:
    """``scan`` with lesions, ``truth`` bool [X, Y, Z], and the ``volumes`` of the lesions in ml."""

    scan: Volume
    truth: np.ndarray
    volumes: list[float]


@dataclass(frozen=True)
class Shape:
    """Of a lesion: whether points [..., 3] about its middle, mm, are ``inside``; its ``volume``, mm^3; ``radius``, mm,
    beyond which no point is."""

    inside: Callable[[np.ndarray], np.ndarray]
    volume: float
    radius: float

    @classmethod
    def ellipsoid(cls, rng: np.random.Generator) -> Shape:
        """An ellipsoid of random proportions."""
        radii = 10 * np.exp(rng.normal(0, 0.3, 3))
        return cls(lambda points: ((points / radii) ** 2).sum(-1) < 1, 4 / 3 * np.pi * radii.prod(), radii.max())

    @classmethod
    def of_mask(cls, source: Source) -> Shape:
        """The largest connected part of a mask. Raises DataError where it is empty."""
        mask = load(source)
        labels, sizes = components(mask.data > 0.5)
        if not len(sizes):
            raise DataError(f"{source}: the mask is empty")
        part, spacing = (labels == 1).astype(np.float32), mask.spacing
        places = np.argwhere(part)
        middle = places.mean(0)
        radius = float(np.sqrt((((places - middle) * spacing) ** 2).sum(1)).max() + spacing.max())

        def inside(points: np.ndarray) -> np.ndarray:
            index = np.moveaxis(points / spacing + middle, -1, 0)
            return ndimage.map_coordinates(part, index, order=1, mode="constant") > 0.5

        return cls(inside, float(sizes[0] * np.prod(spacing)), radius)


def simulate(
    scan: Volume,
    brain: np.ndarray,
    shapes: list[Shape],
    volumes: tuple[float, float],
    contrast: str,
    rng: np.random.Generator,
) -> Simulated:
    """A healthy scan with a lesion of each shape.

    Args:
        scan: healthy.
        brain: bool [X, Y, Z], where lesions may lie.
        shapes: of each lesion.
        volumes: least and greatest volume of a lesion in ml, drawn evenly on a logarithmic scale.
        contrast: "T1w" (most lesions are dark) or "FLAIR" (all are bright).
        rng: decides everything.

    Raises:
        DataError: a shape of that volume finds no room in the brain.
    """
    level = float(np.median(scan.data[brain]))
    data, truth = scan.data.astype(np.float32).copy(), np.zeros(brain.shape, bool)
    found = []
    for shape in shapes:
        wanted = float(np.exp(rng.uniform(*np.log(volumes))))
        mask = _placed(scan, brain & ~truth, shape, (1000 * wanted / shape.volume) ** (1 / 3), rng)
        soft = np.clip(ndimage.gaussian_filter(mask.astype(np.float32), _EDGE / scan.spacing), 0, 1)
        tissue = level * rng.uniform(*(_DARKER if rng.random() < _DARK.get(contrast, 0.5) else _BRIGHTER))
        texture = ndimage.gaussian_filter(rng.standard_normal(mask.shape), 2.5 / scan.spacing)
        texture = 1 + 0.08 * texture / texture.std()
        kept = rng.uniform(0, 0.3)
        lesion = (kept * data + (1 - kept) * tissue) * texture
        data = data * (1 - soft) + soft * np.maximum(lesion, 0)
        truth |= mask
        found.append(float(mask.sum() * np.prod(scan.spacing) / 1000))
    return Simulated(Volume(data.astype(np.float32), scan.affine, scan.qform), truth, found)


def _placed(scan: Volume, brain: np.ndarray, shape: Shape, factor: float, rng: np.random.Generator) -> np.ndarray:
    """Where the shape, turned and scaled, lies in the brain; bool [X, Y, Z], the part inside the brain."""
    deep = np.argwhere(ndimage.binary_erosion(brain, iterations=max(1, round(4 / scan.spacing.min()))))
    if not len(deep):
        raise DataError("there is no room for a lesion in the brain")
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    reach = np.ceil(shape.radius * factor / scan.spacing).astype(int)
    for _ in range(_TRIES):
        centre = deep[rng.integers(len(deep))]
        low, high = np.maximum(centre - reach, 0), np.minimum(centre + reach + 1, brain.shape)
        cut = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        index = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"), -1)
        inside = shape.inside((index - centre) * scan.spacing @ turn / factor)
        own = inside & brain[cut]
        if own.any() and own.sum() >= _INSIDE * inside.sum():
            mask = np.zeros(brain.shape, bool)
            mask[cut] = own
            return mask
    raise DataError(f"a lesion found no room in the brain in {_TRIES} tries; ask for smaller volumes")
