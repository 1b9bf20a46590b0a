"""Central prediction intervals: do they hold what they promise, and how wide are they?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from diffx.metrics.arrays import Array, tensor
from diffx.metrics.ensemble import counted, ensemble_of


@dataclass(frozen=True)
class IntervalScore:
    """How the intervals of one level did.

    ``level``: what was asked for. ``nominal``: the share that calibrated intervals would hold; less than the level
    where an ensemble is too small for it. ``coverage``: the share that they did hold, borders included. ``width``:
    mean, in units of the data. ``winkler``: the interval score, mean width plus 2 / (1 - nominal) times how far
    outside the observation lay; lower is better, and only honest intervals minimise it (Gneiting and Raftery 2007,
    eq. 43). ``count``: positions.
    """

    level: float
    nominal: float
    coverage: float
    width: float
    winkler: float
    count: int


def central_interval(ensemble: Array, level: float = 0.9) -> tuple[Tensor, Tensor, float]:
    """Lower and upper ends [...] of the central interval of members [m, ...], and its nominal coverage.

    The ends are the order statistics at (m + 1) (1 -+ level) / 2, interpolated: of m + 1 values drawn alike, the one
    that was observed lies between x_(i) and x_(j) with probability (j - i) / (m + 1). The usual sample quantiles (type
    7 of Hyndman and Fan 1996) make intervals too narrow for small m; these (type 6) do not. The widest interval there
    is, from the least member to the greatest, has (m - 1) / (m + 1): 19 members for 90 %.
    """
    x = tensor(ensemble)
    if not 0 < level < 1 or x.ndim < 1 or len(x) < 2:
        raise ValueError(f"a level in (0, 1) and two members are needed, not {level} and {list(x.shape)}")
    m, ordered = len(x), x.sort(dim=0).values
    below = max((m + 1) * (1 - level) / 2, 1.0) - 1  # from 0
    first = min(int(below), m - 1)
    part, second = below - first, min(first + 1, m - 1)
    low = torch.lerp(ordered[first], ordered[second], part)
    high = torch.lerp(ordered[m - 1 - first], ordered[m - 1 - second], part)
    return low, high, (m - 1 - 2 * below) / (m + 1)


def score_interval(
    low: Array, high: Array, observed: Array, level: float, mask: Array | None = None, nominal: float | None = None
) -> IntervalScore:
    """Score intervals from ``low`` to ``high`` [...] that should hold ``observed`` [...] with probability ``level``
    (Gneiting and Raftery 2007, section 6.2).

    ``mask`` [...]: the positions that count. ``nominal``: what they can hold at best, where that is not the level.
    """
    a, b, y = tensor(low), tensor(high), tensor(observed)
    if not a.shape == b.shape == y.shape or not 0 < level < 1:
        raise ValueError(f"a level in (0, 1) and one shape for all, not {level}, {[list(v.shape) for v in (a, b, y)]}")
    if bool((a > b).any()):
        raise ValueError("an interval ends below its beginning")
    a, b, y = (counted(v.to(a.device), mask) for v in (a, b, y))
    nominal = level if nominal is None else nominal
    outside = (a - y).clamp(min=0) + (y - b).clamp(min=0)
    width = float((b - a).mean())
    return IntervalScore(
        level=level,
        nominal=nominal,
        coverage=float((outside == 0).double().mean()),
        width=width,
        winkler=width + 2 / (1 - nominal) * float(outside.mean()),
        count=len(y),
    )


def ensemble_interval(ensemble: Array, observed: Array, level: float = 0.9, mask: Array | None = None) -> IntervalScore:
    """Score the central intervals of members [m, ...] against what was observed [...]."""
    x, y = ensemble_of(ensemble, observed, least=2)
    low, high, nominal = central_interval(x, level)
    return score_interval(low, high, y, level, mask, nominal)
