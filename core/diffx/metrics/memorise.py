"""Memorisation audit: does a generator give its training data away?

The yardstick is data of the same kind that it never saw. What is held out lies as near to the training set as chance
brings it; synthetic samples that lie nearer know more than the distribution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from diffx.metrics.arrays import Array, nearest, pair


@dataclass(frozen=True)
class Copy:
    """A synthetic sample nearer to a training item than chance would bring any of them.

    ``synthetic`` and ``train`` number the rows; ``expected`` is how many unseen samples of the audit's size would lie
    that near.
    """

    synthetic: int
    train: int
    distance: float
    expected: float


@dataclass(frozen=True)
class Audit:
    """What :func:`audit` found.

    ``distance`` and ``distance_held_out``: median distance to the nearest training item ("distance to closest record").
    ``ratio`` and ``ratio_held_out``: 5th percentile of nearest over second nearest distance; near 0 for copies.
    ``share``: of synthetic samples nearer than the ``quantile`` of held-out ones, of whom a share ``expected`` is.
    ``p_value``: of a share so large or larger for samples drawn as the held-out ones were; exact.
    ``copies``: nearest first. ``alpha``: how often an innocent generator raises the alarm, at most about.
    """

    synthetic: int
    held_out: int
    train: int
    distance: float
    distance_held_out: float
    ratio: float
    ratio_held_out: float
    quantile: float
    share: float
    expected: float
    p_value: float
    copies: tuple[Copy, ...]
    alpha: float

    @property
    def distance_ratio(self) -> float:
        """Median distance of synthetic samples over that of held-out ones: 1 as unseen data, 0 all copies."""
        return self.distance / self.distance_held_out if self.distance_held_out > 0 else math.nan

    @property
    def alarm(self) -> bool:
        """Copies, or too many near samples; each at half of ``alpha``."""
        return bool(self.copies) or self.p_value < self.alpha / 2

    @property
    def chance_share(self) -> float:
        """The largest share of near samples that is no alarm."""
        rank = round(self.expected * (self.held_out + 1))
        low, high = 0, self.synthetic + 1  # of near samples: p falls with their number
        while high - low > 1:
            middle = (low + high) // 2
            p = _exchangeable(middle, self.synthetic, rank, self.held_out)
            low, high = (middle, high) if p >= self.alpha / 2 else (low, middle)
        return low / self.synthetic

    def __str__(self) -> str:
        return (
            f"{len(self.copies)} of {self.synthetic} synthetic samples are copies of one of {self.train} training "
            f"items. {self.share:.1%} lie nearer to one than the nearest {self.quantile:.0%} of {self.held_out} "
            f"held-out samples do ({self.expected:.1%} expected, p = {self.p_value:.2g}). Median distance to the "
            f"nearest training item: {self.distance:.4g}; of held-out samples: {self.distance_held_out:.4g}."
        )


def audit(
    synthetic: Array, train: Array, held_out: Array, quantile: float = 0.1, alpha: float = 0.02, chunk: int = 1024
) -> Audit:
    """Compare how near synthetic and held-out samples lie to the training set.

    Args:
        synthetic, train, held_out: features [n, d] (of an image its embedding or its low-resolution pixels; of a
            molecule its descriptors), scaled so that Euclidean distance means something. ``held_out`` is drawn as
            ``train`` was and unseen in training, without further samples of a training subject.
        quantile: of the held-out distances, the bound of "near"; never fewer than the two nearest.
        alpha: rate of false alarms, for both tests together.

    Two tests. Many near samples: if synthetic and held-out samples are exchangeable, the number of synthetic ones
    nearer than the r-th nearest held-out is negative hypergeometric, exactly. Single copies: below that distance d_r
    the number of samples falls as a power of distance, whose exponent the r - 1 nearer held-out samples tell (Hill
    1975); e = log(d_r / d) then has P(E > e) = (1 + e / sum_i e_i)^-(r - 1), the uncertainty of the exponent included.
    A sample is a copy where fewer than alpha / 2 so near are expected among all.
    """
    y, x = pair(synthetic, train, ("synthetic", "train"), least=2)
    _, h = pair(train, held_out, ("train", "held_out"), least=3)
    if not 0 < quantile < 1 or not 0 < alpha < 1:
        raise ValueError(f"quantile and alpha are in (0, 1), not {quantile} and {alpha}")
    (near, index), (near_held, _) = (nearest(z.to(x.device), x, 2, chunk) for z in (y, h))
    d, d_held = near[:, 0], near_held[:, 0].sort().values
    rank = min(max(int(quantile * len(h)), 2), len(h))
    bound = d_held[rank - 1]
    # a tie with the bound is on its side or the other by chance; strictly below never favours the alarm
    closer, expected = int((d < bound).sum()), rank / (len(h) + 1)
    many = len(d) * expected * _tail(d, d_held[: rank - 1], bound)
    order = d.argsort()
    copies = [
        Copy(i, int(index[i, 0]), float(d[i]), float(many[i])) for i in order.tolist() if float(many[i]) < alpha / 2
    ]
    return Audit(
        synthetic=len(d),
        held_out=len(h),
        train=len(x),
        distance=float(d.median()),
        distance_held_out=float(d_held.median()),
        ratio=_low(near),
        ratio_held_out=_low(near_held),
        quantile=quantile,
        share=closer / len(d),
        expected=expected,
        p_value=_exchangeable(closer, len(d), rank, len(h)),
        copies=tuple(copies),
        alpha=alpha,
    )


def _low(near: Tensor) -> float:
    """5th percentile of nearest over second nearest distance; 1 where both are 0, as near a duplicate in training."""
    return float((near[:, 0] / near[:, 1]).nan_to_num(1.0).quantile(0.05))


def _tail(d: Tensor, below: Tensor, bound: Tensor) -> Tensor:
    """P(distance <= d) among samples within the bound, as the held-out distances ``below`` it tell; 1 outside."""
    below = below[below < bound]  # of discrete data several may lie on it, and tell nothing about the tail
    if not len(below):
        return torch.ones_like(d)
    excess = (bound / d).log().clamp(min=0) / (bound / below).log().sum()
    # distance 0 is a copy, but not where unseen samples have it as well, as discrete data do (inf / inf)
    return torch.where(excess.isnan(), 1.0, (1 + excess) ** -len(below))


def _exchangeable(closer: int, synthetic: int, rank: int, held_out: int) -> float:
    """P(at least ``closer`` of the synthetic samples lie below the rank-th held-out one), all orders equally likely.

    That is: of the lowest closer + rank - 1 of all, at least ``closer`` are synthetic (hypergeometric).
    """
    draws = closer + rank - 1
    i = torch.arange(max(closer, draws - held_out), min(draws, synthetic) + 1, dtype=torch.float64)

    def log_choose(n: int, k: Tensor) -> Tensor:
        whole = torch.tensor(n + 1.0, dtype=torch.float64)
        return whole.lgamma() - (k + 1).lgamma() - (n - k + 1).lgamma()

    total = log_choose(synthetic + held_out, torch.tensor(float(draws), dtype=torch.float64))
    ways = log_choose(synthetic, i) + log_choose(held_out, draws - i)
    return min(float((ways - total).exp().sum()), 1.0)
