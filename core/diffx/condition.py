"""Conditioners: from a plugin's named fields to what a network understands.

A field that is missing (None, NaN) is an embedding learned for that purpose, so a record without an age still trains
the network and a user may leave it out; guidance drops fields to the same embedding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Condition:
    """What a network is told, for a batch of B.

    ``vector`` [B, D] modulates every block, ``tokens`` [B, L, E] with ``tokens_mask`` [B, L] (True: attend) go to
    cross-attention, ``spatial`` [B, C, *S] is concatenated to the state.
    """

    vector: Tensor | None = None
    tokens: Tensor | None = None
    tokens_mask: Tensor | None = None
    spatial: Tensor | None = None

    def __getitem__(self, index: slice | Tensor) -> Condition:
        """A part of the batch."""
        return Condition(*(None if (v := getattr(self, f.name)) is None else v[index] for f in fields(self)))


class Conditioner(nn.Module):
    """One field. ``parse`` gives the number that stands for a value (NaN when missing), ``forward`` embeds a batch."""

    def parse(self, value: object) -> float:
        """The number that stands for ``value``; NaN for a missing one. ValueError says what would be accepted."""
        raise NotImplementedError

    def embed(self, values: Tensor) -> Tensor:
        """Numbers [B] without NaN -> [B, dim]."""
        raise NotImplementedError

    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim
        self.missing = nn.Parameter(torch.randn(dim) * 0.02)

    def forward(self, values: Tensor) -> Tensor:
        """Numbers [B], NaN where missing -> [B, dim]."""
        absent = values.isnan()
        return torch.where(absent[:, None], self.missing, self.embed(values.nan_to_num(0.0)))


class Number(Conditioner):
    """A quantity in [low, high], by Fourier features of its position in that range (Tancik et al. 2020)."""

    frequencies: Tensor

    def __init__(self, low: float, high: float, dim: int = 64, octaves: int = 4):
        super().__init__(dim)
        if not low < high:
            raise ValueError(f"a range needs low < high, not [{low}, {high}]")
        self.low, self.high = low, high
        self.register_buffer("frequencies", math.pi * 2.0 ** torch.arange(octaves), persistent=False)
        self.mix = nn.Sequential(nn.Linear(1 + 2 * octaves, dim), nn.SiLU(), nn.Linear(dim, dim))

    def parse(self, value: object) -> float:
        if value is None:
            return math.nan
        number = float(value)  # type: ignore[arg-type]
        if not (math.isnan(number) or self.low <= number <= self.high):
            raise ValueError(f"{number:g} is outside {self.low:g} to {self.high:g}")
        return number

    def embed(self, values: Tensor) -> Tensor:
        unit = (2 * (values - self.low) / (self.high - self.low) - 1)[:, None]
        waves = unit / 2 * self.frequencies
        return self.mix(torch.cat([unit, waves.sin(), waves.cos()], dim=1))


class Label(Conditioner):
    """One of a set of names, by a learned embedding."""

    def __init__(self, names: Sequence[str], dim: int = 64):
        super().__init__(dim)
        self.names = tuple(names)
        self.table = nn.Embedding(len(self.names), dim)

    def parse(self, value: object) -> float:
        if value is None or value != value:
            return math.nan
        if value not in self.names:
            raise ValueError(f"{value!r} is none of {', '.join(self.names)}")
        return float(self.names.index(str(value)))

    def embed(self, values: Tensor) -> Tensor:
        return self.table(values.long())


class Conditioning(nn.Module):
    """All fields of a plugin, summed into ``Condition.vector`` [B, dim]."""

    def __init__(self, conditioners: Mapping[str, Conditioner]):
        super().__init__()
        self.fields = nn.ModuleDict(conditioners)
        dims = {c.dim for c in conditioners.values()}
        if len(dims) > 1:
            raise ValueError(f"the conditioners of one network share one dimension, not {sorted(dims)}")
        self.dim = dims.pop() if dims else 0

    def parse(self, record: Mapping[str, object]) -> Tensor:
        """One record -> numbers [F], NaN where a field is missing. ValueError names the field."""
        unknown = set(record) - set(self.fields)
        if unknown:
            raise ValueError(f"unknown condition {', '.join(sorted(unknown))}; known: {', '.join(self.fields)}")
        numbers = []
        for name, conditioner in self.fields.items():
            try:
                numbers.append(conditioner.parse(record.get(name)))  # type: ignore[operator]
            except (TypeError, ValueError) as error:
                raise ValueError(f"{name}: {error}") from None
        return torch.tensor(numbers, dtype=torch.float32)

    def forward(self, numbers: Tensor) -> Condition:
        """Numbers [B, F] -> condition."""
        if not len(self.fields):
            return Condition()
        device = next(self.parameters()).device
        columns = numbers.to(device).unbind(1)
        return Condition(
            vector=torch.stack([field(c) for field, c in zip(self.fields.values(), columns, strict=True)]).sum(0)
        )

    def null(self, n: int) -> Condition:
        """The condition of n samples about which nothing is said."""
        return self(torch.full((n, len(self.fields)), math.nan))


def drop(numbers: Tensor, uniform: Tensor, probability: float) -> Tensor:
    """Forget fields for classifier-free guidance (Ho and Salimans 2022).

    Args:
        numbers: [B, F]. uniform: variates [B, F + 1] in (0, 1): one a field, the last for all at once.
        probability: that all fields are forgotten together, and, where there are several, that one is alone.
    """
    forget = uniform[:, -1:] < probability
    if numbers.shape[1] > 1:
        forget = forget | (uniform[:, :-1] < probability)
    return numbers.masked_fill(forget.to(numbers.device), math.nan)
