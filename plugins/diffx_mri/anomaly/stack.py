"""A scan as the slices that the network sees, and the way back to its voxels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from diffx.errors import DataError

from ..slices import SliceGrid, head_mask
from ..volume import Volume
from .strip import brain_level, depth_of, looks_stripped

GRIDS = {"FLAIR": SliceGrid(thinnest=3.0), "T1w": SliceGrid(thinnest=2.0)}
BRIGHTEST = 3.98  # of normalised slices, what 255 steps of 1/64 reach
_INSET = 10  # pixels of 2 mm between the surface of a head and what is brain for sure


@dataclass(frozen=True)
class Stack:
    """Axial slices [Z, 128, 128] of a scan, 2 mm in plane; intensity 1 is the median inside the brain, air is 0.

    Args:
        slices: float32, 0 to ``BRIGHTEST``.
        region: bool [Z, 128, 128], where anomalies are looked for: the brain where it is known, else the head.
        thickness: mm from slice to slice.
        stripped: whether the skull is off, or was taken off with a mask.
        scale: intensity of the scan that became 1.
        grid: of the slices.
        frame: the scan.
    """

    slices: np.ndarray
    region: np.ndarray
    thickness: float
    stripped: bool
    scale: float
    grid: SliceGrid
    frame: Volume

    @classmethod
    def of(cls, image: Volume, mask: Volume | None, contrast: str = "FLAIR") -> Stack:
        """Slices of a scan of any orientation, voxel size and scale of intensity.

        Args:
            image: the scan, in RAS order.
            mask: of the brain, on the same voxels; what lies outside is taken away. None: the scan as it is, with its
                skull or without.
            contrast: "FLAIR" or "T1w"; thin slices are averaged to what networks of that contrast saw.

        Raises:
            DataError: no head, or no brain, in the image.
        """
        grid = GRIDS[contrast]
        slices = np.maximum(grid.slices(image), 0)
        if mask is not None:
            slices = slices * (grid.slices(mask) > 0.5)
        if not slices.any():
            raise DataError("the image is empty" if mask is None else "nothing is left of the image inside the mask")
        region = head_mask(slices) if mask is None else slices > 0
        depth, thickness = depth_of(region), grid.thickness(image)
        scale = brain_level(slices, depth, _INSET, thickness)
        if not scale > 0:
            scale = brain_level(slices, depth, 2, thickness)
        if not scale > 0:
            raise DataError("no head found: the image is empty, or not positive where it is brightest")
        stripped = mask is not None or looks_stripped(slices / scale, depth, thickness)
        normalised = np.clip(slices / scale, 0, BRIGHTEST).astype(np.float32)
        return cls(normalised, region, thickness, stripped, scale, grid, image)

    @property
    def neighbours(self) -> np.ndarray:
        """[Z, 3, 128, 128]: below, the slice, above, ``grid.gap`` mm away or adjacent; NaN beyond the ends."""
        return self.grid.neighbours(self.slices, self.thickness)

    @property
    def filled(self) -> list[int]:
        """The slices that show some of the region."""
        return [k for k in range(len(self.region)) if self.region[k].any()]

    def restore(self, values: np.ndarray, order: int = 1) -> np.ndarray:
        """Values [Z, 128, 128] on the scan's own voxels [X, Y, Z], float32; 0 where the slices do not reach.

        order: 1 linear, 0 nearest neighbour, for masks.
        """
        return self.grid.back(np.asarray(values, np.float32), self.frame, order)

    def with_slices(self, slices: np.ndarray) -> Stack:
        """The same place with other slices [Z, 128, 128]."""
        return replace(self, slices=slices)
