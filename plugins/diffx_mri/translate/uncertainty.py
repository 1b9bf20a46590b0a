"""What is told of several samples: one image, and how far to trust it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

ESTIMATES_SAID = {
    "regression": "what the regression expects",
    "mean": "the mean of the samples",
    "median": "the median of the samples",
}
ESTIMATES = tuple(ESTIMATES_SAID)
POOLED = 2.0  # pixels: standard deviation of the neighbourhood over which variances are averaged


def estimated(samples: np.ndarray, expected: np.ndarray, estimate: str) -> np.ndarray:
    """Of samples [n, Z, X, Y] and what the regression expects [Z, X, Y], the image [Z, X, Y] that ``estimate`` names.

    The regression is nearest to the truth as long as the mean of n samples carries 1/n of their variance.
    """
    if estimate == "regression":
        return expected
    return samples.mean(0) if estimate == "mean" else np.median(samples, 0)


def spread_of(samples: np.ndarray, pooled: float = POOLED) -> np.ndarray | None:
    """Standard deviation [Z, X, Y] over samples [n, Z, X, Y], n - 1 degrees of freedom; None of one.

    n = 8 samples know a standard deviation to 27 %, so variances are averaged over a Gaussian neighbourhood in the
    plane (``pooled``, in pixels; 0 is none).
    """
    if len(samples) < 2:
        return None
    variance = samples.var(0, ddof=1)
    if pooled:
        variance = ndimage.gaussian_filter(variance, (0, pooled, pooled))
    return np.sqrt(variance)
