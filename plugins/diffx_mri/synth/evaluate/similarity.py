"""What is compared without a network: structural similarity, intensities, spectra, coarse pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffx.metrics.resample import permutation

from ..segmentation.kept import STEP
from ..segmentation.segment import blur
from .encoder import coarse

BINS = 64
SHELLS = 24
_WEIGHTS = (0.0448, 0.2856, 0.3001)  # of Wang et al. 2003; a brain at 2 mm has room for the three finest scales


@cache
def _metric() -> Any:
    from monai.metrics import MultiScaleSSIMMetric

    weights = [w / sum(_WEIGHTS) for w in _WEIGHTS]
    return MultiScaleSSIMMetric(3, data_range=1.5, kernel_size=7, weights=weights)


def ms_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Multi-scale structural similarity (Wang et al. 2003) of two brains kept as bytes; 1 for equal ones."""
    x, y = (torch.from_numpy(i)[None, None].float() * STEP for i in (a, b))
    return float(_metric()(x, y))


def pairs(n: int, most: int, seed: int) -> list[tuple[int, int]]:
    """At most `most` different pairs of n things, in an order that the seed decides."""
    every = [(i, j) for i in range(n) for j in range(i)]
    return [every[k] for k in permutation(len(every), seed)[:most].tolist()]


def pair_similarities(
    images: np.ndarray, most: int, seed: int, tick: Callable[[], None] = lambda: None
) -> tuple[Tensor, list[int]]:
    """MS-SSIM of at most `most` pairs of brains of a set, how much alike they are; and the first brain of each pair."""
    chosen = pairs(len(images), most, seed)
    found = []
    for i, j in chosen:
        found.append(ms_ssim(images[i], images[j]))
        tick()
    return torch.tensor(found, dtype=torch.float64), [i for i, _ in chosen]


def histograms(images: np.ndarray) -> Tensor:
    """Shares of the voxels of each brain in 64 bins of intensity up to 1.5, background left out; float64 [N, 64]."""
    edges = np.linspace(0, 256, BINS + 1)
    counts = np.stack([np.histogram(image[image > 0], edges)[0] for image in images]).astype(float)
    return torch.from_numpy(counts / np.maximum(counts.sum(1, keepdims=True), 1))


def histogram_distance(a: Tensor, b: Tensor) -> float:
    """Sum of |p - q| of the mean histograms: 0 for equal ones, 2 for histograms that share no bin."""
    return float((a.mean(0) - b.mean(0)).abs().sum())


def spectra(images: np.ndarray) -> Tensor:
    """log10 of the power of each brain in 24 shells of spatial frequency, 0 to 0.25 cycles/mm; float64 [N, 24]."""
    shape = images.shape[1:]
    frequency = torch.stack(torch.meshgrid(*[torch.fft.fftfreq(n) for n in shape], indexing="ij")).norm(dim=0)
    shell = (frequency / 0.5 * SHELLS).long().clamp(max=SHELLS)  # the corners beyond go to a shell of their own
    count = torch.bincount(shell.flatten(), minlength=SHELLS + 1)
    found = []
    for image in images:
        power = torch.fft.fftn(torch.from_numpy(image).float() * STEP).abs().square()
        total = torch.zeros(SHELLS + 1).index_add_(0, shell.flatten(), power.flatten())
        found.append((total / count)[:SHELLS].clamp_min(1e-12).log10())
    return torch.stack(found).double()


def spectrum_distance(a: Tensor, b: Tensor) -> float:
    """Mean over the shells of the absolute difference of mean log10 power: 0.3 is power wrong by a factor of two.

    Grain shows as too much at the high end, lost folds as too little.
    """
    return float((a.mean(0) - b.mean(0)).abs().mean())


def pixels(images: np.ndarray, mirrored: bool = False) -> Tensor:
    """Each brain smoothed at 8 mm, as one row of values, float64 [N, voxels]; `mirrored`: their mirror images."""
    maps = blur(coarse(images)[:, None])[:, 0]
    return (maps.flip(1) if mirrored else maps).flatten(1).double()


def principal(train: Tensor, *others: Tensor, components: int = 16) -> Sequence[Tensor]:
    """Scores of rows on the principal components of `train`, `train`'s first; at most N - 1 components."""
    mean = train.mean(0)
    _, values, axes = torch.linalg.svd(train - mean, full_matrices=False)
    keep = min(components, len(train) - 1)
    scale = values[0] / (len(train) - 1) ** 0.5
    return [(x - mean) @ axes[:keep].T / scale for x in (train, *others)]
