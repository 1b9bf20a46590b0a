"""Fields that modulate the whole network: a number, a name."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from diffx.condition.base import Condition, Conditioner, is_missing


class Vector(Conditioner):
    """A field that one number stands for; a missing one is an embedding learned for that purpose."""

    kind = "vector"

    def __init__(self, dim: int):
        super().__init__(dim)
        self.missing = nn.Parameter(torch.randn(dim) * 0.02)

    def embed(self, values: Tensor) -> Tensor:
        """Numbers [B] without NaN -> [B, dim]."""
        raise NotImplementedError

    def forward(self, values: Tensor) -> Condition:
        """Numbers [B], NaN where missing -> vector [B, dim]."""
        absent = values.isnan()
        return Condition(vector=torch.where(absent[:, None], self.missing, self.embed(values.nan_to_num(0.0))))


class Number(Vector):
    """A quantity in [low, high], by Fourier features of its position in that range (Tancik et al. 2020)."""

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
        if value is None:
            return torch.tensor(math.nan)
        number = float(value)  # type: ignore[arg-type]
        if not (math.isnan(number) or self.low <= number <= self.high):
            raise ValueError(f"{number:g} is outside {self.low:g} to {self.high:g}")
        return torch.tensor(number, dtype=torch.float32)

    def embed(self, values: Tensor) -> Tensor:
        unit = (2 * (values - self.low) / (self.high - self.low) - 1)[:, None]
        waves = unit / 2 * self.frequencies
        return self.mix(torch.cat([unit, waves.sin(), waves.cos()], dim=1))


class Label(Vector):
    """One of a set of names, by a learned embedding."""

    def __init__(self, names: Sequence[str], dim: int = 64):
        super().__init__(dim)
        self.names = tuple(names)
        self.table = nn.Embedding(len(self.names), dim)

    def parse(self, value: object) -> Tensor:
        """The position of the name, []."""
        if is_missing(value):
            return torch.tensor(math.nan)
        if value not in self.names:
            raise ValueError(f"{value!r} is none of {', '.join(self.names)}")
        return torch.tensor(float(self.names.index(str(value))))

    def embed(self, values: Tensor) -> Tensor:
        return self.table(values.long())
