"""One residual perceptron for all columns."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from diffx.condition import Condition

EMBEDDING = 8


class TableNet(nn.Module):
    """Numbers and embedded categories of a row in, the same columns' raw predictions out.

    Args:
        numbers: N.
        categories: C, each a token of ``tokens`` values in the input, ``levels`` logits in the output.
        width: of the residual blocks.
        depth: number of residual blocks.
        vector: width of ``Condition.vector``, 0 for none.
    """

    frequencies: Tensor
    offsets: Tensor

    def __init__(
        self, numbers: int, categories: int, tokens: int, levels: int, width: int = 256, depth: int = 3, vector: int = 0
    ):
        super().__init__()
        self.numbers, self.categories, self.levels = numbers, categories, levels
        leaves = bool(numbers) + bool(categories)
        self.register_buffer("frequencies", math.pi * 2.0 ** torch.arange(-2, 5), persistent=False)
        self.register_buffer("offsets", tokens * torch.arange(categories), persistent=False)
        self.embedding = nn.Embedding(max(categories * tokens, 1), EMBEDDING)
        self.told = nn.Sequential(nn.Linear(14 * leaves + vector, width), nn.SiLU(), nn.Linear(width, width))
        self.first = nn.Linear(numbers + EMBEDDING * categories, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(depth)
        )
        last = nn.Linear(width, numbers + categories * levels)
        nn.init.zeros_(last.weight)  # a silent network is the Wiener estimate of numbers, and all levels alike
        nn.init.zeros_(last.bias)
        self.last = nn.Sequential(nn.LayerNorm(width), last)

    def forward(
        self, x: Mapping[str, Tensor], level: Mapping[str, Tensor], condition: Condition | None = None
    ) -> dict[str, Tensor]:
        """{"numbers": [B, N], "categories": [B, C] int64}, {leaf: [B]} -> {"numbers": [B, N], "categories": [B, C, K]};
        a leaf that the table lacks is in neither."""
        angles = [at[:, None] * self.frequencies for at in level.values()]
        told = [wave for angle in angles for wave in (angle.sin(), angle.cos())]
        if condition is not None and condition.vector is not None:
            told.append(condition.vector)
        inputs = [x["numbers"]] if self.numbers else []
        if self.categories:
            inputs.append(self.embedding(x["categories"] + self.offsets).flatten(1))
        context, h = self.told(torch.cat(told, 1)), self.first(torch.cat(inputs, 1))
        for block in self.blocks:
            h = h + block(h + context)
        numbers, logits = self.last(h).split([self.numbers, self.categories * self.levels], 1)
        out = {"numbers": numbers, "categories": logits.view(len(h), self.categories, self.levels)}
        return {name: out[name] for name in x}
