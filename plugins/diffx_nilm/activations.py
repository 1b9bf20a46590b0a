"""Activations of an appliance, taken out of its own meter, and the household without them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .appliances import Appliance


def segments(on: np.ndarray) -> np.ndarray:
    """[n, 2] begin and end (exclusive) of each stretch where ``on`` [T] is true."""
    edge = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(np.int8)))
    return edge.reshape(-1, 2)


def bridged(found: np.ndarray, longest: float) -> np.ndarray:
    """Segments [n, 2] with pauses of at most ``longest`` periods between them made one."""
    parted = found[1:, 0] - found[:-1, 1] > longest
    first, last = (np.r_[True, parted], np.r_[parted, True]) if len(found) else ([], [])
    return np.stack([found[first, 0], found[last, 1]], axis=1)


def activations(power: np.ndarray, appliance: Appliance, period: float = 30.0) -> np.ndarray:
    """Whole activations of an appliance in its metered power [T], W: [n, 2] begin and end (exclusive), in periods.

    On above ``appliance.edge``; pauses of up to ``gap`` seconds belong to it; kept where it lasts from ``min_on``
    to ``max_on`` seconds, reaches ``peak`` and lies between known values (a NaN in it or beside it cuts it short).
    """
    known = np.isfinite(power)
    found = segments(np.where(known, power, 0) > appliance.edge)
    if not len(found):
        return found
    found = bridged(found, appliance.gap / period)
    length = (found[:, 1] - found[:, 0]) * period
    # values not known up to the one before each position; outside nothing is known
    unknown = np.cumsum(np.concatenate([[0, 1], ~known, [1]]))
    whole = unknown[found[:, 1] + 2] == unknown[found[:, 0]]
    peak = np.maximum.reduceat(np.append(np.where(known, power, 0), 0), found.ravel())[::2]
    keep = whole & (length >= appliance.min_on) & (length <= appliance.max_on) & (peak >= appliance.peak)
    return found[keep]


def residual(mains: np.ndarray, parts: Mapping[str, np.ndarray] | np.ndarray) -> np.ndarray:
    """What the metered parts leave of the mains [T], W: max(mains - sum, 0), NaN where one is not known."""
    total = sum(parts.values()) if isinstance(parts, Mapping) else np.asarray(parts).sum(0)
    return np.maximum(mains - total, 0)
