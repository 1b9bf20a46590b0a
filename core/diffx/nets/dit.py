"""One diffusion transformer for signals, images and volumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from diffx.condition import Condition
from diffx.nets.blocks import CONV, CONV_TRANSPOSE, MultiHead, zero
from diffx.nets.inputs import ConditionedNet

Rotation = Callable[[Tensor], Tensor]


def axial_angles(grid: Sequence[int], pairs: int, base: float, device: torch.device | None = None) -> Tensor:
    """Angles [N, pairs], fp32, by which the pairs of a query or key at each of the N positions of a grid are turned.

    Rotary embedding (Su et al. 2021) along each axis with its own share of the pairs, at ``base^(-j/n)`` radians a
    position for the j-th of n; pairs that are left over do not turn, and carry content alone.
    """
    each = pairs // len(grid)
    rates = base ** -(torch.arange(each, device=device) / each)
    places = torch.cartesian_prod(*(torch.arange(n, device=device) for n in grid)).view(-1, len(grid))
    angles = (places[:, :, None] * rates).flatten(1)
    return F.pad(angles, (0, pairs - angles.shape[1]))


def rotation(angles: Tensor) -> Rotation:
    """Turn x [..., N, D]: pair j, elements j and j + D/2, by ``angles`` [N, D/2]. Keeps lengths and x's dtype."""
    cos, sin = angles.cos(), angles.sin()

    def rotate(x: Tensor) -> Tensor:
        a, b = x.chunk(2, dim=-1)
        c, s = cos.to(x.dtype), sin.to(x.dtype)
        return torch.cat([a * c - b * s, a * s + b * c], dim=-1)

    return rotate


def modulate(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """(1 + scale) LayerNorm(x) + shift for x [B, N, C], scale and shift [B, C]."""
    return torch.addcmul(shift[:, None], F.layer_norm(x, x.shape[-1:], eps=1e-6), 1 + scale[:, None])


class Block(nn.Module):
    """Self-attention, cross-attention where there are tokens, and an MLP, each a residual branch.

    adaLN-Zero (Peebles and Xie 2023, sec. 3.2): the embedding gives scale, shift and gate of the first and the last,
    and starts at zero, so that the block starts as the identity.
    """

    def __init__(self, width: int, heads: int, tokens: int, expansion: int = 4):
        super().__init__()
        self.modulation = zero(nn.Linear(width, 6 * width))
        self.self_attention = MultiHead(width, None, heads)
        self.norm = nn.LayerNorm(width) if tokens else None
        self.cross_attention = MultiHead(width, tokens, heads) if tokens else None
        if self.cross_attention is not None:
            zero(self.cross_attention.out)  # which has no gate
        self.mlp = nn.Sequential(
            nn.Linear(width, expansion * width), nn.GELU("tanh"), nn.Linear(expansion * width, width)
        )

    def forward(
        self, x: Tensor, embedding: Tensor, rotate: Rotation, tokens: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """x [B, N, width], embedding [B, width] -> [B, N, width]."""
        scale1, shift1, gate1, scale2, shift2, gate2 = self.modulation(embedding).chunk(6, dim=-1)
        y = modulate(x, scale1, shift1)
        x = torch.addcmul(x, gate1[:, None], self.self_attention.attend(y, y, rotate=rotate))
        if self.cross_attention is not None and self.norm is not None and tokens is not None:
            x = x + self.cross_attention.attend(self.norm(x), tokens, mask)
        return torch.addcmul(x, gate2[:, None], self.mlp(modulate(x, scale2, shift2)))


class DiT(ConditionedNet):
    """Diffusion transformer with adaLN-Zero (Peebles and Xie 2023) over any spatial shape.

    Patches are embedded by a strided convolution and know where they are by axial rotary embedding, so a network that
    was trained at one size runs at others. A size that the patch does not divide is filled up with zeros, and the
    output cut back. Queries and keys are normalised. The output starts at exactly zero.

    Args:
        dims: 1, 2 or 3 spatial dimensions.
        in_channels: of the state.
        out_channels: of what is predicted; None: as many.
        patch: elements of a patch along each axis; one number for all axes alike.
        width: of the residual stream; a multiple of ``heads``.
        depth: number of blocks.
        heads: of attention; each of an even width of at least 2 ``dims``.
        vector: width of ``Condition.vector`` (0: none), added to the embedding of the level.
        tokens: width of ``Condition.tokens`` (0: no cross-attention); every block has cross-attention.
        spatial: channels of ``Condition.spatial``, concatenated to the input.
        positions: shape *S of a learned map of ``position_channels`` channels concatenated to the input, for states
            whose positions mean something; None: positions are known relative to one another only.
        position_channels: of that map.
        checkpointing: recompute activations in the backward pass (less memory, about a third more time).
        base: of the rotary embedding; the slowest pair turns by about 1/base radians a patch, so the base should not be
            much below the longest axis in patches.

    Raises:
        ValueError: dims, patch or heads that do not fit.
    """

    def __init__(
        self,
        dims: int,
        in_channels: int,
        out_channels: int | None = None,
        patch: int | Sequence[int] = 2,
        width: int = 384,
        depth: int = 12,
        heads: int = 6,
        vector: int = 0,
        tokens: int = 0,
        spatial: int = 0,
        positions: Sequence[int] | None = None,
        position_channels: int = 8,
        checkpointing: bool = False,
        base: float = 1000.0,
    ):
        super().__init__("DiT", dims, in_channels, width, vector, tokens, spatial, positions, position_channels)
        self.patch = (patch,) * dims if isinstance(patch, int) else tuple(patch)
        if len(self.patch) != dims or min(self.patch) < 1:
            raise ValueError(f"a patch in {dims} dimensions has {dims} sizes of at least 1, not {self.patch}")
        if width % heads or (width // heads) % 2 or width // heads < 2 * dims:
            raise ValueError(f"a width of {width} does not part into {heads} heads of an even width >= {2 * dims}")
        self.checkpointing, self.base, self.pairs = checkpointing, base, width // heads // 2
        self.conv_in = CONV[dims](self.entering, width, self.patch, stride=self.patch)
        self.blocks = nn.ModuleList([Block(width, heads, tokens) for _ in range(depth)])
        self.modulation_out = zero(nn.Linear(width, 2 * width))
        self.conv_out = zero(CONV_TRANSPOSE[dims](width, out_channels or in_channels, self.patch, stride=self.patch))

    def forward(self, x: Tensor, level: Tensor, condition: Condition | None = None) -> Tensor:
        """x [B, C, *S], level [B] -> [B, out_channels, *S]. ValueError for a condition it was not built for."""
        whole, embedding, condition = self.head(x, level, condition)
        lacking = [-n % p for n, p in zip(x.shape[2:], self.patch, strict=True)]
        h = self.conv_in(F.pad(whole, [side for n in reversed(lacking) for side in (0, n)]))
        grid = h.shape[2:]
        rotate = rotation(axial_angles(grid, self.pairs, self.base, h.device))
        h = h.flatten(2).transpose(1, 2)
        for block in self.blocks:
            args = (h, embedding, rotate, condition.tokens, condition.tokens_mask)
            if self.checkpointing and self.training:
                h = checkpoint(block, *args, use_reentrant=False)
            else:
                h = block(*args)
        h = modulate(h, *self.modulation_out(embedding).chunk(2, dim=-1))
        h = self.conv_out(h.transpose(1, 2).unflatten(2, grid))
        return h[..., *(slice(n) for n in x.shape[2:])]
