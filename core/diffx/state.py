"""States: one tensor [B, ...], or one a leaf for a mixed state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

__all__ = ["Shape", "State", "as_state", "each"]

State: TypeAlias = Tensor | Mapping[str, Tensor]
#: of one sample, without the batch; one a leaf for a mixed state
Shape: TypeAlias = tuple[int, ...] | Mapping[str, tuple[int, ...]]


def each(function: Callable[..., Any], state: Any, *others: Any) -> Any:
    """``function`` of a tensor, or leaf by leaf of a mixed state; further states of the same leaves go along."""
    if isinstance(state, Mapping):
        return {name: function(leaf, *(other[name] for other in others)) for name, leaf in state.items()}
    return function(state, *others)


def as_state(value: Any, device: torch.device | str | None = None) -> Any:
    """A state as everything here expects it: floating-point parts as float32, whole numbers (tokens) as int64."""

    def tensor(part: Any) -> Tensor:
        part = torch.as_tensor(part)
        return part.to(device, torch.float32 if part.is_floating_point() else torch.int64)

    return each(tensor, value)
