"""Head and brain in axial slices, by intensity and shape alone: quick, for any contrast in which the skull is dark."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

_CROSS = ndimage.generate_binary_structure(2, 1)
_WIDE = 0.6  # of the largest slice: those that count are as large as this
_CROWN, _REACH = 15.0, 100.0  # mm below the highest slice between which there is brain, and no face
_ROUND = 0.066  # area over the edge squared, in pixels; 0.1 is a disc, and what is below is skull base or face
_SHELLS = 9  # pixels below the surface that a profile covers
_FALL = 0.1  # fall of the profile, in units of the brain, from which there is scalp over skull


def largest(mask: np.ndarray) -> np.ndarray:
    """The largest connected part of a mask of any dimension."""
    parts, count = ndimage.label(mask)
    return mask if count < 2 else parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])


def depth_of(mask: np.ndarray) -> np.ndarray:
    """Distance to the nearest pixel outside a mask [Z, X, Y], in pixels, slice by slice; its border is outside."""
    return np.stack([ndimage.distance_transform_edt(np.pad(one, 1))[1:-1, 1:-1] for one in mask])


def brain_level(slices: np.ndarray, depth: np.ndarray, inset: int, thickness: float) -> float:
    """Median intensity of what lies ``inset`` pixels or more inside the head, at the level of the brain.

    That is brain, most of it, with the skull on or off; nan where nothing lies so deep. thickness: mm.
    """
    deep = (depth > inset) & _wide(depth, thickness)
    return float(np.median(slices[deep])) if deep.any() else float("nan")


def looks_stripped(slices: np.ndarray, depth: np.ndarray, thickness: float) -> bool:
    """Whether a head [Z, X, Y] in units of the brain's median is a brain without skull.

    A profile from the surface inwards falls from the scalp to the skull where there are any; in a brain alone it rises.
    """
    wide = _wide(depth, thickness)
    shells = [slices[wide & (depth > d) & (depth <= d + 1)] for d in range(_SHELLS)]
    profile = np.array([np.median(shell) if shell.size else 0.0 for shell in shells])
    return bool((np.maximum.accumulate(profile) - profile).max() < _FALL)


def rough_brain(slices: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Brain within a head with its skull, bool [Z, X, Y]; slices are in units of the brain's median.

    What is neither dark nor as bright as fat, opened, its largest part, closed and filled. Fair above the orbits, poor
    in the face and at the crown: :func:`compact` tells.
    """
    tissue = (slices > 0.45) & (slices < 2.2) & (depth > 4)
    tissue = np.stack([ndimage.binary_opening(one, _CROSS, iterations=2) for one in tissue])
    kernel = largest(np.stack([ndimage.binary_erosion(one, iterations=2) for one in tissue]))
    return np.stack([_rounded(one) for one in kernel]) & (depth > 3)


def compact(mask: np.ndarray) -> bool:
    """Whether a slice [X, Y] of a brain mask is large and round enough to be one."""
    area = int(mask.sum())
    if area < 300:
        return False
    edge = int((mask & ~ndimage.binary_erosion(mask)).sum())
    closed = ndimage.binary_closing(np.pad(mask, 14), iterations=12)
    return area > _ROUND * edge**2 and area > 0.9 * int(closed.sum())


def _wide(depth: np.ndarray, thickness: float) -> np.ndarray:
    """bool [Z, 1, 1]: the wide slices at the level of the brain; all wide ones where none lies there."""
    area = (depth > 0).sum((1, 2))
    wide = area > _WIDE * area.max()
    below = (np.flatnonzero(area).max() - np.arange(len(area))) * thickness if area.any() else np.zeros(len(area))
    there = wide & (below >= _CROWN) & (below <= _REACH)
    return (there if there.any() else wide)[:, None, None]


def _rounded(kernel: np.ndarray) -> np.ndarray:
    grown = np.pad(ndimage.binary_dilation(kernel, iterations=3), 8)
    return ndimage.binary_fill_holes(ndimage.binary_closing(grown, iterations=5)[8:-8, 8:-8])
