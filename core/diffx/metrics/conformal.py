"""Split conformal prediction: intervals that hold what they promise, whatever the model (Vovk et al. 2005)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diffx.metrics.arrays import Array, tensor


def conformal_rank(n: int, level: float) -> int:
    """Which of n calibration scores, rising and counted from 1, bounds a new one with at least probability ``level``.

    It is ceil((n + 1) level): the rank of a new score among n + 1 exchangeable ones is uniform. n + 1 where n is too
    small for the level (fewer than level / (1 - level) scores): then only the whole line holds what was promised.
    """
    if n < 0 or not 0 < level < 1:
        raise ValueError(f"a level in (0, 1) and at least no score are needed, not {level} and {n}")
    return math.ceil((n + 1) * level - 1e-12)


def conformal_quantile(scores: Array, level: float) -> float:
    """The bound of a new score, given calibration scores [n]; infinity where these are too few.

    A new exchangeable score is at most this with probability k / (n + 1), k = :func:`conformal_rank`, exactly where no
    two scores are equal: at least ``level``, and less than level + 1 / (n + 1) (Lei et al. 2018, theorem 2.2).
    """
    ordered = tensor(scores).flatten().sort().values
    rank = conformal_rank(len(ordered), level)
    return math.inf if rank > len(ordered) else float(ordered[rank - 1])


def conformal_margin(low: Array, high: Array, observed: Array, level: float) -> float:
    """By how much to widen intervals on both sides so that they hold new observations with probability ``level``.

    Conformalised quantile regression (Romano, Patterson and Candes 2019, eq. 6-7): scores are max(low - y, y - high) of
    calibration cases that the model was not trained on. Negative where the intervals are wider than they need be.

    Args:
        low: lower ends [n].
        high: upper ends [n].
        observed: what was observed [n].
        level: share of new observations to hold.

    Raises:
        ValueError: the shapes differ, or a value is not finite.
    """
    a, b, y = tensor(low), tensor(high), tensor(observed)
    if not a.shape == b.shape == y.shape:
        raise ValueError(f"ends and observations are of one shape, not {[list(v.shape) for v in (a, b, y)]}")
    return conformal_quantile(torch.maximum(a - y, y - b), level)


def conformal_interval(predicted: Array, calibration: Array, observed: Array, level: float) -> tuple[Tensor, Tensor]:
    """Ends [m] of intervals around point predictions [m].

    Args:
        predicted: new predictions [m].
        calibration: predictions [n] of calibration cases, not trained on.
        observed: what was observed in these cases [n].
        level: share of new observations to hold.
    """
    reach = conformal_margin(calibration, calibration, observed, level)
    middle = tensor(predicted)
    return middle - reach, middle + reach
