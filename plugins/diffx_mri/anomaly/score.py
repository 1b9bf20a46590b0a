"""From a scan and healthy images of it to one score a voxel: how likely it is that something is wrong there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .evidence import brightness, features
from .model import Healthy
from .stack import Stack
from .strip import depth_of


@dataclass(frozen=True)
class Settings:
    """What is done to the score besides.

    Args:
        median: edge of the median filter in a slice, pixels, odd; 1 is none.
        layers: slices it goes through, odd.
        ring: pixels below the surface of a head with its skull that are never marked.
        vote: score from which a single draw counts as finding something.
    """

    median: int = 5
    layers: int = 3
    ring: float = 2.0
    vote: float = 0.5


@dataclass(frozen=True)
class Scores:
    """Maps on the slices of a stack, each float32 [Z, 128, 128].

    Args:
        anomaly: 0 to 1, 0 outside the region: the share of voxels like this that were ill among made lesions.
        certainty: 0 to 1, share of the draws that find something there.
        healthy: mean of the draws.
        difference: the scan less that.
    """

    anomaly: np.ndarray
    certainty: np.ndarray
    healthy: np.ndarray
    difference: np.ndarray


def score(stack: Stack, healthy: Healthy, settings: Settings | None = None) -> Scores:
    """What the draws and the intensity say together.

    The difference to what is healthy and the drawn lesion say most at home. On a scanner that the network does not
    know they can miss what any eye sees; in a brain without skull a voxel that is brighter than the brain therefore
    adds to the score (``evidence.WORTH``).
    """
    settings = settings or Settings()
    allowed = stack.region.copy()
    if not stack.stripped and settings.ring:
        allowed &= depth_of(stack.region) > settings.ring
    probability, mean = healthy.probability.mean(0), healthy.samples.mean(0)
    difference = stack.slices - mean
    bright = brightness(stack.slices)  # not filtered: what is bright may be small
    lesion, off = (median(one, settings.median, settings.layers) for one in (probability, difference))
    anomaly = _logistic(healthy.evidence.odds(features(lesion, off, bright), stack.stripped)) * allowed
    votes = np.zeros_like(mean)
    for sample, drawn in zip(healthy.samples, healthy.probability, strict=True):
        each = features(_smooth(drawn), _smooth(stack.slices - sample), bright)
        votes += _logistic(healthy.evidence.odds(each, stack.stripped)) >= settings.vote
    certainty = votes / len(healthy.samples) * allowed
    return Scores(anomaly.astype(np.float32), certainty.astype(np.float32), mean, difference)


def median(values: np.ndarray, size: int, layers: int) -> np.ndarray:
    """Median over windows of ``layers`` slices and ``size`` x ``size`` pixels of [Z, X, Y]; edges are repeated."""
    if size == layers == 1:
        return values
    return ndimage.median_filter(values, (layers, size, size), mode="nearest")


def _smooth(values: np.ndarray) -> np.ndarray:
    return ndimage.uniform_filter(values, (1, 3, 3), mode="nearest")


def _logistic(odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-odds))
