"""How near a synthetic contrast is to the truth."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

_SIGMA, _K1, _K2 = 1.5, 0.01, 0.03  # of Wang et al. 2004, sec. III-B and III-C
_RADIUS = 5  # an 11 x 11 window


def peak(truth: np.ndarray, mask: np.ndarray) -> float:
    """What PSNR, SSIM and MAE count as 1: the 99.5th percentile of the truth inside the head."""
    return float(np.percentile(truth[mask], 99.5))


def psnr(image: np.ndarray, truth: np.ndarray, mask: np.ndarray, top: float) -> float:
    """10 log10(top^2 / mean squared error) inside the mask, dB."""
    return float(10 * np.log10(top**2 / np.square(image[mask] - truth[mask]).mean()))


def mae(image: np.ndarray, truth: np.ndarray, mask: np.ndarray, top: float) -> float:
    """Mean absolute error inside the mask, as a share of top."""
    return float(np.abs(image[mask] - truth[mask]).mean() / top)


def ssim(image: np.ndarray, truth: np.ndarray, mask: np.ndarray, top: float) -> float:
    """Mean structural similarity inside the mask, of slices [Z, X, Y] one by one (Wang et al. 2004, eq. 13).

    Gaussian window of 11 x 11 pixels, sigma 1.5, K1 = 0.01, K2 = 0.03.
    """

    def blur(values: np.ndarray) -> np.ndarray:
        sigma = (0, _SIGMA, _SIGMA)
        return ndimage.gaussian_filter(values.astype(np.float64), sigma, truncate=_RADIUS / _SIGMA)

    a, b = blur(image), blur(truth)
    var_a, var_b = blur(np.square(image)) - a**2, blur(np.square(truth)) - b**2
    cov = blur(image * truth) - a * b
    c1, c2 = (_K1 * top) ** 2, (_K2 * top) ** 2
    similarity = (2 * a * b + c1) * (2 * cov + c2) / ((a**2 + b**2 + c1) * (var_a + var_b + c2))
    return float(similarity[mask].mean())
