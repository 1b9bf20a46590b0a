"""Fields that are a quantity: an age, a temperature."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from diffx.condition.base import Vector, is_missing


class Scalar(Vector):
    """A quantity in [low, high], by Fourier features of its position in that range (Tancik et al. 2020).

    Args:
        low: least value that is accepted.
        high: greatest value that is accepted.
        dim: width of the vector.
        octaves: number of frequencies, each twice the one before.

    Raises:
        ValueError: low is not below high.
    """

    frequencies: Tensor

    def __init__(self, low: float, high: float, dim: int = 64, octaves: int = 4):
        super().__init__(dim)
        if not low < high:
            raise ValueError(f"a range needs low < high, not [{low}, {high}]")
        self.low, self.high = low, high
        self.register_buffer("frequencies", math.pi * 2.0 ** torch.arange(octaves), persistent=False)
        self.mix = nn.Sequential(nn.Linear(1 + 2 * octaves, dim), nn.SiLU(), nn.Linear(dim, dim))

    def parse(self, value: object) -> Tensor:
        """The number itself, []."""
        if is_missing(value):
            return torch.tensor(math.nan)
        number = float(value)  # type: ignore[arg-type]
        if not (math.isnan(number) or self.low <= number <= self.high):
            raise ValueError(f"{number:g} is outside {self.low:g} to {self.high:g}")
        return torch.tensor(number, dtype=torch.float32)

    def embed(self, values: Tensor) -> Tensor:
        """Numbers [B] -> [B, dim]."""
        unit = (2 * (values - self.low) / (self.high - self.low) - 1)[:, None]
        waves = unit / 2 * self.frequencies
        return self.mix(torch.cat([unit, waves.sin(), waves.cos()], dim=1))
