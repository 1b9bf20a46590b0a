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
    index = np.minimum((p * bins).astype(int), bins - 1)
    count = np.bincount(index, minlength=bins)
    full = count > 0
    predicted, observed = (np.bincount(index, v, bins)[full] / count[full] for v in (p, y))
    return Reliability(
        predicted=tuple(predicted.tolist()),
        observed=tuple(observed.tolist()),
        count=tuple(count[full].tolist()),
        error=float((np.abs(predicted - observed) * count[full]).sum() / len(p)),
        brier=float(np.square(p - y).mean()),
    )
