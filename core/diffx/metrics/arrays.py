"""What the metrics share: features in float64 and distances in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Array = Tensor | np.ndarray


@dataclass(frozen=True)
class Estimate:
    """A figure and its standard error."""

    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.4g} ± {self.error:.2g}"


def tensor(x: Array) -> Tensor:
    """An array as a float64 tensor, where it is. ValueError for NaN or infinity."""
    out = torch.as_tensor(x).detach().to(torch.float64)
    if not bool(out.isfinite().all()):
        raise ValueError("a metric of NaN or infinite values says nothing")
    return out


def features(x: Array, name: str, least: int = 2) -> Tensor:
    """Features [n, d] (or one number each, [n]) as float64 [n, d]; ValueError for another shape or fewer rows."""
    out = tensor(x)
    out = out[:, None] if out.ndim == 1 else out
    if out.ndim != 2 or out.shape[0] < least or out.shape[1] < 1:
        raise ValueError(f"{name}: features are [n, d] with n of at least {least}, not {list(out.shape)}")
    return out


def pair(x: Array, y: Array, names: tuple[str, str] = ("real", "fake"), least: int = 2) -> tuple[Tensor, Tensor]:
    """Two sets of :func:`features` of one dimension, on the first one's device."""
    a, b = features(x, names[0], least), features(y, names[1], least)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"{names[0]} has features of dimension {a.shape[1]}, {names[1]} of {b.shape[1]}")
    return a, b.to(a.device)


def squared_distances(a: Tensor, b: Tensor, chunk: int = 1024) -> Iterator[tuple[slice, Tensor]]:
    """|a_i - b_j|^2 [rows, m] for slices of at most ``chunk`` rows of a [n, d] against all of b [m, d].

    By matrix products. What is not more than rounding is 0, so that equal rows are at distance 0.
    """
    centre = b.mean(0).round()  # takes a large offset out of the squares, and leaves whole numbers whole
    a, b = a - centre, b - centre
    norm_b = b.square().sum(1)
    for first in range(0, len(a), chunk):
        part = a[first : first + chunk]
        scale = part.square().sum(1, keepdim=True) + norm_b
        squares = torch.addmm(scale, part, b.T, alpha=-2)
        yield slice(first, first + len(part)), squares.masked_fill_(squares <= 1e-13 * scale, 0.0)


def nearest(a: Tensor, b: Tensor, k: int, chunk: int = 1024) -> tuple[Tensor, Tensor]:
    """Distances [n, k], rising, and row numbers [n, k] of the k rows of b nearest to each row of a."""
    parts = [squares.topk(k, dim=1, largest=False).indices for _, squares in squared_distances(a, b, chunk)]
    index = torch.cat(parts)
    # once more without the rounding of products, which hides how near a near copy is
    distance, order = torch.stack([(a - b[column]).norm(dim=1) for column in index.T], dim=1).sort(dim=1)
    return distance, index.gather(1, order)
