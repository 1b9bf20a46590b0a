"""Calibration of probabilities: do things that are said to have one chance in five happen one time in five?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffx.metrics.arrays import Array, tensor
from diffx.metrics.ensemble import counted


@dataclass(frozen=True)
class Reliability:
    """One entry a bin that is not empty: mean ``predicted`` probability, ``observed`` frequency, ``count``.

    ``error``: mean |predicted - observed| over bins, weighted by count (expected calibration error). ``brier``: mean
    squared distance of probability from outcome.
    """

    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    count: tuple[int, ...]
    error: float
    brier: float


def reliability(probability: Array, outcome: Array, bins: int = 10, mask: Array | None = None) -> Reliability:
    """Calibration curve of probabilities [...] against outcomes [...] of 0 or 1, in bins of equal width.

    Naeini et al. 2015 (ECE); Brier 1950. ValueError for probabilities or outcomes that are none.
    """
    said, happened = tensor(probability), tensor(outcome)
    if said.shape != happened.shape or bins < 1:
        raise ValueError(f"one outcome for each probability, not {list(happened.shape)} for {list(said.shape)}")
    p, y = (counted(v, mask).cpu().numpy() for v in (said, happened))
    if p.min() < 0 or p.max() > 1 or not np.isin(y, (0, 1)).all():
        raise ValueError("probabilities are from 0 to 1 and outcomes 0 or 1")
    return _binned(p, np.ones(len(p)), y, bins)


def reliability_counts(cases: Array, happened: Array, bins: int = 10) -> Reliability:
    """The same from counts, for events that are said by k of M ensemble members.

    Args:
        cases: in how many cases k members said so, [M + 1], k from 0 to M.
        happened: in how many of these it happened, [M + 1].
        bins: of equal width, of the probability k / M.

    Raises:
        ValueError: no case, fewer than one member, or more that happened than cases.
    """
    n, hits = (tensor(v).cpu().numpy() for v in (cases, happened))
    if n.shape != hits.shape or n.ndim != 1 or len(n) < 2 or bins < 1:
        raise ValueError(f"counts of 0 to M members, [M + 1] each, not {list(n.shape)} and {list(hits.shape)}")
    if not n.sum() or (hits < 0).any() or (hits > n).any():
        raise ValueError("of no case nothing is known, and not more can happen than there are cases")
    return _binned(np.arange(len(n)) / (len(n) - 1), n, hits, bins)


def _binned(p: np.ndarray, n: np.ndarray, hits: np.ndarray, bins: int) -> Reliability:
    """Of probabilities p that were said n times each, and came true ``hits`` times."""
    index = np.minimum((p * bins).astype(int), bins - 1)
    count, said, happened = (np.bincount(index, v, bins) for v in (n, n * p, hits))
    full = count > 0
    predicted, observed = said[full] / count[full], happened[full] / count[full]
    return Reliability(
        predicted=tuple(predicted.tolist()),
        observed=tuple(observed.tolist()),
        count=tuple(count[full].round().astype(int).tolist()),
        error=float((np.abs(predicted - observed) * count[full]).sum() / n.sum()),
        brier=float((hits * np.square(p - 1) + (n - hits) * np.square(p)).sum() / n.sum()),
    )
