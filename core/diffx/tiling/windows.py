"""Long signals and big volumes: one state, predicted window by window (MultiDiffusion, Bar-Tal et al. 2023).

At every step the windows' predictions are blended into one, so that neighbours agree on what they share and what they
sample has no seams. Windows sampled apart and put together afterwards do not agree: :func:`seam` tells the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor

from diffx.condition import Condition
from diffx.predict import Predict
from diffx.tiling.blend import Tile, tiled

__all__ = ["Local", "seam", "windowed"]

Local = Callable[[Condition | None, Tile], Condition | None]


def _joined(parts: Sequence[Condition | None]) -> Condition | None:
    """Conditions of one sample each, as one batch."""
    if all(part is None for part in parts):
        return None
    told = [Condition() if part is None else part for part in parts]
    columns = {f.name: [getattr(part, f.name) for part in told] for f in fields(Condition)}
    for name, column in columns.items():
        if len({value is None for value in column}) > 1:
            raise ValueError(f"the windows of one batch differ in what they are told: some have no {name}")
    return Condition(**{name: None if column[0] is None else torch.cat(column) for name, column in columns.items()})


def windowed(
    predict: Predict,
    window: int | Sequence[int],
    overlap: int | Sequence[int],
    batch: int | None = None,
    local: Local | None = None,
) -> Predict:
    """A prediction for states of any size from one for windows: x_0-hat = sum_k w_k predict(x on window k).

    The weights w_k are raised cosines that sum to one on every element (:mod:`diffx.tiling.blend`). Their average is
    the state nearest to the predictions of all windows in weighted least squares, which is what Bar-Tal et al. 2023
    minimise. It is exact where x_0-hat at an element depends on no more of its surroundings than every window over it
    shows.
    Guides that hold a condition of the batch's own (``cfg``) go around this one, not inside.

    Args:
        predict: for x [n, C, *W].
        window: size of a window along each spatial axis; one number for all alike. An axis shorter than that is
            taken whole, and where one window covers all the result is ``predict``'s own to the bit.
        overlap: elements that neighbours share; from a quarter to a half of the window is usual.
        batch: windows in one evaluation, which bounds the memory; None: as many as there are samples.
        local: what one window is told: the condition of its sample, cropped, and its tile -> condition of batch 1.

    Returns:
        x [B, C, *S], t (float or [B]), condition -> x_0-hat [B, C, *S]. ``vector`` and ``tokens`` are repeated for each
        window, ``spatial`` and ``estimate`` [B, C', *S] are cropped to it. ValueError where they have another size.
    """

    def whole(x: Tensor, t: float | np.ndarray, condition: Condition | None = None) -> Tensor:
        maps = {} if condition is None else {name: getattr(condition, name) for name in ("spatial", "estimate")}
        for name, given in maps.items():
            if given is not None and given.shape[2:] != x.shape[2:]:
                raise ValueError(f"a {name} condition of {list(given.shape[2:])} on a state of {list(x.shape[2:])}")
        times = np.asarray(t, dtype=np.float64)

        def told(tiles: Sequence[Tile]) -> Condition | None:
            if condition is None:
                return None
            index = torch.tensor([tile.sample for tile in tiles])
            repeated = replace(condition, spatial=None, estimate=None)[index]
            crops = {
                name: torch.stack([given[k][:, *region] for k, region in tiles])
                for name, given in maps.items()
                if given is not None
            }
            return replace(repeated, **crops)

        def evaluate(crops: Tensor, tiles: Sequence[Tile]) -> Tensor:
            now = t if times.ndim == 0 else times[[tile.sample for tile in tiles]]
            if local is None:
                return predict(crops, now, told(tiles))
            return predict(crops, now, _joined([local(told([tile]), tile) for tile in tiles]))

        return tiled(evaluate, x, window, overlap, batch=batch or len(x))

    return whole


def seam(x: Tensor, positions: Sequence[int], axis: int = -1, order: int = 1, reference: Tensor | None = None) -> float:
    """How much rougher a signal is where windows meet: 1 means no seam, 4 jumps twice as large as elsewhere.

    Mean square of the ``order``-th difference across the positions, divided by its mean square everywhere else.

    Args:
        x: any shape.
        positions: a seam p lies between elements p - 1 and p (:func:`diffx.tiling.blend.edges` lists those of windows).
        axis: along which the positions count.
        order: 1 for jumps, 2 for kinks as well: slow trends drop out.
        reference: a signal without seams, of x's size along the axis, whose own ratio divides x's: for data that
            are rougher at some places than at others (the border of a head, the start of a sound).

    Returns:
        from 0 on; inf where all roughness is at the seams, 1 for a constant.

    Raises:
        ValueError: a position outside, too few elements, or no element away from the seams.
    """
    size = x.shape[axis]
    if order < 1 or size <= order or not positions or not all(0 < p < size for p in positions):
        raise ValueError(f"seams of order {order} at {list(positions)} do not lie inside of {size} elements")
    rough = torch.diff(x.detach().double(), n=order, dim=axis).square().movedim(axis, 0)
    rough = rough.reshape(len(rough), -1).mean(1)
    # the difference number j spans the elements j to j + order
    across = torch.zeros(len(rough), dtype=torch.bool, device=x.device)
    for p in positions:
        across[max(p - order, 0) : p] = True
    if bool(across.all()):
        raise ValueError("no element is away from the seams")
    at, elsewhere = float(rough[across].mean()), float(rough[~across].mean())
    ratio = at / elsewhere if elsewhere > 0 else (math.inf if at > 0 else 1.0)
    if reference is None:
        return ratio
    if reference.shape[axis] != size:
        raise ValueError(f"a reference of {reference.shape[axis]} elements for {size}")
    usual = seam(reference, positions, axis, order)
    return ratio / usual if usual > 0 else (math.inf if ratio > 0 else 1.0)
