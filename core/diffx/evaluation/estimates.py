"""Figures from data: a statistic with its interval over groups, and a distance between sets with what real sets get."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from diffx.evaluation.figure import Baseline, Figure
from diffx.metrics.arrays import Array
from diffx.metrics.resample import bootstrap, permutation


def estimate(
    statistic: Callable[..., float],
    *data: Array,
    groups: Sequence[Hashable] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    **facts: Any,
) -> Figure:
    """A statistic of the data, with its 95 % interval by resampling groups (:func:`diffx.metrics.bootstrap`).

    Args:
        statistic: of rows -> number.
        data: arrays [n, ...] whose rows belong together.
        groups: the patient, house or complex of each row; by default each row is its own.
        resamples: how many.
        seed: of the resampling.
        facts: further arguments of :class:`Figure`: ``unit``, ``better``, ``goal``, ...

    ``n`` is the number of groups; with fewer than three there is no interval.
    """
    n = len(data[0]) if groups is None else len(set(groups))
    if n < 3:
        return Figure(float(statistic(*(torch.as_tensor(x) for x in data))), n=n, **facts)
    found = bootstrap(statistic, *data, groups=groups, resamples=resamples, seed=seed)
    return Figure(found.value, (found.low, found.high), n=n, **facts)


def compare(
    distance: Callable[[Tensor, Tensor], float],
    real: Tensor,
    fake: Tensor,
    known: Tensor,
    baselines: Mapping[str, Tensor],
    subsets: int = 40,
    seed: int = 0,
    **facts: Any,
) -> Figure:
    """A distance from a set of real cases to synthetic ones, beside what other real ones and baselines get.

    Args:
        distance: of two sets of rows -> number.
        real: held-out rows [n, d].
        fake: synthetic rows [m, d].
        known: other real rows [N, d]; the distance to ``subsets`` random choices of m of them is real against real.
        baselines: rows of other methods by name, the trivial one first.
        subsets: how many choices.
        seed: of the choices.
        facts: further arguments of :class:`Figure`.
    """
    n = min(len(fake), len(known))
    subsets = subsets if n < len(known) else 1  # all of them can be chosen in one way
    choices = [known[permutation(len(known), seed, i)[:n]] for i in range(subsets)]
    found = torch.tensor([distance(real, rows) for rows in choices], dtype=torch.float64)
    ends = torch.quantile(found, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    others = tuple(Baseline(name, distance(real, rows)) for name, rows in baselines.items())
    return Figure(
        distance(real, fake),
        real_vs_real=float(found.mean()),
        real_vs_real_interval=ends if subsets > 1 else None,
        baselines=others,
        n=len(fake),
        n_real=len(real),
        **facts,
    )
