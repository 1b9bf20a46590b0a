"""Random halves and resamples, keyed by seed: what a figure is for real against real, and how sure a figure is."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor

from diffx.metrics.arrays import Array, Estimate, tensor
from diffx.noise import Noise, derive

__all__ = ["Interval", "bootstrap", "permutation", "real_vs_real"]


@dataclass(frozen=True)
class Interval:
    """A figure and the ends of its confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


def permutation(n: int, seed: int, step: int = 0) -> Tensor:
    """The numbers 0 to n - 1 in an order that (seed, step) decides."""
    return Noise([derive("permutation", seed)]).uniform(n, step=step)[0].argsort(stable=True)


def real_vs_real(
    distance: Callable[[Tensor, Tensor], float], real: Array, n: int | None = None, splits: int = 10, seed: int = 0
) -> Estimate:
    """What a distance between sets gives for real against real: the value that a perfect generator would get.

    Args:
        distance: of two sets [n, ...] -> number, ``frechet_distance`` for one.
        real: [N, ...].
        n: size of each of the two disjoint random subsets; half of N by default. Where a distance is biased, as the
            Fréchet distance is, figures compare only at one n: give that of the synthetic set.
        splits: how many times.

    Returns:
        mean and standard deviation over splits (which share data: the deviation is a spread, not an error of the mean).

    Raises:
        ValueError: 2 n is more than N.
    """
    x = torch.as_tensor(real)
    n = len(x) // 2 if n is None else n
    if n < 1 or 2 * n > len(x) or splits < 2:
        raise ValueError(f"{len(x)} real samples do not split into twice {n}, and spread needs 2 splits, not {splits}")
    orders = [permutation(len(x), seed, k).to(x.device) for k in range(splits)]
    values = torch.tensor([float(distance(x[o[:n]], x[o[n : 2 * n]])) for o in orders], dtype=torch.float64)
    return Estimate(float(values.mean()), float(values.std()))


def bootstrap(
    statistic: Callable[..., float],
    *data: Array,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    bca: bool = False,
    groups: Sequence[Hashable] | None = None,
) -> Interval:
    """Confidence interval of a statistic by resampling with replacement (Efron and Tibshirani 1993, chapters 13, 14).

    Args:
        statistic: of resampled data -> number; called ``resamples`` times and, for BCa, n times more.
        data: arrays [n, ...] whose rows belong together (prediction and truth): they are resampled together.
        level: share of intervals that hold the truth.
        bca: correct percentiles for bias and skewness (BCa, second order) instead of taking them as they are.
        groups: of each row its patient, house or complex, [n]: whole groups are drawn, since rows of one are alike
            (the cluster bootstrap; Davison and Hinkley 1997, section 3.8).

    Raises:
        ValueError: arrays of different length, fewer than two rows or groups, or a level outside (0, 1).
    """
    arrays = [tensor(x) for x in data]
    if not arrays or len({len(x) for x in arrays}) > 1 or len(arrays[0]) < 2:
        raise ValueError(f"arrays of one length of at least 2 are resampled together, not {[len(x) for x in arrays]}")
    if not 0 < level < 1 or resamples < 2:
        raise ValueError(f"level is in (0, 1) and resamples at least 2, not {level} and {resamples}")
    names = list(range(len(arrays[0]))) if groups is None else list(groups)
    if len(names) != len(arrays[0]):
        raise ValueError(f"a group for each of {len(arrays[0])} rows, not {len(names)}")
    parts = None if groups is None else _members(names)
    n = len(names) if parts is None else len(parts)
    if n < 2:
        raise ValueError("resampling takes at least two groups")

    def at(index: Tensor) -> float:
        rows = index if parts is None else torch.cat([parts[i] for i in index.tolist()])
        return float(statistic(*(x[rows.to(x.device)] for x in arrays)))

    noise, rows = Noise([derive("bootstrap", seed)]), max(1, 2**18 // n)  # many resamples' variates in one call
    draws = [
        at((u.double() * n).long())
        for step, first in enumerate(range(0, resamples, rows))
        for u in noise.uniform(min(rows, resamples - first), n, step=step)[0]
    ]
    values = torch.tensor(draws, dtype=torch.float64)
    value = float(statistic(*arrays))
    ends = [(1 - level) / 2, (1 + level) / 2]
    if bca:
        everyone = torch.arange(n)
        apart = torch.tensor([at(everyone[everyone != i]) for i in range(n)], dtype=torch.float64)
        ends = _bca(values, value, apart, ends)
    low, high = torch.quantile(values, torch.tensor(ends, dtype=torch.float64)).tolist()
    return Interval(value, low, high)


def _members(names: Sequence[Hashable]) -> list[Tensor]:
    """Row numbers of each group."""
    found: dict[Hashable, list[int]] = {}
    for row, name in enumerate(names):
        found.setdefault(name, []).append(row)
    return [torch.tensor(rows) for rows in found.values()]


def _bca(values: Tensor, value: float, apart: Tensor, ends: list[float]) -> list[float]:
    """Percentiles with bias correction z_0 and acceleration a (Efron 1987, eq. 2.3 and 6.6)."""
    normal = NormalDist()
    below = float((values < value).double().mean() + (values == value).double().mean() / 2)
    if not 0 < below < 1:
        return ends  # every resample is on one side: there is no bias to estimate
    off = apart.mean() - apart
    spread = float(off.square().sum() ** 1.5)
    a = float(off.pow(3).sum()) / (6 * spread) if spread > 0 else 0.0
    z0 = normal.inv_cdf(below)
    moved = [z0 + normal.inv_cdf(p) for p in ends]
    return [normal.cdf(z0 + z / (1 - a * z)) for z in moved]
