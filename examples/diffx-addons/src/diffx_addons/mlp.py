"""A network takes the scaled state, the noise level and the condition, and returns something of the state's shape."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from diffx.condition import Condition, Conditioning
from diffx.data.spec import Spec


class MLP(nn.Module):
    """A residual perceptron over the flattened state: for small states whose positions all mean something else.

    Args:
        size: numbers in a state.
        width: of the hidden layers.
        depth: number of hidden layers.
        vector: width of ``Condition.vector``, 0 for none.
    """

    frequencies: Tensor

    def __init__(self, size: int, width: int = 256, depth: int = 4, vector: int = 0):
        super().__init__()
        self.register_buffer("frequencies", math.pi * 2.0 ** torch.arange(-2, 6), persistent=False)
        self.told = nn.Sequential(nn.Linear(16 + vector, width), nn.SiLU(), nn.Linear(width, width))
        self.first, self.last = nn.Linear(size, width), nn.Linear(width, size)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(depth)
        )

    def forward(self, x: Tensor, level: Tensor, condition: Condition) -> Tensor:
        """x [B, C, *S], level [B] = log(sigma/alpha) / 4, condition -> [B, C, *S]."""
        angle = level[:, None] * self.frequencies
        told = [angle.sin(), angle.cos(), *([] if condition.vector is None else [condition.vector])]
        context = self.told(torch.cat(told, dim=1))
        h = self.first(x.flatten(1))
        for block in self.blocks:
            h = h + block(h + context)
        return self.last(h).view_as(x)


def mlp(cfg: Any, spec: Spec, conditioning: Conditioning) -> MLP:
    """`net.name=mlp`, of `net.width` and `net.depth`, for a state that is one tensor [C, *S]."""
    if conditioning.tokens or conditioning.spatial:
        raise ValueError("net.name=mlp takes numbers and labels as conditions, not token sequences or maps")
    return MLP(spec.channels * math.prod(spec.size), cfg.net.width, cfg.net.depth, conditioning.vector)
