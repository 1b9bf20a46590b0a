"""Overlapped windows: where they lie, how much each counts where, and the loop that applies a function to all of them.

The weights of the windows that cover an element sum to one. A window counts least near its own edges, where the
function has seen least of what lies around.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Tile", "edges", "partition", "ramp", "sliding", "tiled", "windows_of"]


class Tile(NamedTuple):
    """One window of one sample: the number of the sample in its batch, and a slice for each spatial axis."""

    sample: int
    region: tuple[slice, ...]


def windows_of(size: int, window: int, stride: int) -> list[int]:
    """Starts of the windows that cover ``size`` elements; the last one is moved back to end flush.

    One window, at 0, where ``size`` is not larger than ``window``. ValueError unless 1 <= stride <= window.
    """
    if size < 1 or not 1 <= stride <= window:
        raise ValueError(f"windows need size >= 1 and 1 <= stride <= window, not {size}, {stride} and {window}")
    last = max(size - window, 0)
    return [*range(0, last, stride), last]


def ramp(window: int, overlap: int) -> Tensor:
    """Raised-cosine weights of one window, float64 [window]: sin^2 over ``overlap`` elements at each end, else 1.

    Two windows that share ``overlap`` elements have weights of sum one there, since sin^2 + cos^2 = 1.
    """
    if not 0 <= overlap < window:
        raise ValueError(f"an overlap is from 0 to less than the window of {window}, not {overlap}")
    rise = torch.ones(window, dtype=torch.float64)
    # centres of elements, so that no weight is zero and an element that one window alone covers is never lost
    rise[:overlap] = (math.pi / 2 * (torch.arange(overlap, dtype=torch.float64) + 0.5) / max(overlap, 1)).sin() ** 2
    return rise * rise.flip(0)


@lru_cache(maxsize=256)
def partition(size: int, window: int, overlap: int) -> tuple[tuple[int, ...], Tensor]:
    """Starts and weights [n, window] of windows along one axis; the weights on each element sum to one (float64).

    The window is cut to ``size`` where that is smaller. The weights are shared between calls: do not write on them.
    """
    weight = ramp(window, overlap)
    if size <= window:
        return (0,), torch.ones(1, size, dtype=torch.float64)
    starts = windows_of(size, window, window - overlap)
    total = torch.zeros(size, dtype=torch.float64)
    for start in starts:
        total[start : start + window] += weight
    return tuple(starts), torch.stack([weight / total[start : start + window] for start in starts])


def edges(size: int, window: int, overlap: int) -> list[int]:
    """Where a window begins or ends inside of ``size`` elements: the places to look for a seam.

    An edge p lies between elements p - 1 and p.
    """
    starts, weights = partition(size, window, overlap)
    return sorted({p for start in starts for p in (start, start + weights.shape[1])} - {0, size})


def _each(value: int | Sequence[int], axes: int, name: str) -> tuple[int, ...]:
    values = (value,) * axes if isinstance(value, int) else tuple(int(v) for v in value)
    if len(values) != axes:
        raise ValueError(f"{name} has {len(values)} numbers for {axes} spatial axes")
    return values


class _Span(NamedTuple):
    """A window along one axis: its place in the input and in the result, and its weights there."""

    source: slice
    place: slice
    weight: Tensor


def _spans(size: int, window: int, overlap: int, scale: Fraction) -> list[_Span]:
    starts, _ = partition(size, window, overlap)
    length = min(window, size)
    scaled = [v * scale for v in (size, window, overlap, *starts)]
    if any(v.denominator != 1 for v in scaled):
        raise ValueError(f"windows of {window} every {window - overlap} of {size} are not whole elements times {scale}")
    # blended at the resolution of the result: the windows there are these ones, scaled
    places, weights = partition(*(int(v) for v in scaled[:3]))
    return [
        _Span(slice(start, start + length), slice(place, place + len(weight)), weight)
        for start, place, weight in zip(starts, places, weights, strict=True)
    ]


def tiled(
    f: Callable[[Tensor, Sequence[Tile]], Tensor],
    x: Tensor,
    window: int | Sequence[int],
    overlap: int | Sequence[int],
    scale: float | Fraction = 1,
    batch: int = 1,
) -> Tensor:
    """:func:`sliding` for a function that also asks which windows it is given: ``f(crops [n, C, *W], tiles)``."""
    factor, axes = Fraction(scale), x.ndim - 2
    if axes < 1 or not x.numel():
        raise ValueError(f"windows slide over [B, C, *S] with at least one element, not {list(x.shape)}")
    if batch < 1 or factor <= 0:
        raise ValueError(f"batch and scale are positive, not {batch} and {scale}")
    settings = zip(x.shape[2:], _each(window, axes, "window"), _each(overlap, axes, "overlap"), strict=True)
    corners = list(itertools.product(*(_spans(*setting, factor) for setting in settings)))
    jobs = [(sample, corner) for sample in range(len(x)) for corner in corners]
    out: Tensor | None = None
    for first in range(0, len(jobs), batch):
        chunk = jobs[first : first + batch]
        tiles = [Tile(sample, tuple(span.source for span in corner)) for sample, corner in chunk]
        pieces = f(torch.stack([x[tile.sample][:, *tile.region] for tile in tiles]), tiles)
        wanted = [len(span.weight) for span in corners[0]]
        if len(pieces) != len(chunk) or list(pieces.shape[2:]) != wanted:
            raise ValueError(f"{len(chunk)} windows gave {list(pieces.shape)}, not [{len(chunk)}, C, *{wanted}]")
        if out is None:
            dtype = torch.promote_types(pieces.dtype, torch.float32)
            sizes = [int(size * factor) for size in x.shape[2:]]
            out = torch.zeros(len(x), pieces.shape[1], *sizes, dtype=dtype, device=pieces.device)
        for (sample, corner), piece in zip(chunk, pieces, strict=True):
            blended = piece.to(out.dtype)
            for axis, span in enumerate(corner, 1):
                blended = blended * span.weight.to(blended).view(-1, *(1,) * (axes - axis))
            out[sample][:, *(span.place for span in corner)] += blended
    assert out is not None  # there is one window at least
    return out


def sliding(
    f: Callable[[Tensor], Tensor],
    x: Tensor,
    window: int | Sequence[int],
    overlap: int | Sequence[int],
    scale: float | Fraction = 1,
    batch: int = 1,
) -> Tensor:
    """Apply a function to overlapped windows and blend what it gives.

    Memory, beyond the input and the result, is that of ``batch`` windows whatever the size.

    Args:
        f: crops [n, C, *W] -> [n, C', *W scale].
        x: [B, C, *S], any number of spatial axes.
        window: size of a window along each axis, in elements of x; one number for all axes alike. An axis shorter than
            its window is taken whole.
        overlap: elements that neighbouring windows share, from 0 (hard cuts) to less than the window.
        scale: elements of the result for one of x along each axis: 8 for a decoder, 1/8 for an encoder. Sizes,
            windows and overlaps times this are whole.
        batch: crops in one call of f.

    Returns:
        [B, C', *S scale] on the device of f's result, accumulated in fp32 (float64 where f gives that).

    Raises:
        ValueError: an overlap out of range, windows of the wrong number, fractions of elements, or an f that gives
            another size than ``scale`` says.
    """
    return tiled(lambda crops, _: f(crops), x, window, overlap, scale, batch)
