"""How images of brains are kept and compared: in one piece on a silent background, as bytes."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

STEP = 1 / 170  # so that 255 is 1.5; 1.0 is the 99th percentile of a brain
_EDGE = 0.14
_FLUID, _DEPTH = 0.25, 2  # of ventricles in scans, the 5th percentile; voxels from the edge
SILENT = 0.06  # below is background, as it is where the codec decodes


def to_bytes(data: np.ndarray) -> np.ndarray:
    """Intensities (1.0: the 99th percentile of a brain) as they are kept and compared: silent background, uint8."""
    return np.where(data > SILENT, np.clip(np.rint(data / STEP), 0, 255), 0).astype(np.uint8)


def one_piece(data: np.ndarray) -> np.ndarray:
    """The volume with nothing but its largest connected part: specks beside a brain are made of noise."""
    parts, _ = ndimage.label(data > 0)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.where(parts == sizes.argmax(), data, 0) if sizes.any() else data


def within_edge(data: np.ndarray, width: float = 1) -> np.ndarray:
    """The volume inside a smooth edge, 0 outside: where its blur by `width` voxels exceeds 0.14, in one piece.

    On posed scans this is the edge of their masks (Dice 0.99, and the same volume); on what is drawn voxel by voxel it
    leaves out grains at the rim.
    """
    inside = one_piece(ndimage.gaussian_filter(data, width) > _EDGE)
    return np.where(inside, np.maximum(data, 0), 0)


def with_fluid(data: np.ndarray) -> np.ndarray:
    """The volume with nothing darker than fluid, 0.25, deeper than 2 voxels in the brain.

    A trend that is told of ventricles larger than it has seen goes on to below 0, which is no fluid but a hole.
    """
    deep = ndimage.binary_erosion(ndimage.binary_fill_holes(data > 0), iterations=_DEPTH)
    return np.where(deep, np.maximum(data, _FLUID), data).astype(data.dtype)
