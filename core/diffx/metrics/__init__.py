"""Metrics: how far a set of samples is from real ones, how honest an ensemble is, and whether samples are copies.

All take torch tensors or numpy arrays, compute in float64 and give plain numbers. Each says what it would be for a
perfect generator, or has :func:`real_vs_real` to measure it.
"""

from diffx.metrics.arrays import Estimate
from diffx.metrics.calibration import Reliability, reliability, reliability_counts
from diffx.metrics.conformal import conformal_interval, conformal_margin, conformal_quantile, conformal_rank
from diffx.metrics.detection import auroc, average_precision, average_precision_counts, dice
from diffx.metrics.ensemble import crps, crps_each, rank_histogram
from diffx.metrics.frechet import frechet_distance, frechet_gaussians, frechet_infinity
from diffx.metrics.interval import IntervalScore, central_interval, ensemble_interval, score_interval
from diffx.metrics.manifold import PRDC, expected_coverage, prdc
from diffx.metrics.memorise import Audit, Copy, audit
from diffx.metrics.mmd import kid, median_distance, mmd2, polynomial, rbf
from diffx.metrics.resample import Interval, bootstrap, real_vs_real
from diffx.metrics.uncertainty import ausc, ause, rank_correlation, sparsification, spread_skill

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
    "ausc",
    "ause",
    "average_precision",
    "average_precision_counts",
    "bootstrap",
    "central_interval",
    "conformal_interval",
    "conformal_margin",
    "conformal_quantile",
    "conformal_rank",
    "crps",
    "crps_each",
    "dice",
    "ensemble_interval",
    "expected_coverage",
    "frechet_distance",
    "frechet_gaussians",
    "frechet_infinity",
    "kid",
    "median_distance",
    "mmd2",
    "polynomial",
    "prdc",
    "rank_correlation",
    "rank_histogram",
    "rbf",
    "real_vs_real",
    "reliability",
    "reliability_counts",
    "score_interval",
    "sparsification",
    "spread_skill",
]
