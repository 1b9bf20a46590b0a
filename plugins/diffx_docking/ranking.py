"""The network that ranks poses: how likely is each to lie within 2 Å of the truth?"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .descriptors import NAMES

_MOST = 6.0  # standard deviations beyond which a descriptor says no more


class Ranker(nn.Module):
    """Descriptors of poses, [B, told], -> logits [B] of the probability that each lies within 2 Å of the truth.

    A linear model, and a small network beside it for what is not linear. Descriptors depend on distances only, so that
    it does not matter where a complex lies or how it is turned.

    Args:
        hidden: width of the hidden layer.
        dropout: in training, of the hidden layer; half of it of the descriptors.
        told: descriptors.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, hidden: int = 32, dropout: float = 0.2, told: int = len(NAMES)):
        super().__init__()
        self.register_buffer("mean", torch.zeros(told))
        self.register_buffer("scale", torch.ones(told))
        self.linear = nn.Linear(told, 1)
        self.rest = nn.Sequential(
            nn.Dropout(dropout / 2), nn.Linear(told, hidden), nn.SiLU(), nn.Dropout(dropout), nn.Linear(hidden, 1)
        )

    def standardise(self, seen: Tensor) -> None:
        """Take means and deviations from the descriptors [N, told] of the training."""
        self.mean.copy_(seen.mean(0))
        self.scale.copy_(seen.std(0).clamp_min(1e-3))

    def forward(self, told: Tensor) -> Tensor:
        z = ((told - self.mean) / self.scale).clamp(-_MOST, _MOST)
        return (self.linear(z) + self.rest(z))[..., 0]
