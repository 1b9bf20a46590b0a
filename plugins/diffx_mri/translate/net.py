"""A network that works on squares of pixels: the detail goes into channels, and the convolutions cost a quarter."""

from __future__ import annotations

from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor, nn

from diffx.condition import Condition, Conditioning
from diffx.data.spec import Spec
from diffx.nets import UNet

from .config import TranslateConfig


class Folded(nn.Module):
    """A network for images whose ``fold`` x ``fold`` squares are one pixel of ``fold``^2 times the channels.

    The inverse at its end, so nothing of the resolution is lost (pixel shuffle; Shi et al. 2016). Called as ``net`` is;
    sizes are multiples of ``fold``.
    """

    def __init__(self, net: nn.Module, fold: int):
        super().__init__()
        self.net, self.fold = net, fold

    def forward(self, x: Tensor, level: Tensor, condition: Condition | None = None) -> Tensor:
        """x [B, C, H, W], level [B] -> [B, C, H, W]."""
        condition = condition or Condition()
        if condition.spatial is not None:
            condition = replace(condition, spatial=F.pixel_unshuffle(condition.spatial, self.fold))
        return F.pixel_shuffle(self.net(F.pixel_unshuffle(x, self.fold), level, condition), self.fold)


def slice_net(cfg: TranslateConfig, spec: Spec, conditioning: Conditioning) -> Folded:
    """The U-Net that ``net.*`` describes, on folded slices."""
    net, squares = cfg.net, cfg.net.fold**2
    unet = UNet(
        spec.dims,
        spec.channels * squares,
        channels=net.channels,
        blocks=net.blocks,
        attention=net.attention,
        vector=conditioning.vector,
        spatial=conditioning.spatial * squares,
        checkpointing=cfg.train.checkpointing,
    )
    return Folded(unet, net.fold)
