"""Gaussian noise on the power of appliances, some of which is not known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from diffx.noise import Noise
from diffx.process import Gaussian, Noisy


@dataclass(frozen=True)
class PartlyKnown(Gaussian):
    """A Gaussian process whose clean state may be NaN in places: it costs nothing there, and nothing is to be seen.

    Houses meter different appliances. What one did not meter is neither on nor off, so nothing may be learnt of it: not
    even that what else is in the mains goes with an appliance that is off, which is what 0 in its place would say.

    Args:
        shares: weight of each channel in the loss; () is 1 for all.
    """

    shares: tuple[float, ...] = ()

    @classmethod
    def of(cls, process: Gaussian, shares: Sequence[float] = ()) -> PartlyKnown:
        """The same process, for states of which some is not known."""
        return cls(**{field.name: getattr(process, field.name) for field in fields(process)}, shares=tuple(shares))

    def corrupt(self, x0: Tensor, t: np.ndarray, noise: Noise) -> Noisy:
        """Noise x0 [B, ...] to times t. What is not known (NaN) is white noise as strong as the data, and stays NaN in
        the target."""
        unknown = x0.isnan()
        white = self.sigma_data * noise["unknown"].normal(*x0.shape[1:])
        return replace(super().corrupt(x0.where(~unknown, white), t, noise), target=x0)

    def loss(self, prediction: Tensor, noisy: Noisy) -> Tensor:
        """Weighted mean squared error over the known elements of each sample, [B]; 0 where none is."""
        known = noisy.target.isfinite()
        square = (prediction.float() - noisy.target.nan_to_num(nan=0.0)).square() * known
        if self.shares:
            square = square * torch.tensor(self.shares, device=square.device)[:, None]
        return noisy.weight * square.flatten(1).sum(1) / known.flatten(1).sum(1).clamp(min=1)
