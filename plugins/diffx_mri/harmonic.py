"""The smoothest filling: Laplace's equation inside a mask, the values around it as they are."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import cg


def harmonic(data: np.ndarray, mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """`data` [X, Y, Z] with u inside `mask` where div grad u = 0 and u = data around it; float64.

    Six-neighbour differences over the squared spacing (mm, [3]); no flow through the edge of the volume. What stood in
    the mask has no influence. Raises ValueError when nothing is left around the mask.
    """
    mask = np.asarray(mask, dtype=bool)
    out = np.array(data, dtype=np.float64)
    if not mask.any():
        return out
    if mask.all():
        raise ValueError("the mask leaves no voxel to fill from")
    low = np.maximum(np.argwhere(mask).min(0) - 1, 0)
    cut = tuple(slice(a, b) for a, b in zip(low, np.argwhere(mask).max(0) + 2, strict=True))
    inside, known = mask[cut], np.where(mask, 0.0, out)[cut]
    number = np.full(inside.shape, -1)
    count = int(inside.sum())
    number[inside] = np.arange(count)
    diagonal, right = np.zeros(count), np.zeros(count)
    rows, columns, values = [], [], []
    for axis in range(3):
        strength = float(np.min(spacing) / spacing[axis]) ** 2
        near = [slice(None)] * 3
        far = [slice(None)] * 3
        near[axis], far[axis] = slice(None, -1), slice(1, None)
        for here, there in ((tuple(near), tuple(far)), (tuple(far), tuple(near))):
            own = inside[here]
            i, j = number[here][own], number[there][own]
            np.add.at(diagonal, i, strength)
            free = j >= 0
            np.add.at(right, i[~free], strength * known[there][own][~free])
            rows.append(i[free])
            columns.append(j[free])
            values.append(np.full(int(free.sum()), -strength))
    pairs = (np.concatenate(rows), np.concatenate(columns))
    matrix = coo_matrix((np.concatenate(values), pairs), shape=(count, count)).tocsr() + diags(diagonal)
    start = out[cut][~inside].mean()
    solution, _ = cg(matrix, right, x0=np.full(count, start), rtol=1e-8, maxiter=4000, M=diags(1 / diagonal))
    out[mask] = solution  # C order in both
    return out


def depth(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Distance (mm) of each voxel inside a mask to the nearest one outside, 0 outside."""
    return ndimage.distance_transform_edt(mask, sampling=spacing)
