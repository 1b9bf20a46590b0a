"""The grid of axial slices that networks see, the way there and back from a scan of any voxel size, and its head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .volume import Volume

_FWHM = 2.355  # of a Gaussian, in standard deviations
_AIR = 0.1  # of the 99th percentile


@dataclass(frozen=True)
class SliceGrid:
    """Square slices of ``size`` pixels of ``spacing`` mm about the middle of the scan, one for each slice of the scan.

    The scan is a :class:`Volume`: its axes are the ones nearest to right, anterior and superior, and slices follow
    them, so nothing is rotated. ``gap``: how far, in mm, the neighbours shown beside a slice are; adjacent slices of a
    scan that is thicker than that. ``thinnest``: thinner slices than this, in mm, are averaged to it.
    """

    size: int = 128
    spacing: float = 2.0
    gap: float = 6.0
    thinnest: float = 0.0

    def slices(self, scan: Volume) -> np.ndarray:
        """[Z, size, size] float32, 0 outside the field of view; the scan itself where the grids agree."""
        ratio = self._ratio(scan)
        shape = (self.size, self.size, int(np.ceil(scan.data.shape[2] / ratio[2] - 1e-6)))
        return np.moveaxis(_scaled(scan.data, ratio, shape), 2, 0)

    def back(self, slices: np.ndarray, scan: Volume, order: int = 1) -> np.ndarray:
        """Slices [Z, size, size] on the scan's own grid [X, Y, Z], 0 where the grid does not reach.

        order: 1 linear, 0 nearest neighbour.
        """
        return _scaled(np.moveaxis(slices, 0, 2), 1 / self._ratio(scan), scan.data.shape, order)

    def thickness(self, scan: Volume) -> float:
        """From slice to slice, in mm."""
        return float(max(scan.spacing[2], self.thinnest))

    def neighbours(self, slices: np.ndarray, thickness: float) -> np.ndarray:
        """[Z, 3, size, size]: below, the slice, above; NaN beyond the ends. thickness: mm from slice to slice."""
        away = max(1.0, self.gap / thickness)
        last = len(slices) - 1
        out = np.full((len(slices), 3, *slices.shape[1:]), np.nan, np.float32)
        out[:, 1] = slices
        for channel, side in ((0, -away), (2, away)):
            for k in range(len(slices)):
                at = k + side
                if 0 <= at <= last:
                    low, part = int(at), at - int(at)
                    out[k, channel] = slices[low] if not part else (1 - part) * slices[low] + part * slices[low + 1]
        return out

    def _ratio(self, scan: Volume) -> np.ndarray:
        return np.array([self.spacing, self.spacing, self.thickness(scan)]) / scan.spacing


def heights(mask: np.ndarray) -> np.ndarray:
    """Where each slice lies between the lowest (0) and the highest (1) of a head [Z, X, Y]; clipped beyond."""
    filled = np.flatnonzero(mask.any((1, 2)))
    low, high = (filled[0], filled[-1]) if filled.size else (0, len(mask) - 1)
    return np.clip((np.arange(len(mask)) - low) / max(high - low, 1), 0.0, 1.0)


def head_mask(slices: np.ndarray) -> np.ndarray:
    """Head against air, bool [Z, X, Y], of axial slices [Z, X, Y] of any intensity: largest part, holes filled."""
    inside = slices > _AIR * np.percentile(slices, 99)
    inside = ndimage.binary_opening(inside, np.ones((1, 3, 3)))
    parts, count = ndimage.label(inside)
    if count > 1:
        inside = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
    inside = ndimage.binary_closing(inside, np.ones((1, 7, 7)))
    return np.stack([ndimage.binary_fill_holes(one) for one in inside])


def _scaled(data: np.ndarray, ratio: np.ndarray, shape: tuple[int, ...], order: int = 1) -> np.ndarray:
    """Values on a grid about the same middle whose voxels are ``ratio`` as large; smoothed where coarser."""
    if np.allclose(ratio, 1) and data.shape == shape:
        return np.asarray(data, np.float32)
    blur = np.sqrt(np.maximum(ratio**2 - 1, 0)) / _FWHM
    if (blur > 0.1).any():
        data = ndimage.gaussian_filter(np.asarray(data, np.float32), blur)
    start = (np.array(data.shape) - 1) / 2 - ratio * (np.array(shape) - 1) / 2
    return ndimage.affine_transform(data, ratio, start, output_shape=shape, order=order, output=np.float32)
