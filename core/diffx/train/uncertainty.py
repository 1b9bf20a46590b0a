"""Noise levels weighted by how well each is predicted, learned along with the network."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Uncertainty(nn.Module):
    """u(level), the logarithm of the loss that is to be expected at a noise level.

    The network is trained on loss / e^u + u (Kendall, Gal and Cipolla 2018; Karras et al. 2024, eq. 21): where u is
    best, at log E[loss | level], every level pulls on the weights equally hard. u is a linear map of fixed features,
    as there; they are cosines cos(pi k v) of the uniform variate v in (0, 1) that sets the level, so that it serves
    any process, mixed ones too. It starts at 0, where the objective is the loss itself.

    Args:
        features: number of cosines.
        gain: multiplies the map. Adam moves each weight by about the learning rate a step, and u has further to go
            than the weights of a network.
    """

    orders: Tensor

    def __init__(self, features: int = 16, gain: float = 10.0):
        super().__init__()
        self.gain = gain
        self.register_buffer("orders", math.pi * torch.arange(features), persistent=False)
        self.weight = nn.Parameter(torch.zeros(features))

    def forward(self, uniform: Tensor) -> Tensor:
        """Uniform variates [B] -> u [B]."""
        waves = (uniform.to(self.orders)[:, None] * self.orders).cos()
        return self.gain * (waves @ self.weight)

    def weigh(self, loss: Tensor, uniform: Tensor) -> Tensor:
        """loss [B] -> loss / e^u + u [B]."""
        level = self(uniform)
        return loss * (-level).exp() + level
