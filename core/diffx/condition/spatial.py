"""Fields that lie over the state, element by element: a signal, an image, a volume, a mask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from diffx.condition.base import Condition, Conditioner, is_missing
from diffx.noise import Noise


class Spatial(Conditioner):
    """A map [channels, *S] on the grid of the state, concatenated to it.

    NaN in it is a gap. For every channel the network gets the values, 0 in gaps, and where they are known (1) and
    where not (0). A map that is missing, or nothing but gaps, is a constant learned for that purpose.

    With ``augment`` > 0 the network sees the map through noise, sqrt(1 - s^2) map + s eps, and is told s in one more
    channel: s is uniform in [0, augment] in training and ``level`` otherwise. So the second stage of a cascade, which
    is trained on real low-resolution maps, forgives what the first stage does wrong (noise-conditioning augmentation;
    Ho et al. 2022, "Cascaded diffusion models", sec. 4). The map should be scaled to about unit variance then.

    Args:
        channels: of the map.
        shape: *S of a missing map: that of the state. A given map may have any, as the network allows.
        augment: largest share of noise in training, 0 to 1; 0: the map is seen as it is.
        level: share of noise outside training, 0 to ``augment``; it may be set between samples.

    Raises:
        ValueError: not 0 <= level <= augment <= 1.
    """

    kind = "spatial"

    def __init__(self, channels: int, shape: Sequence[int], augment: float = 0.0, level: float = 0.0):
        super().__init__(2 * channels + bool(augment))
        if not 0 <= level <= augment <= 1:
            raise ValueError(f"the noise in a map needs 0 <= level <= augment <= 1, not {level} and {augment}")
        self.channels, self.shape = channels, tuple(shape)
        self.most, self.level = augment, level
        self.missing = nn.Parameter(torch.randn(self.width) * 0.02)

    def parse(self, value: Any) -> Tensor:
        """[channels, *S]; all NaN for a missing one."""
        if is_missing(value):
            return torch.full((self.channels, *self.shape), math.nan)
        values = torch.as_tensor(value, dtype=torch.float32)
        if values.ndim != 1 + len(self.shape) or values.shape[0] != self.channels:
            sizes = ", ".join(map(str, (self.channels, *self.shape)))
            raise ValueError(f"expected a map like [{sizes}], not of shape {list(values.shape)}")
        if values.isinf().any():
            raise ValueError("the map is infinite in places; NaN marks a gap")
        return values

    def collate(self, values: Sequence[Tensor]) -> Tensor:
        """[B, channels, *S]; a missing map takes the size of the others. ValueError where sizes differ."""
        given = [value for value in values if not value.isnan().all()]
        shapes = sorted({tuple(value.shape) for value in given})
        if len(shapes) > 1:
            raise ValueError(f"the maps of one batch have one size, not {' and '.join(map(str, shapes))}")
        nothing = torch.full_like(given[0] if given else values[0], math.nan)
        return torch.stack([nothing if value.isnan().all() else value for value in values])

    def augment(self, values: Tensor, noise: Noise) -> Tensor:
        """[B, channels, *S] -> [B, channels + 1, *S]: the map through noise, and its share s in the last channel."""
        if not self.most:
            return values
        column = (len(values),) + (1,) * (values.ndim - 1)
        share = noise["level"].uniform(1) * self.most if self.training else torch.full((len(values), 1), self.level)
        share = share.to(values.device).view(column)
        eps = noise["eps"].normal(*values.shape[1:]).to(values.device)
        seen = (1 - share.square()).sqrt() * values + share * eps
        return torch.cat([seen, share.expand(-1, 1, *values.shape[2:])], dim=1)

    def forward(self, values: Tensor) -> Condition:
        """[B, channels, *S], or what ``augment`` made of it -> spatial [B, width, *S]."""
        seen, share = values[:, : self.channels], values[:, self.channels :]
        gap = seen.isnan()
        parts = [seen.masked_fill(gap, 0.0), (~gap).to(seen.dtype)]
        if self.most:
            parts.append(share.nan_to_num(0.0) if share.shape[1] else torch.zeros_like(seen[:, :1]))
        absent = gap.flatten(1).all(1).view((-1,) + (1,) * (values.ndim - 1))
        constant = self.missing.view((1, -1) + (1,) * (values.ndim - 2))
        return Condition(spatial=torch.where(absent, constant, torch.cat(parts, dim=1)))
