"""What the network is told of each frame: how far it lies from the onset and from the end of the sound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffx.condition import Condition, Conditioner, is_missing

__all__ = ["Frames", "timing"]

CHANNELS = 3
_ATTACK = 0.05  # s; times are told on a logarithmic scale above this


def timing(frames: int, step: float, total: float, start: float = 0.0) -> Tensor:
    """[3, T]: time since the onset, time to the end, whether it sounds.

    Times are log(1 + s / 0.05) / 2, those before the onset and beyond the end negative.

    Args:
        frames: T.
        step: seconds from frame to frame.
        total: seconds from the onset to the end of the sound.
        start: seconds from the onset to the first frame.
    """
    seconds = start + np.arange(frames) * step
    left = total - seconds
    rows = [np.sign(t) * np.log1p(np.abs(t) / _ATTACK) / 2 for t in (seconds, left)]
    rows.append(((seconds >= 0) & (left > 0)).astype(float))
    return torch.from_numpy(np.stack(rows).astype(np.float32))


class Frames(Conditioner):
    """:func:`timing`, beside the state; 0 where it is not known, with a last channel that says whether it is.

    Args:
        shape: T of a missing one.
    """

    kind = "spatial"

    def __init__(self, shape: Sequence[int]):
        super().__init__(CHANNELS + 1)
        self.shape = tuple(shape)

    def parse(self, value: Any) -> Tensor:
        """[3, T]; all NaN for a missing one."""
        if is_missing(value):
            return torch.full((CHANNELS, *self.shape), math.nan)
        values = torch.as_tensor(value, dtype=torch.float32)
        if values.ndim != 2 or len(values) != CHANNELS:
            raise ValueError(f"expected the timing of frames [{CHANNELS}, T], not of shape {list(values.shape)}")
        return values

    def forward(self, values: Tensor) -> Condition:
        """[B, 3, T] -> spatial [B, 4, T]."""
        known = (~values[:, :1].isnan()).to(values.dtype)
        return Condition(spatial=torch.cat([values.nan_to_num(0.0), known], dim=1))
