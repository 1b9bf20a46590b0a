"""What every network does with its inputs before its own work begins."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffx.condition import Condition
from diffx.nets.blocks import CONV, LevelEmbedding


class ConditionedNet(nn.Module):
    """The head that all networks share: noise level and condition to an embedding, the maps beside the state.

    Args:
        kind: what the network is called in errors.
        dims: 1, 2 or 3 spatial dimensions.
        in_channels: of the state.
        embedding: width of the embedding that modulates the blocks.
        vector: width of ``Condition.vector`` (0: none), added to the embedding of the level.
        tokens: width of ``Condition.tokens`` (0: no cross-attention).
        spatial: channels of ``Condition.spatial``, concatenated to the state.
        positions: shape *S of a learned map of ``position_channels`` channels that is concatenated to the state.
        position_channels: of that map.

    Attributes:
        entering: channels of the state with all that is concatenated to it.
    """

    def __init__(
        self,
        kind: str,
        dims: int,
        in_channels: int,
        embedding: int,
        vector: int,
        tokens: int,
        spatial: int,
        positions: Sequence[int] | None,
        position_channels: int,
    ):
        super().__init__()
        if dims not in CONV:
            raise ValueError(f"a {kind} has 1, 2 or 3 spatial dimensions, not {dims}")
        self.dims = dims
        self.widths = {"vector": vector, "tokens": tokens, "spatial": spatial}
        self.level = LevelEmbedding(embedding)
        self.vector = nn.Linear(vector, embedding) if vector else None
        self.positions = nn.Parameter(torch.randn(1, position_channels, *positions) * 0.1) if positions else None
        self.entering = in_channels + spatial + (position_channels if positions else 0)

    def head(self, x: Tensor, level: Tensor, condition: Condition | None) -> tuple[Tensor, Tensor, Condition]:
        """The state with all that is concatenated to it [B, entering, *S], the embedding [B, embedding], the condition.

        Args:
            x: state [B, C, *S].
            level: [B].
            condition: None for none.

        Raises:
            ValueError: a state or a condition that the network was not built for.
        """
        condition = condition or Condition()
        check(x, condition, self.dims, **self.widths)
        embedding = self.level(level)
        if self.vector is not None:
            embedding = embedding + self.vector(condition.vector)
        parts = [x]
        if condition.spatial is not None:
            parts.append(condition.spatial)
        if self.positions is not None:
            parts.append(self.positions.expand(x.shape[0], *self.positions.shape[1:]))
        whole = torch.cat(parts, dim=1) if len(parts) > 1 else x
        return whole, F.silu(embedding), condition


def check(x: Tensor, condition: Condition, dims: int, **widths: int) -> None:
    """Refuse a state or a condition that the network was not built for, instead of leaving a part of it unused.

    Args:
        x: [B, C, *S] with ``dims`` axes S.
        condition: what the network is told.
        dims: number of spatial axes.
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
