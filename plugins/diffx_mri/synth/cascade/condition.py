"""What a stage is told: the coarse volume through noise, where each voxel lies, age and sex."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from diffx.condition import Condition, Conditioner, is_missing
from diffx.noise import Noise

from .place import enlarged

WIDTH = 4  # of the vector: noise in the coarse volume; age, sex; whether the age is known
MOST = 0.055  # largest deviation of that noise in training; 1.0 is the 99th percentile of a brain
_CLEAN = 0.15  # share of crops whose coarse volume has none
_GREY = 0.5  # the intensity that is 1 to the network
_HARMONICS = (1, 2)  # of the coordinates: a whole brain is one period, and two


def _slot(number: int) -> Tensor:
    return torch.eye(WIDTH)[number]


def _map(value: Any, channels: int) -> Tensor:
    if is_missing(value):
        raise ValueError("a stage cannot do without it")
    found = torch.as_tensor(value, dtype=torch.float32)
    if found.ndim != 4 or len(found) != channels:
        raise ValueError(f"expected a map of shape [{channels}, X, Y, Z], not {list(found.shape)}")
    return found


class Coarse(Conditioner):
    """The volume [1, X / 2 + 2, ...] that is refined, with a margin of one coarse voxel for its interpolation.

    The network sees it through noise of a deviation that it is told, uniform up to 0.055 in training: so it forgives
    what the stage before does wrong (noise-conditioning augmentation; Ho et al. 2022, sec. 4).

    Args:
        level: deviation of that noise outside training.
    """

    kind = "spatial"
    slot: Tensor

    def __init__(self, level: float = 0.0):
        super().__init__(1)
        self.level = level
        self.register_buffer("slot", _slot(0), persistent=False)

    def parse(self, value: Any) -> Tensor:
        """[1, X, Y, Z]. ValueError for a missing one."""
        return _map(value, 1)

    def augment(self, values: Tensor, noise: Noise) -> Tensor:
        """[B, 1, X, Y, Z] -> [B, 2, X, Y, Z]: the volume through noise, and the deviation of that."""
        deviation = torch.full((len(values), 1), self.level)
        if self.training:
            some, size = noise["level"].uniform(2).chunk(2, 1)
            deviation = torch.where(some < _CLEAN, torch.zeros_like(size), size * MOST)
        deviation = deviation.view(-1, 1, 1, 1, 1)
        seen = values + deviation * noise["eps"].normal(*values.shape[1:])
        return torch.cat([seen, deviation.expand_as(values)], 1)

    def forward(self, values: Tensor) -> Condition:
        """[B, 2, X, Y, Z] -> spatial [B, 1, 2 (X - 2), ...] and the vector's slot."""
        seen, deviation = enlarged(values[:, :1]), values[:, 1, 0, 0, 0]
        inner = (slice(2, -2),) * 3
        return Condition(vector=self.slot * deviation[:, None] / MOST, spatial=seen[:, :, *inner] / _GREY)


class Place(Conditioner):
    """Coordinates [3, *S] in the brain (`place.coordinates`), and their sines and cosines."""

    kind = "spatial"

    def __init__(self) -> None:
        super().__init__(3 * (1 + 2 * len(_HARMONICS)))

    def parse(self, value: Any) -> Tensor:
        """[3, *S]. ValueError for a missing one."""
        return _map(value, 3)

    def forward(self, values: Tensor) -> Condition:
        """[B, 3, *S] -> spatial [B, 15, *S]."""
        waves = [wave(math.pi * k * values) for k in _HARMONICS for wave in (torch.sin, torch.cos)]
        return Condition(spatial=torch.cat([values, *waves], 1))


class _Fact(Conditioner):
    """A number in a slot of the vector; a missing one is 0."""

    kind = "vector"
    slot: Tensor

    def __init__(self, number: int):
        super().__init__(WIDTH)
        self.register_buffer("slot", _slot(number), persistent=False)

    def forward(self, values: Tensor) -> Condition:
        """[B], NaN where it is not known -> vector [B, 4]."""
        return Condition(vector=self.slot * values.nan_to_num(0.0)[:, None])


class Age(_Fact):
    """Years in decades and a half from 50, and whether they are known.

    Args:
        low: youngest age that can be told.
        high: oldest one.
    """

    known: Tensor

    def __init__(self, low: float, high: float):
        super().__init__(1)
        self.low, self.high = low, high
        self.register_buffer("known", _slot(3), persistent=False)

    def parse(self, value: Any) -> Tensor:
        """[]; ValueError for an age out of range."""
        if is_missing(value):
            return torch.tensor(math.nan)
        if not self.low <= float(value) <= self.high:
            raise ValueError(f"{float(value):g} is outside {self.low:g} to {self.high:g}")
        return torch.tensor((float(value) - 50) / 16)

    def forward(self, values: Tensor) -> Condition:
        """[B], NaN where it is not known -> vector [B, 4]."""
        known = (~values.isnan()).to(self.known)[:, None] * self.known
        return Condition(vector=self.slot * values.nan_to_num(0.0)[:, None] + known)


class Sex(_Fact):
    """Sex, "F" or "M"."""

    def __init__(self) -> None:
        super().__init__(2)

    def parse(self, value: Any) -> Tensor:
        """[]; ValueError for anything else."""
        if is_missing(value):
            return torch.tensor(math.nan)
        if value not in ("F", "M"):
            raise ValueError(f"{value!r} is neither F nor M")
        return torch.tensor(1.0 if value == "M" else -1.0)
