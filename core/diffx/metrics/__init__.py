"""Metrics: how far a set of samples is from real ones, how honest an ensemble is, and whether samples are copies.

All take torch tensors or numpy arrays, compute in float64 and give plain numbers. Each says what it would be for a
perfect generator, or has :func:`floor` to measure it.
"""

from diffx.metrics.arrays import Estimate
from diffx.metrics.calibration import Reliability, reliability
from diffx.metrics.detection import auroc, average_precision, dice
from diffx.metrics.ensemble import crps, crps_each, rank_histogram
from diffx.metrics.frechet import frechet_distance, frechet_gaussians, frechet_infinity
from diffx.metrics.interval import IntervalScore, central_interval, ensemble_interval, score_interval
from diffx.metrics.manifold import PRDC, expected_coverage, prdc
from diffx.metrics.memorise import Audit, Copy, audit
from diffx.metrics.mmd import kid, median_distance, mmd2, polynomial, rbf
from diffx.metrics.resample import Interval, bootstrap, floor

__all__ = [
    "PRDC",
    "Audit",
    "Copy",
    "Estimate",
    "Interval",
    "IntervalScore",
    "Reliability",
    "audit",
    "auroc",
    "average_precision",
    "bootstrap",
    "central_interval",
    "crps",
    "crps_each",
    "dice",
    "ensemble_interval",
    "expected_coverage",
    "floor",
    "frechet_distance",
    "frechet_gaussians",
    "frechet_infinity",
    "kid",
    "median_distance",
    "mmd2",
    "polynomial",
    "prdc",
    "rank_histogram",
    "rbf",
    "reliability",
    "score_interval",
]
