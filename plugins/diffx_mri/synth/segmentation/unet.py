"""The segmenter's network: the plain U-Net of MONAI (`monai.networks.nets.UNet` without residual units), spelt out.

Names and order of the parameters are MONAI's, so that weights of either load into the other; importing it would cost
every `task=sample` three seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015), [B, inputs, X, Y, Z] -> [B, outputs, X, Y, Z]; sides multiples of 2^(levels-1).

    Each level is a convolution of stride 2, what lies below, and a transposed convolution; the last level has neither.
    """

    def __init__(self, inputs: int, outputs: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.model = _level(inputs, outputs, channels, top=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def _level(inputs: int, outputs: int, channels: Sequence[int], top: bool = False) -> nn.Sequential:
    width, *below = channels
    under: nn.Module
    if len(below) == 1:
        under, made = _Layer(nn.Conv3d(width, below[0], 3, 1, 1), below[0]), below[0]
    else:
        under, made = _level(width, width, below), width
    down = _Layer(nn.Conv3d(inputs, width, 3, 2, 1), width)
    up = nn.ConvTranspose3d(width + made, outputs, 3, 2, 1, output_padding=1)
    return nn.Sequential(down, _Skip(under), _Layer(up, None if top else outputs))


class _Skip(nn.Module):
    """What comes in beside what a module makes of it."""

    def __init__(self, submodule: nn.Module) -> None:
        super().__init__()
        self.submodule = submodule

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.submodule(x)], 1)


class _Layer(nn.Module):
    """A convolution, then instance normalisation and PReLU unless `width` is None."""

    def __init__(self, conv: nn.Module, width: int | None) -> None:
        super().__init__()
        self.conv = conv
        self.adn = nn.Sequential() if width is None else _Activation(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.adn(self.conv(x))


class _Activation(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.N, self.A = nn.InstanceNorm3d(width), nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.A(self.N(x))
