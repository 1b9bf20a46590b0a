"""One U-Net for signals, images and volumes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from diffx.condition import Condition
from diffx.nets.blocks import CONV, Attention, Downsample, ResBlock, Upsample, group_norm, zero
from diffx.nets.inputs import ConditionedNet


class Stage(nn.Module):
    """A residual block, then self-attention and cross-attention where asked for."""

    def __init__(self, dims: int, c_in: int, c_out: int, embedding: int, attention: bool, tokens: int | None):
        super().__init__()
        self.block = ResBlock(dims, c_in, c_out, embedding)
        self.self_attention = Attention(c_out) if attention else None
        self.cross_attention = Attention(c_out, tokens) if tokens else None

    def forward(self, x: Tensor, embedding: Tensor, tokens: Tensor | None, mask: Tensor | None) -> Tensor:
        x = self.block(x, embedding)
        if self.self_attention is not None:
            x = self.self_attention(x)
        if self.cross_attention is not None:
            x = self.cross_attention(x, tokens, mask)
        return x


class UNet(ConditionedNet):
    """U-Net with AdaGN (Ho et al. 2020; Dhariwal and Nichol 2021) over any spatial shape.

    Sizes need not be multiples of anything: axes are halved rounding up, axes of 3 or fewer are not halved, and the
    way up interpolates to the size that came down.

    Args:
        dims: 1, 2 or 3 spatial dimensions.
        in_channels: of the state.
        out_channels: of what is predicted; None: as many.
        channels: width of each resolution, finest first.
        blocks: residual blocks a resolution (one more on the way up).
        attention: resolutions (indices into ``channels``) with self-attention; the middle of the net always has it.
        vector: width of ``Condition.vector`` (0: none).
        tokens: width of ``Condition.tokens`` (0: no cross-attention); cross-attention sits where ``attention`` does.
        spatial: channels of ``Condition.spatial``, concatenated to the input.
        positions: shape *S of a learned map of ``position_channels`` channels added to the input, for states whose
            positions mean something (anatomy in template space); None: translation-equivariant.
        position_channels: of that map.
        checkpointing: recompute activations in the backward pass (less memory, about a third more time).
    """

    def __init__(
        self,
        dims: int,
        in_channels: int,
        out_channels: int | None = None,
        channels: Sequence[int] = (64, 128, 256),
        blocks: int = 2,
        attention: Sequence[int] = (2,),
        vector: int = 0,
        tokens: int = 0,
        spatial: int = 0,
        positions: Sequence[int] | None = None,
        position_channels: int = 8,
        checkpointing: bool = False,
    ):
        embedding = 4 * channels[0]
        super().__init__("U-Net", dims, in_channels, embedding, vector, tokens, spatial, positions, position_channels)
        conv, self.checkpointing = CONV[dims], checkpointing
        self.conv_in = conv(self.entering, channels[0], 3, padding=1)

        def stage(c_in: int, c_out: int, resolution: int) -> Stage:
            attend = resolution in attention
            return Stage(dims, c_in, c_out, embedding, attend, tokens if attend else None)

        self.down, self.downsample = nn.ModuleList(), nn.ModuleList()
        widths, width = [channels[0]], channels[0]
        for resolution, c in enumerate(channels):
            stages = nn.ModuleList()
            for _ in range(blocks):
                stages.append(stage(width, c, resolution))
                width = c
                widths.append(c)
            self.down.append(stages)
            if resolution < len(channels) - 1:
                self.downsample.append(Downsample(dims, c))
                widths.append(c)
        self.middle = nn.ModuleList(
            [
                Stage(dims, width, width, embedding, True, tokens or None),
                Stage(dims, width, width, embedding, False, None),
            ]
        )
        self.up, self.upsample = nn.ModuleList(), nn.ModuleList()
        for resolution, c in reversed(list(enumerate(channels))):
            stages = nn.ModuleList()
            for _ in range(blocks + 1):
                stages.append(stage(width + widths.pop(), c, resolution))
                width = c
            self.up.append(stages)
            if resolution:
                self.upsample.append(Upsample(dims, c, channels[resolution - 1]))
                width = channels[resolution - 1]
        self.norm_out = group_norm(width)
        self.conv_out = zero(conv(width, out_channels or in_channels, 3, padding=1))

    def forward(self, x: Tensor, level: Tensor, condition: Condition | None = None) -> Tensor:
        """x [B, C, *S], level [B] -> [B, out_channels, *S]. ValueError for a condition it was not built for."""
        x, embedding, condition = self.head(x, level, condition)
        h = self.conv_in(x)

        def run(stage: nn.Module, h: Tensor) -> Tensor:
            args = (h, embedding, condition.tokens, condition.tokens_mask)
            if self.checkpointing and self.training:
                return checkpoint(stage, *args, use_reentrant=False)
            return stage(*args)

        skips = [h]
        for resolution, stages in enumerate(self.down):
            for stage in stages.children():
                h = run(stage, h)
                skips.append(h)
            if resolution < len(self.downsample):
                h = self.downsample[resolution](h)
                skips.append(h)
        for stage in self.middle:
            h = run(stage, h)
        for number, stages in enumerate(self.up):
            for stage in stages.children():
                h = run(stage, torch.cat([h, skips.pop()], dim=1))
            if number < len(self.upsample):
                h = self.upsample[number](h, skips[-1].shape[2:])
        return self.conv_out(F.silu(self.norm_out(h)))
