"""Ensembles against what was observed: continuous ranked probability score, and ranks among the members."""

from __future__ import annotations

import torch
from torch import Tensor

from diffx.metrics.arrays import Array, tensor


def ensemble_of(ensemble: Array, observed: Array, least: int = 1) -> tuple[Tensor, Tensor]:
    """Members [m, ...] and what was observed [...], in float64 on one device; ValueError where shapes do not fit."""
    x = tensor(ensemble)
    y = tensor(observed).to(x.device)
    if x.ndim < 1 or x.shape[1:] != y.shape or len(x) < least:
        raise ValueError(f"at least {least} members [m, ...] go with [...], not {list(x.shape)} with {list(y.shape)}")
    return x, y


def counted(values: Tensor, mask: Array | None) -> Tensor:
    """The values, flat, where the mask [...] is true; ValueError where none is left."""
    if mask is not None:
        where = torch.as_tensor(mask).to(values.device, torch.bool)
        if where.shape != values.shape:
            raise ValueError(f"a mask of {list(where.shape)} for values of {list(values.shape)}")
        values = values[where]
    if not values.numel():
        raise ValueError("the mask leaves nothing to score")
    return values.flatten()


def crps_each(ensemble: Array, observed: Array, fair: bool = True) -> Tensor:
    """Score of each position, float64 [...]: E|X - y| - E|X - X'| / 2 (Gneiting and Raftery 2007, eq. 21).

    Args:
        ensemble: m members [m, ...].
        observed: [...].
        fair: average |X - X'| over the m (m - 1) pairs of different members (Ferro 2014): unbiased for the
            distribution that the members are drawn from, so that ensembles of different size compare. Otherwise over
            all m^2 pairs: the score of the members' own empirical distribution, and |x - y| where there is one.

    In O(m log m): half the sum over ordered pairs is sum_i (2 i - m - 1) x_(i), i = 1 ... m.
    """
    x, y = ensemble_of(ensemble, observed, least=2 if fair else 1)
    m = len(x)
    off = (x - y).sort(dim=0).values  # around the observation, so that a large offset does not round the spread away
    rank = torch.arange(1 - m, m, 2, dtype=torch.float64, device=x.device).view(-1, *(1,) * y.ndim)
    return off.abs().mean(0) - (rank * off).sum(0) / (m * (m - 1) if fair else m**2)


def crps(ensemble: Array, observed: Array, fair: bool = True, mask: Array | None = None) -> float:
    """Continuous ranked probability score (Gneiting and Raftery 2007): the mean of :func:`crps_each` over positions.

    ``mask`` [...]: those that count. In units of the data; 0 for a perfect forecast, |x - y| for a single member.
    """
    return float(counted(crps_each(ensemble, observed, fair), mask).mean())


def rank_histogram(ensemble: Array, observed: Array, mask: Array | None = None) -> tuple[float, ...]:
    """Share of positions where the observation [...] has rank 0, 1, ..., m among members [m, ...]; sums to one.

    Flat, 1 / (m + 1) each, for a calibrated ensemble (Talagrand; Hamill 2001): a U means too narrow, a dome too wide.
    With many members it is the histogram of the probability integral transform. An observation that equals e members
    counts 1 / (e + 1) on each rank that it may have: what ranking ties at random gives on average.
    """
    x, y = ensemble_of(ensemble, observed)
    below, ties = (counted(v.sum(0), mask) for v in (x < y, x == y))
    change = torch.zeros(len(x) + 2, dtype=torch.float64, device=x.device)
    share = 1 / (ties + 1).double()
    change.index_add_(0, below, share).index_add_(0, below + ties + 1, -share)
    return tuple((change.cumsum(0)[:-1] / len(below)).tolist())
