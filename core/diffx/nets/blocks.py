"""Blocks shared by the networks; each works in one, two and three spatial dimensions."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_CONV_FUNCTION = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def zero(module: nn.Module) -> nn.Module:
    """The module with its parameters at zero, so that a residual branch starts as the identity."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm with groups of at least 4 channels, 32 groups at the most (Wu and He 2018)."""
    groups = next(g for g in range(min(32, max(channels // 4, 1)), 0, -1) if channels % g == 0)
    return nn.GroupNorm(groups, channels)


class LevelEmbedding(nn.Module):
    """Noise level [B] -> [B, dim]: random-phase-free Fourier features and a two-layer MLP."""

    frequencies: Tensor

    def __init__(self, dim: int, features: int = 64, fastest: float = 64.0):
        super().__init__()
        frequencies = torch.exp(torch.linspace(math.log(0.25), math.log(fastest), features // 2))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.mix = nn.Sequential(nn.Linear(features, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, level: Tensor) -> Tensor:
        waves = level.float()[:, None] * self.frequencies
        return self.mix(torch.cat([waves.sin(), waves.cos()], dim=1))


class ResBlock(nn.Module):
    """Two convolutions with adaptive group normalisation (AdaGN; Dhariwal and Nichol 2021, sec. 3).

    The embedding sets scale and shift of the second normalisation; the second convolution starts at zero.
    """

    def __init__(self, dims: int, in_channels: int, out_channels: int, embedding: int):
        super().__init__()
        conv = CONV[dims]
        self.norm1, self.norm2 = group_norm(in_channels), group_norm(out_channels)
        self.conv1 = conv(in_channels, out_channels, 3, padding=1)
        self.conv2 = zero(conv(out_channels, out_channels, 3, padding=1))
        self.modulate = zero(nn.Linear(embedding, 2 * out_channels))
        self.skip = conv(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.modulate(embedding).view(x.shape[0], -1, *(1,) * (x.ndim - 2)).chunk(2, dim=1)
        h = torch.addcmul(shift, self.norm2(h), scale + 1)
        return self.skip(x) + self.conv2(F.silu(h))


class Attention(nn.Module):
    """Multi-head attention over positions, or from positions to tokens, with normalised queries and keys.

    QK normalisation (Henry et al. 2020) keeps the logits bounded in low precision.
    """

    def __init__(self, channels: int, context: int | None = None, head: int = 32):
        super().__init__()
        self.heads = next(h for h in range(max(channels // head, 1), 0, -1) if channels % h == 0)
        self.norm = group_norm(channels)
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(context or channels, 2 * channels)
        self.out = zero(nn.Linear(channels, channels))
        self.temperature = nn.Parameter(torch.full((self.heads, 1, 1), math.sqrt(channels // self.heads)))

    def forward(self, x: Tensor, tokens: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """x [B, C, *S]; tokens [B, L, E] and mask [B, L] (True: attend) for cross-attention -> [B, C, *S]."""
        positions = self.norm(x).flatten(2).transpose(1, 2)
        source = positions if tokens is None else tokens

        def split(y: Tensor) -> Tensor:
            return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        query = split(self.query(positions))
        key, value = (split(y) for y in self.key_value(source).chunk(2, dim=-1))
        query = F.normalize(query.float(), dim=-1) * self.temperature
        key = F.normalize(key.float(), dim=-1)
        bias = None if mask is None else mask[:, None, None, :]
        y = F.scaled_dot_product_attention(query.to(value.dtype), key.to(value.dtype), value, attn_mask=bias, scale=1.0)
        y = self.out(y.transpose(1, 2).flatten(2))
        return x + y.transpose(1, 2).view(x.shape)


class Downsample(nn.Module):
    """Strided convolution that halves every axis (rounding up) longer than 3; short axes are left alone."""

    def __init__(self, dims: int, channels: int):
        super().__init__()
        self.conv = CONV[dims](channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        stride = [2 if n > 3 else 1 for n in x.shape[2:]]
        return _CONV_FUNCTION[x.ndim - 2](x, self.conv.weight, self.conv.bias, stride=stride, padding=1)


class Upsample(nn.Module):
    """Nearest-neighbour interpolation to the size of the skip connection, then a convolution."""

    def __init__(self, dims: int, channels: int, out_channels: int):
        super().__init__()
        self.conv = CONV[dims](channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        return self.conv(F.interpolate(x, size=size, mode="nearest"))
