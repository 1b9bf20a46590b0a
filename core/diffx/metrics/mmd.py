"""Maximum mean discrepancy, with the standard error of the same sums."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from diffx.metrics.arrays import Array, Estimate, pair, squared_distances

Kernel = Callable[[Tensor, Tensor], Tensor]


def rbf(bandwidth: float) -> Kernel:
    """k(x, y) = exp(-|x - y|^2 / (2 bandwidth^2)) for x [n, d], y [m, d] -> [n, m]."""
    if not bandwidth > 0:
        raise ValueError(f"a bandwidth is positive, not {bandwidth}")

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        ((_, squares),) = squared_distances(x, y, chunk=len(x))
        return squares.div_(-2 * bandwidth**2).exp_()

    return kernel


def polynomial(degree: int = 3, gamma: float | None = None, coef: float = 1.0) -> Kernel:
    """k(x, y) = (gamma x.y + coef)^degree; gamma is 1/d by default, which makes it KID's (Binkowski et al. 2018)."""

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T * (1 / x.shape[1] if gamma is None else gamma) + coef) ** degree

    return kernel


def median_distance(x: Array, y: Array, most: int = 1000) -> float:
    """Median distance between different rows of the pooled sets: the usual bandwidth (Gretton et al. 2012, section 8).

    Of at most ``most`` rows of each set, evenly spaced.
    """
    a, b = pair(x, y)
    pool = torch.cat([rows[torch.linspace(0, len(rows) - 1, min(most, len(rows))).round().long()] for rows in (a, b)])
    ((_, squares),) = squared_distances(pool, pool, chunk=len(pool))
    above = torch.triu_indices(len(pool), len(pool), offset=1)
    return float(squares[above[0], above[1]].median().sqrt())


def _sums(x: Tensor, y: Tensor, kernel: Kernel, chunk: int) -> tuple[Tensor, Tensor]:
    """sum_j k(x_i, y_j) [n] and sum_i k(x_i, y_j) [m]."""
    rows, columns = [], torch.zeros(len(y), dtype=x.dtype, device=x.device)
    for part in x.split(chunk):
        gram = kernel(part, y)
        rows.append(gram.sum(1))
        columns += gram.sum(0)
    return torch.cat(rows), columns


def _own(x: Tensor, kernel: Kernel, chunk: int, unbiased: bool) -> tuple[Tensor, Tensor]:
    """Mean of k within one set, and the same with each sample left out [n]."""
    rows, _ = _sums(x, x, kernel, chunk)
    itself = torch.cat([kernel(part, part).diagonal() for part in x.split(64)])
    n, total = len(x), rows.sum()
    without = total - 2 * rows + itself
    if unbiased:
        alone = itself.sum()
        return (total - alone) / (n * (n - 1)), (without - (alone - itself)) / ((n - 1) * (n - 2))
    return total / n**2, without / (n - 1) ** 2


def mmd2(real: Array, fake: Array, kernel: Kernel | None = None, unbiased: bool = True, chunk: int = 1024) -> Estimate:
    """MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y) (Gretton et al. 2012, eq. 3 unbiased, eq. 5 biased).

    Args:
        real: [n, d], at least three samples.
        fake: [m, d], at least three samples.
        kernel: ``rbf(median_distance(real, fake))`` by default.
        unbiased: leave out the pairs of a sample with itself: zero in expectation for equal distributions, and
            then below zero about half of the time. The biased one is never negative.
        chunk: rows of a Gram matrix held at once.

    Returns:
        value and its jackknife standard error, which comes from the row sums of the same Gram matrices. Where the
        distributions are equal the error is on the safe side, too large.
    """
    x, y = pair(real, fake, least=3)
    kernel = rbf(median_distance(x, y)) if kernel is None else kernel
    (own_x, own_x_without), (own_y, own_y_without) = (_own(z, kernel, chunk, unbiased) for z in (x, y))
    rows, columns = _sums(x, y, kernel, chunk)
    n, m, total = len(x), len(y), rows.sum()
    value = own_x + own_y - 2 * total / (n * m)
    without_x = own_x_without + own_y - 2 * (total - rows) / ((n - 1) * m)
    without_y = own_x + own_y_without - 2 * (total - columns) / (n * (m - 1))
    variance = sum((len(w) - 1) / len(w) * (w - w.mean()).square().sum() for w in (without_x, without_y))
    return Estimate(float(value), float(variance) ** 0.5)


def kid(real: Array, fake: Array, chunk: int = 1024) -> Estimate:
    """Kernel distance of Binkowski et al. 2018: unbiased MMD^2 with the kernel (x.y / d + 1)^3.

    Over all pairs, where published code averages over random subsets of 1000: the expectation is the same whatever
    the size, the spread smaller.
    """
    return mmd2(real, fake, polynomial(), chunk=chunk)
