"""Blocks shared by the networks; each works in one, two and three spatial dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CONV: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
CONV_TRANSPOSE: dict[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_CONV_FUNCTION = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_CONV_TRANSPOSE_FUNCTION = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def zero(module: nn.Module) -> nn.Module:
    """The module with its parameters at zero, so that a residual branch starts as the identity."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm with groups of at least 4 channels, 32 groups at the most (Wu and He 2018)."""
    groups = next(g for g in range(min(32, max(channels // 4, 1)), 0, -1) if channels % g == 0)
    return nn.GroupNorm(groups, channels)


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x), in place where no gradient is asked for; for a freshly computed x."""
    return F.silu(x, inplace=not torch.is_grad_enabled())


def film_norm(norm: nn.GroupNorm, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """(1 + scale) norm(x) + shift for x [B, C, *S], scale and shift [B, C] (FiLM; Perez et al. 2018).

    One pass over memory: the groups of all samples are normalised as those of a single sample of B C channels, whose
    affine parameters are the modulated ones.
    """
    scale = scale + 1
    weight, bias = norm.weight * scale, torch.addcmul(shift, norm.bias, scale)
    groups = x.shape[0] * norm.num_groups
    y = F.group_norm(x.reshape(1, -1, *x.shape[2:]), groups, weight.flatten(), bias.flatten(), norm.eps)
    return y.view(x.shape)


class LevelEmbedding(nn.Module):
    """Noise level [B] -> [B, dim]: Fourier features without random phases, and a two-layer MLP.

    Args:
        dim: width of the embedding.
        features: number of sines and cosines.
        fastest: highest angular frequency; the lowest is 0.25.
    """

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

    Args:
        dims: 1, 2 or 3 spatial dimensions.
        in_channels: of the input.
        out_channels: of the output.
        embedding: width of the embedding.
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
        h = self.conv1(silu(self.norm1(x)))
        scale, shift = self.modulate(embedding).float().chunk(2, dim=1)
        h = self.conv2(silu(film_norm(self.norm2, h, scale, shift)))
        return h.add_(self.skip(x))  # in place: a convolution does not keep its output


def unit(x: Tensor, length: Tensor | float = 1.0) -> Tensor:
    """x / |x| * length along the last axis, the norm in fp32; in x's dtype."""
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
    return x * (length / norm.clamp_min(1e-12)).to(x.dtype)


_FEW = 512  # tokens; on a processor the backward pass of attention to fewer takes longer in bf16, up to six times


def attention(query: Tensor, key: Tensor, value: Tensor, where: Tensor | None = None) -> Tensor:
    """softmax(query key') value, of query [B, H, N, D] and the others [B, H, L, D], in their dtype.

    In between it is fp32 where that is faster. `where`: True where to attend, of a shape that broadcasts to
    [B, H, N, L]; None: everywhere.
    """
    slow = query.dtype is torch.bfloat16 and query.device.type == "cpu" and torch.is_grad_enabled()
    if not slow or key.shape[2] > _FEW:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=where, scale=1.0)
    with torch.autocast("cpu", enabled=False):
        return attention(query.float(), key.float(), value.float(), where).to(query.dtype)


class MultiHead(nn.Module):
    """Multi-head attention between two sets of vectors, with normalised queries and keys.

    softmax(T cos(q, k)) v with a learned temperature T a head. QK normalisation (Henry et al. 2020) keeps the logits
    bounded in low precision.

    Args:
        channels: width of the vectors that ask, and of the result.
        context: width of those that answer; None: as many.
        heads: number of heads.
    """

    def __init__(self, channels: int, context: int | None, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(context or channels, 2 * channels)
        self.out = nn.Linear(channels, channels)
        self.temperature = nn.Parameter(torch.full((heads, 1, 1), math.sqrt(channels // heads)))

    def attend(
        self,
        x: Tensor,
        source: Tensor,
        mask: Tensor | None = None,
        rotate: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Attention of x to source, [B, N, C]; zero of the values where L is 0.

        Args:
            x: [B, N, C].
            source: [B, L, E].
            mask: [B, L], True where to attend; None: everywhere.
            rotate: turns queries and keys [B, H, N, C / H] by their positions.
        """
        query = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key, value = self.key_value(source).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key = unit(query, self.temperature), unit(key)
        if rotate is not None:
            query, key = rotate(query), rotate(key)
        where = None if mask is None else mask[:, None, None, :]
        y = attention(query, key, value, where)
        return self.out(y.transpose(1, 2).flatten(2))


class Attention(MultiHead):
    """Residual attention over the positions of [B, C, *S], or from positions to tokens; starts as the identity.

    Args:
        channels: C.
        context: width of the tokens; None: self-attention.
        head: channels of a head, at least.
    """

    def __init__(self, channels: int, context: int | None = None, head: int = 32):
        heads = next(h for h in range(max(channels // head, 1), 0, -1) if channels % h == 0)
        super().__init__(channels, context, heads)
        zero(self.out)
        self.norm = group_norm(channels)

    def forward(self, x: Tensor, tokens: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """x [B, C, *S]; tokens [B, L, E] and mask [B, L] (True: attend) for cross-attention -> [B, C, *S]."""
        positions = self.norm(x).flatten(2).transpose(1, 2).contiguous()  # once, for two matrix products
        y = self.attend(positions, positions if tokens is None else tokens, mask)
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
    """Nearest-neighbour interpolation to a given size, then a convolution.

    Where each axis grows by a whole factor f, both are one transposed convolution of stride f, since f equal
    neighbours meet the sum of their weights: in three dimensions and for f = 2, 8 multiplications in place of 27.
    """

    def __init__(self, dims: int, channels: int, out_channels: int):
        super().__init__()
        self.conv = CONV[dims](channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor, size: Sequence[int]) -> Tensor:
        factors = [new // old for new, old in zip(size, x.shape[2:], strict=True)]
        if any(new % old for new, old in zip(size, x.shape[2:], strict=True)):  # an odd size was halved
            return self.conv(F.interpolate(x, size=tuple(size), mode="nearest"))
        weight = self.conv.weight.flip(tuple(range(2, x.ndim))).transpose(0, 1)
        for axis, f in enumerate(factors):
            others = [0, 0] * (len(factors) - 1 - axis)  # F.pad counts from the last axis
            weight = torch.stack([F.pad(weight, [*others, k, f - 1 - k]) for k in range(f)]).sum(0)
        return _CONV_TRANSPOSE_FUNCTION[len(factors)](x, weight, self.conv.bias, stride=factors, padding=1)
