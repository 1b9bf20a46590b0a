"""Age read from a brain, by ridge regression: independent of the encoder, and of what conditions the generator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..segmentation.segment import blur
from ..segmentation.tissues import GREY, VENTRICLES, WHITE
from .encoder import coarse

PENALTIES = 10.0 ** np.arange(-3, 3.1, 0.5)  # of the mean squared feature


def anatomy(tissues: np.ndarray) -> Tensor:
    """What age is read from, float64 [N, 3 * voxels]: how much grey matter, white matter and ventricle lies where, at
    8 mm, smoothed, the two sides averaged. No intensities: another scanner's contrast is no sign of age."""
    maps = [coarse(((tissues == label) * np.uint8(170)).astype(np.uint8)) for label in (GREY, WHITE, VENTRICLES)]
    smooth = [blur(m[:, None])[:, 0] for m in maps]
    return torch.stack([(m + m.flip(1)) / 2 for m in smooth], 1).flatten(1).double()


@dataclass(frozen=True)
class AgeRegression:
    """age = centre + (x - mean) . weight, years; `penalty` chosen and `errors` [N] found by leaving one out."""

    mean: Tensor
    weight: Tensor
    centre: float
    penalty: float
    errors: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Years [n] of features [n, d]."""
        return self.centre + (x - self.mean.double()) @ self.weight.double()


def fit_ages(x: Tensor, ages: Tensor) -> AgeRegression:
    """Ridge regression of ages [N] on features [N, d], N much smaller than d, so in its dual form.

    The penalty with the smallest squared error of the left-out: residual_i / (1 - H_ii), exactly, H the hat matrix
    (Hastie et al. 2009, eq. 7.64), with the mean as one more fitted parameter.
    """
    mean, centre = x.mean(0), float(ages.mean())
    rows, target = x - mean, ages.double() - centre
    gram = rows @ rows.T
    values, vectors = torch.linalg.eigh(gram)
    best: AgeRegression | None = None
    for share in PENALTIES:
        penalty = share * float(values.mean())
        inverse = (vectors / (values.clamp_min(0) + penalty)) @ vectors.T
        hat = gram @ inverse + 1 / len(x)
        errors = (target - (gram @ inverse) @ target) / (1 - hat.diagonal())
        if best is None or errors.square().mean() < best.errors.square().mean():
            best = AgeRegression(mean, rows.T @ (inverse @ target), centre, float(penalty), errors)
    assert best is not None
    return best
