"""A mask on the grid of a scan, and what to say where the two headers do not agree."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from diffx.errors import DataError

from .bids import Name
from .volume import Source, Volume, apart, load, opened, resample

Say = Callable[[str], None]


def warn(text: str) -> None:
    """Say it as a Python warning, to whoever called."""
    warnings.warn(text, stacklevel=4)


def on_grid(source: Source, like: Volume, say: Say = warn, empty: bool = False) -> Volume:
    """A mask as 0 and 1 on the grid of a scan, nearest neighbour by world coordinates where grids differ.

    What is over 0.5 counts; of a file `*_dseg.nii*`, every label. A mask that has the scan's voxels but lies where the
    scan's qform says, not its sform, was drawn on this scan by a tool that goes by the qform: it is taken voxel by
    voxel, and that is told to `say`. So is a mask of as many and as large voxels that lies elsewhere, and stays there.
    Raises DataError, naming the file, when it is unreadable, or empty there and not allowed to be `empty`.
    """
    stored, (_, name) = load(source, constant=empty), opened(source)
    above = 0 if Name.parse(name).suffix == "dseg" else 0.5
    binary = Volume((stored.data > above).astype(np.float32), stored.affine)
    mask = settled(binary, like, name, say)
    if not (mask.data.shape == like.data.shape and np.allclose(mask.affine, like.affine, atol=1e-3)):
        mask = resample(mask, like.affine, like.data.shape, 0)
    if not empty and not mask.data.any():
        raise DataError(f"{name}: the mask is empty on the scan's grid")
    return mask


def settled(mask: Volume, like: Volume, name: str, say: Say = warn) -> Volume:
    """A mask, or labels, where it belongs: with the scan's affine where its own is the scan's qform, else as it is.

    `say` is told where the two have the same voxels and lie half a voxel or more apart.
    """
    shape, tolerance = like.data.shape, float(like.spacing.min()) / 2
    if mask.data.shape != shape or not np.allclose(mask.spacing, like.spacing, rtol=0.01):
        return mask
    away = apart(mask.affine, like.affine, shape)
    if away <= tolerance:
        return mask
    if like.qform is not None and apart(mask.affine, like.qform, shape) < tolerance:
        say(
            f"{name}: it has the scan's voxels but lies {away:.1f} mm off: its affine is the scan's qform, and the "
            "scan's sform differs. It is taken voxel by voxel; make the scan's two forms agree"
        )
        return Volume(mask.data, like.affine)
    say(
        f"{name}: it has as many voxels as the scan but by its header lies {away:.1f} mm off, and is taken to lie "
        "there; if it was drawn on this scan, give it the scan's affine"
    )
    return mask
