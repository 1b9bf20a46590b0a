"""Fréchet distance between Gaussians fitted to features."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from diffx.metrics.arrays import Array, Estimate, features, pair, tensor
from diffx.metrics.resample import permutation


def _root(x: Tensor) -> Tensor:
    """R [min(n, d), d] with R^T R the sample covariance of x [n, d].

    From a QR decomposition of the data, not from the covariance, whose small eigenvalues are lost to rounding.
    """
    return torch.linalg.qr(x - x.mean(0), mode="r").R / (len(x) - 1) ** 0.5


def _distance(mean_a: Tensor, root_a: Tensor, mean_b: Tensor, root_b: Tensor) -> float:
    # tr((S_a S_b)^(1/2)) is the sum of the singular values of R_a R_b^T, whose squares are the eigenvalues of S_a S_b
    cross = torch.linalg.svdvals(root_a @ root_b.T).sum()
    total = (mean_a - mean_b).square().sum() + root_a.square().sum() + root_b.square().sum() - 2 * cross
    return max(float(total), 0.0)


def frechet_distance(real: Array, fake: Array) -> float:
    """|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), m and S mean and covariance of features [n, d] and [m, d].

    The squared 2-Wasserstein distance of two Gaussians (Dowson and Landau 1982), "FID" on Inception features (Heusel
    et al. 2017). Sound for n < d too, where the product of the covariances is singular and a matrix square root fails.

    It is biased upwards, by about a constant over n, the larger the more dimensions: compare figures of one n only,
    beside the :func:`~diffx.metrics.real_vs_real` of that n, or use :func:`frechet_infinity`.
    """
    a, b = pair(real, fake)
    return _distance(a.mean(0), _root(a), b.mean(0), _root(b))


def frechet_gaussians(mean_a: Array, cov_a: Array, mean_b: Array, cov_b: Array) -> float:
    """The same from means [d] and covariances [d, d], as published statistics of reference sets come."""
    roots = []
    for covariance in (tensor(cov_a), tensor(cov_b)):
        values, vectors = torch.linalg.eigh((covariance + covariance.T) / 2)
        roots.append(values.clamp(min=0).sqrt()[:, None] * vectors.T)
    return _distance(tensor(mean_a), roots[0], tensor(mean_b), roots[1])


def frechet_infinity(real: Array, fake: Array, points: int = 10, smallest: float = 0.2, seed: int = 0) -> Estimate:
    """The distance extrapolated to n = infinity: the intercept of a line through (1/n, distance at n).

    Chong and Forsyth 2020, with both sets cut to n, since both contribute to the bias. The line is a good one where
    ``smallest`` times n is several times the dimension. Unbiased, so that near zero it may be negative.

    Args:
        points: subset sizes, evenly spaced in 1/n from ``smallest`` of the smaller set to all of it.

    Returns:
        intercept and its standard error from the residuals, which is a lower bound: the subsets overlap.
    """
    a, b = features(real, "real"), features(fake, "fake")
    most = min(len(a), len(b))
    if points < 3 or not 0 < smallest < 1 or smallest * most < 2:
        raise ValueError(f"{points} sizes from {smallest:g} of {most} samples are too few for a line")
    sizes = np.unique(np.round(1 / np.linspace(1 / most, 1 / (smallest * most), points)).astype(int))
    if len(sizes) < 3:
        raise ValueError(f"{most} samples give {len(sizes)} sizes of subsets; a line with an error needs 3")
    values = []
    for step, n in enumerate(sizes):
        at, bt = permutation(len(a), seed, 2 * step)[:n], permutation(len(b), seed, 2 * step + 1)[:n]
        values.append(frechet_distance(a[at.to(a.device)], b[bt.to(b.device)]))
    x = 1 / sizes
    slope, intercept = np.polyfit(x, values, 1)
    variance = np.square(values - (slope * x + intercept)).sum() / (len(x) - 2)
    error = np.sqrt(variance * (1 / len(x) + x.mean() ** 2 / np.square(x - x.mean()).sum()))
    return Estimate(float(intercept), float(error))
