"""Precision and recall, density and coverage: sets compared by balls around their samples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from diffx.metrics.arrays import Array, pair, squared_distances


@dataclass(frozen=True)
class PRDC:
    """Shares from 0 to 1, but density, which is 1 for equal distributions and may be more.

    ``precision``: of fake samples inside the real set's balls. ``recall``: of real samples inside the fake set's.
    ``density``: how many real balls a fake sample lies in, by how many it would. ``coverage``: of real balls with a
    fake sample inside.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def _radii(x: Tensor, k: int, chunk: int) -> Tensor:
    """Squared distance of each row to its k-th nearest other row, [n]."""
    parts = []
    for rows, squares in squared_distances(x, x, chunk):
        squares.diagonal(rows.start).fill_(math.inf)
        parts.append(squares.kthvalue(k, dim=1).values)
    return torch.cat(parts)


def prdc(real: Array, fake: Array, k: int = 5, chunk: int = 1024) -> PRDC:
    """Precision and recall (Kynkaanniemi et al. 2019, eq. 1-2), density and coverage (Naeem et al. 2020, eq. 4-5).

    The ball of a sample reaches to its k-th nearest neighbour in its own set, border included, so that discrete data
    count as well. Exact; memory is that of ``chunk`` rows of distances.

    Args:
        real, fake: features [n, d] and [m, d] of more than k samples each.
        k: 5 for density and coverage (Naeem et al.); 3 is usual for precision and recall.

    What to compare with: precision, recall and coverage stay below 1 for equal distributions
    (:func:`expected_coverage`, :func:`~diffx.metrics.real_vs_real`).
    """
    if k < 1:
        raise ValueError(f"k is at least 1, not {k}")
    x, y = pair(real, fake, least=k + 1)
    radii_x, radii_y = _radii(x, k, chunk), _radii(y, k, chunk)
    balls = torch.zeros(len(y), dtype=torch.float64, device=x.device)  # real balls around each fake sample
    recalled = covered = 0.0
    for rows, squares in squared_distances(x, y, chunk):
        inside = squares <= radii_x[rows, None]
        balls += inside.sum(0)
        covered += float(inside.any(1).sum())
        recalled += float((squares <= radii_y).any(1).sum())
    return PRDC(
        precision=float((balls > 0).double().mean()),
        recall=recalled / len(x),
        density=float(balls.mean()) / k,
        coverage=covered / len(x),
    )


def expected_coverage(n_real: int, n_fake: int, k: int = 5) -> float:
    """Coverage of equal distributions, 1 - prod_{i=1..k} (n - i) / (n + m - i) (Naeem et al. 2020, lemma 2)."""
    return 1 - math.prod((n_real - i) / (n_real + n_fake - i) for i in range(1, k + 1))
