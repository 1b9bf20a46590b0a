"""Gaussian noise on parts of which some are not known."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from torch import Tensor

from diffx.noise import Noise
from diffx.process import Gaussian, Noisy


@dataclass(frozen=True)
class PartlyKnown(Gaussian):
    """A Gaussian process whose clean state may be NaN in places: the network sees noise there, and it costs nothing.

    Houses meter different appliances. What one did not meter is neither on nor off, so nothing may be learnt of it.
    """

    @classmethod
    def of(cls, process: Gaussian) -> PartlyKnown:
        """The same process, for states of which some is not known."""
        return cls(**{field.name: getattr(process, field.name) for field in fields(process)})

    def corrupt(self, x0: Tensor, t: np.ndarray, noise: Noise) -> Noisy:
        """Noise x0 [B, ...] to times t, as if what is not known (NaN) were 0; it stays NaN in the target."""
        return replace(super().corrupt(x0.nan_to_num(nan=0.0), t, noise), target=x0)

    def loss(self, prediction: Tensor, noisy: Noisy) -> Tensor:
        """Weighted mean squared error over the known elements of each sample, [B]; 0 where none is."""
        known = noisy.target.isfinite()
        square = (prediction.float() - noisy.target.nan_to_num(nan=0.0)).square() * known
        return noisy.weight * square.flatten(1).sum(1) / known.flatten(1).sum(1).clamp(min=1)
