"""The grid of axial slices that the network sees, and the way there and back from a scan of any voxel size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..volume import Volume

_FWHM = 2.355  # of a Gaussian, in standard deviations


@dataclass(frozen=True)
class SliceGrid:
    """Square slices of ``size`` pixels of ``spacing`` mm about the middle of the scan, one for each slice of the scan.

    The scan is a :class:`Volume`: its axes are the ones nearest to right, anterior and superior, and slices follow
    them, so nothing is rotated. ``gap``: how far, in mm, the neighbours shown beside a slice are; adjacent slices of a
    scan that is thicker than that.
    """

    size: int = 128
    spacing: float = 2.0
    gap: float = 6.0

    def slices(self, scan: Volume) -> np.ndarray:
        """[Z, size, size] float32, 0 outside the field of view; the scan itself where the grids agree."""
        shape = (self.size, self.size, scan.data.shape[2])
        return np.moveaxis(_scaled(scan.data, self._ratio(scan), shape), 2, 0)

    def back(self, slices: np.ndarray, scan: Volume) -> np.ndarray:
        """Slices [Z, size, size] on the scan's own grid [X, Y, Z], 0 where the grid does not reach."""
        return _scaled(np.moveaxis(slices, 0, 2), 1 / self._ratio(scan), scan.data.shape)

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
        return np.array([self.spacing, self.spacing, scan.spacing[2]]) / scan.spacing


def heights(mask: np.ndarray) -> np.ndarray:
    """Where each slice lies between the lowest (0) and the highest (1) of a head [Z, X, Y]; clipped beyond."""
    filled = np.flatnonzero(mask.any((1, 2)))
    low, high = (filled[0], filled[-1]) if filled.size else (0, len(mask) - 1)
    return np.clip((np.arange(len(mask)) - low) / max(high - low, 1), 0.0, 1.0)


def _scaled(data: np.ndarray, ratio: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Trilinear values on a grid about the same middle whose voxels are ``ratio`` as large; smoothed where coarser."""
    if np.allclose(ratio, 1) and data.shape == shape:
        return np.asarray(data, np.float32)
    blur = np.sqrt(np.maximum(ratio**2 - 1, 0)) / _FWHM
    if (blur > 0.1).any():
        data = ndimage.gaussian_filter(np.asarray(data, np.float32), blur)
    start = (np.array(data.shape) - 1) / 2 - ratio * (np.array(shape) - 1) / 2
    return ndimage.affine_transform(data, ratio, start, output_shape=shape, order=1, output=np.float32)
