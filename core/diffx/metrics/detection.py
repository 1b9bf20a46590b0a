"""Finding things: rankings by a score, and overlap of regions."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diffx.metrics.arrays import Array, tensor


def _ranked(score: Array, positive: Array) -> tuple[Tensor, Tensor]:
    """True and false positives, cumulative, at each distinct score from the highest down."""
    s = tensor(score).flatten()
    y = torch.as_tensor(positive).to(s.device, torch.bool).flatten()
    if s.shape != y.shape:
        raise ValueError(f"one label for each score, not {len(y)} for {len(s)}")
    if not bool(y.any()) or bool(y.all()):
        raise ValueError("a ranking needs positives and negatives")
    s, order = s.sort(descending=True)
    last = torch.cat([s[1:] != s[:-1], torch.ones(1, dtype=torch.bool, device=s.device)])
    true = y[order].double().cumsum(0)
    total = torch.arange(1, len(s) + 1, dtype=torch.float64, device=s.device)
    return true[last], (total - true)[last]


def average_precision(score: Array, positive: Array) -> float:
    """Area under precision and recall, sum_k (R_k - R_{k-1}) P_k over distinct scores (any shape, high is positive).

    No interpolation between points, which would flatter (Davis and Goadrich 2006). A random ranking has the share of
    positives. ValueError where there are only positives or none.
    """
    return average_precision_counts(*_ranked(score, positive))


def average_precision_counts(true: Array, false: Array) -> float:
    """:func:`average_precision` from counts, for what does not fit into memory; NaN where there are no positives.

    Args:
        true: true positives [L] at or above each score, from the highest down.
        false: false positives, likewise.
    """
    t, f = torch.as_tensor(true), torch.as_tensor(false)
    if not bool(t[-1]):
        return math.nan
    gained = torch.diff(t, prepend=t.new_zeros(1))
    at = gained.nonzero()[:, 0]  # few of many, where positives are rare
    return float((gained[at] * (t[at].double() / (t[at] + f[at]))).sum() / t[-1])


def auroc(score: Array, positive: Array) -> float:
    """Area under the ROC curve: the probability that a positive outscores a negative, ties counting half."""
    true, false = (torch.cat([v.new_zeros(1), v / v[-1]]) for v in _ranked(score, positive))
    return float(torch.trapezoid(true, false))


def dice(a: Array, b: Array) -> float:
    """Overlap of two masks of one shape, 2 |a and b| / (|a| + |b|) (Dice 1945); 1 where both are empty."""
    x, y = torch.as_tensor(a).to(torch.bool), torch.as_tensor(b).to(torch.bool)
    if x.shape != y.shape:
        raise ValueError(f"masks of one shape, not {list(x.shape)} and {list(y.shape)}")
    total = int(x.sum()) + int(y.sum())
    return 2 * int((x & y.to(x.device)).sum()) / total if total else 1.0
