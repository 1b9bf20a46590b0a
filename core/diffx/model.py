"""What is trained, saved and sampled: a denoiser with its conditioning."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from diffx.condition import Conditioning
from diffx.predict import Denoiser


class Model(nn.Module):
    """A denoiser and the conditioning that feeds it, as one module so that one checkpoint holds both."""

    def __init__(self, denoiser: Denoiser, conditioning: Conditioning):
        super().__init__()
        self.denoiser, self.conditioning = denoiser, conditioning

    def forward(self, x: Tensor, t: float | np.ndarray, numbers: Tensor) -> Tensor:
        """x_t [B, ...], host times, condition numbers [B, F] (NaN: missing) -> x_0-hat [B, ...]."""
        return self.denoiser(x, t, self.conditioning(numbers))
