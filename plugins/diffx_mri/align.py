"""From a scan on disk to a brain in pose: masked, scaled, rigidly aligned; what is left is shape and appearance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from diffx.errors import DataError

from .bids import Scan
from .geometry import Geometry
from .overlay import Say, on_grid, warn
from .volume import Volume, normalise, resample, sample

CENTROID = np.array(
    [0.0, -20.0, 7.0]
)  # mm; where a brain mask's centre lies in MNI152 space, before anything is registered


@dataclass
class Brain:
    """A scan made ready: `image` scaled, cropped to the mask unless whole heads are coded; `mask` in [0, 1].

    `shift` [3] mm: scan coordinates minus those of the centred canvas.
    """

    image: Volume
    mask: Volume
    shift: np.ndarray

    def at(self, points: np.ndarray, order: int = 3, masked: bool = True) -> np.ndarray:
        """Intensity at world points of the scan [..., 3]; masked: times the trilinear mask, not negative."""
        values = np.maximum(sample(self.image, points, order), 0)
        return values * np.clip(sample(self.mask, points, 1), 0, 1) if masked else values

    def canvas(self, geometry: Geometry, pose: np.ndarray, order: int = 1, masked: bool = True) -> np.ndarray:
        """The brain on the canvas, [X, Y, Z] float32; `pose` 4x4 takes canvas points to centred scan points."""
        to_scan = pose.copy()
        to_scan[:3, 3] += self.shift
        affine = to_scan @ geometry.affine(geometry.canvas)
        image = np.maximum(resample(self.image, affine, geometry.canvas, order).data, 0)
        return image * np.clip(resample(self.mask, affine, geometry.canvas, 1).data, 0, 1) if masked else image


def read_mask(scan: Scan, like: Volume, say: Say = warn) -> Volume | None:
    """The scan's brain mask on the scan's grid, 0 or 1; None when it has none. See `overlay.on_grid`.

    Raises DataError when it is empty or cannot be read.
    """
    return None if scan.mask is None else on_grid(scan.mask, like, say)


def prepare(image: Volume, mask: Volume, geometry: Geometry, whole_head: bool = False) -> Brain:
    """Normalise by the 99th percentile in the mask, bring fine scans to the codec's spacing, crop, find the centre.

    image and mask share a grid. Raises DataError for a mask that cannot be a brain (under 0.3 or over 3 litres).
    """
    litres = float(mask.data.sum() * abs(np.linalg.det(mask.affine[:3, :3])) / 1e6)
    if not 0.3 < litres < 3.0:
        raise DataError(f"the brain mask holds {litres:.2f} l; a brain has 0.3 to 3 l: wrong mask or wrong units")
    data = normalise(image.data, mask.data)
    image = Volume(data, image.affine)
    ratio = geometry.spacing / image.spacing
    if (ratio > 1.2).any():  # coarser grid along the same axes: registration and sampling then never alias
        scale = np.maximum(ratio, 1.0)
        shape = tuple(int(np.ceil(n / s)) for n, s in zip(data.shape, scale, strict=True))
        grow = np.diag([*scale, 1.0])
        grow[:3, 3] = (scale - 1) / 2
        image, mask = (resample(v, v.affine @ grow, shape, 1) for v in (image, mask))
    inside = np.argwhere(mask.data > 0.5)
    shift = mask.world(inside.mean(0)) - CENTROID
    if not whole_head:
        low, high = np.maximum(inside.min(0) - 4, 0), inside.max(0) + 5
        cut = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        affine = image.affine.copy()
        affine[:3, 3] = image.world(low)
        image, mask = Volume(image.data[cut], affine), Volume(mask.data[cut], affine)
    return Brain(image, mask, shift)


def split_pose(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Polar decomposition of an affine map: rigid pose 4x4 (nuisance), logm of the symmetric stretch 3x3 (state).

    matrix(x) = pose(S x), S about the world's origin (the anterior commissure).
    """
    left, singular, right = np.linalg.svd(matrix[:3, :3])
    rotation, log_stretch = left @ right, right.T @ np.diag(np.log(singular)) @ right
    if np.linalg.det(rotation) < 0 or singular.max() > 2 or singular.min() < 0.5:
        raise DataError("affine registration failed: the head would be mirrored or scaled by more than two")
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, matrix[:3, 3]
    return pose, log_stretch


def linear_velocity(log_stretch: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Velocities [B, 3, *grid] (mm) whose exponential is the stretch with matrix logarithms [B, 3, 3]."""
    nodes = geometry.points(geometry.grid, geometry.spacing * geometry.cell)
    return torch.einsum("bij,xyzj->bixyz", log_stretch.float(), nodes)


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """Largest connected part of a binary mask, holes filled."""
    labels, count = ndimage.label(mask)
    if count > 1:
        mask = labels == 1 + int(np.argmax(ndimage.sum_labels(mask, labels, range(1, count + 1))))
    return ndimage.binary_fill_holes(mask)
