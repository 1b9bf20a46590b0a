"""Distribution functions of the heat kernels, written out plainly: frequencies on SO(3), images on the circle."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr


def igso3_cdf(omega: np.ndarray, sigma: float) -> np.ndarray:
    """Of the angle: the density of characters times (1 - cos omega) / pi, integrated term by term."""
    l = np.arange(1, int(12 / sigma) + 12)
    weight = (2 * l + 1) * np.exp(-l * (l + 1) * sigma**2 / 2)
    w = np.asarray(omega)[..., None]
    waves = weight * (np.sin(l * w) / l - np.sin((l + 1) * w) / (l + 1))
    return (omega - np.sin(omega) + waves.sum(-1)) / math.pi


def wrapped_normal_cdf(theta: np.ndarray, sigma: float) -> np.ndarray:
    """Of an angle in (-pi, pi], from -pi on."""
    turns = 2 * math.pi * np.arange(-8, 9)
    low = ndtr((turns - math.pi) / sigma)
    return (ndtr((np.asarray(theta)[..., None] + turns) / sigma) - low).sum(-1)
