"""A network on a coarser grid: blocks of elements become channels, and nothing is lost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor, nn

from diffx.condition import Condition

__all__ = ["Folded", "fold", "unfold"]


class Folded(nn.Module):
    """A network for states whose blocks of ``fold`` elements are one element of as many more channels.

    Its answer is unfolded again (pixel shuffle; Shi et al. 2016, for any number of axes). Called as ``net`` is. Sizes
    that are no multiple of ``fold`` are padded with zeros at their ends, and cut again.

    Args:
        net: built for prod(fold) times the channels of the state and of ``Condition.spatial``.
        fold: elements of a block along each axis; one number for all axes alike.
    """

    def __init__(self, net: nn.Module, fold: int | Sequence[int]):
        super().__init__()
        self.net, self.fold = net, fold

    def forward(self, x: Tensor, level: Tensor, condition: Condition | None = None) -> Tensor:
        """x [B, C, *S], level [B] -> [B, C', *S]."""
        sizes = x.shape[2:]
        by = (self.fold,) * len(sizes) if isinstance(self.fold, int) else tuple(self.fold)
        if len(by) != len(sizes):
            raise ValueError(f"fold has {len(by)} numbers for {len(sizes)} axes")
        condition = condition or Condition()
        if condition.spatial is not None:
            condition = replace(condition, spatial=fold(condition.spatial, by))
        folded = self.net(fold(x, by), level, condition)
        whole = unfold(folded, by)
        for axis, size in enumerate(sizes, 2):
            whole = whole.narrow(axis, 0, size)
        return whole


def fold(x: Tensor, by: Sequence[int]) -> Tensor:
    """[B, C, *S] -> [B, C prod(by), *ceil(S / by)]; channel c k + j is element j of the block, in row-major order."""
    missing = [-size % f for size, f in zip(x.shape[2:], by, strict=True)]
    if any(missing):
        x = F.pad(x, [n for gap in reversed(missing) for n in (0, gap)])
    n = len(by)
    shape = [part for size, f in zip(x.shape[2:], by, strict=True) for part in (size // f, f)]
    blocks = x.reshape(*x.shape[:2], *shape)
    order = [0, 1, *(3 + 2 * i for i in range(n)), *(2 + 2 * i for i in range(n))]
    return blocks.permute(order).reshape(len(x), x.shape[1] * math.prod(by), *shape[0::2])


def unfold(x: Tensor, by: Sequence[int]) -> Tensor:
    """The inverse of :func:`fold` for sizes that are multiples of ``by``."""
    n = len(by)
    blocks = x.reshape(len(x), x.shape[1] // math.prod(by), *by, *x.shape[2:])
    order = [0, 1, *(axis for i in range(n) for axis in (2 + n + i, 2 + i))]
    sizes = [size * f for size, f in zip(x.shape[2:], by, strict=True)]
    return blocks.permute(order).reshape(len(x), -1, *sizes)
