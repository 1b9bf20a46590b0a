"""What every network does with its condition before its own work begins."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffx.condition import Condition


def check(x: Tensor, condition: Condition, dims: int, **widths: int) -> None:
    """Refuse a state or a condition that the network was not built for, instead of leaving a part of it unused.

    Args:
        x: [B, C, *S] with ``dims`` axes S.
        widths: ``vector``, ``tokens``, ``spatial``: the widths the network was built with; 0 takes none, and a tensor
            of width 0 is as good as none.

    Raises:
        ValueError: one line that names the field, what was expected and what was given.
    """
    if x.ndim != dims + 2:
        raise ValueError(f"this network takes a state [B, C] with {dims} spatial axes, not of shape {list(x.shape)}")
    for name, width in widths.items():
        given: Tensor | None = getattr(condition, name)
        found = 0 if given is None else given.shape[1 if name == "spatial" else -1]
        if found != width:
            raise ValueError(f"this network takes Condition.{name} of width {width}, and was given {found or 'none'}")
    if condition.spatial is not None and condition.spatial.shape[2:] != x.shape[2:]:
        sizes = f"{list(condition.spatial.shape[2:])} and {list(x.shape[2:])}"
        raise ValueError(f"Condition.spatial and the state have different sizes: {sizes}")


def concatenate(x: Tensor, condition: Condition, positions: Tensor | None) -> Tensor:
    """State [B, C, *S], ``Condition.spatial`` and learned ``positions`` [1, P, *S], along the channels."""
    parts = [x]
    if condition.spatial is not None:
        parts.append(condition.spatial)
    if positions is not None:
        parts.append(positions.expand(x.shape[0], *positions.shape[1:]))
    return torch.cat(parts, dim=1) if len(parts) > 1 else x


def position_map(positions: tuple[int, ...] | None, channels: int) -> nn.Parameter | None:
    """A learned map [1, channels, *positions] for states whose positions mean something; None: no map."""
    return nn.Parameter(torch.randn(1, channels, *positions) * 0.1) if positions else None
