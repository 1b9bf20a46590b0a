"""States: one tensor [B, ...], or one a leaf for a mixed state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
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


def column(value: Any, like: Tensor, dtype: torch.dtype | None = None) -> Any:
    """A coefficient that multiplies ``like`` [B, ...].

    Args:
        value: a float for all samples, which stays one; or an array or tensor [B].
        like: what it multiplies; the result lies on its device.
        dtype: of the result; by default that of ``like``.

    Returns:
        A float, or [B, 1, ...] with as many dimensions as ``like``.
    """
    if np.ndim(value) == 0:
        return float(value)  # a scalar multiply: nothing to copy, nothing to wait for
    values = value if isinstance(value, Tensor) else torch.as_tensor(np.array(value))
    return values.to(like.device, dtype or like.dtype).view(-1, *(1,) * (like.ndim - 1))


def check_batch(batch: int, state: Any, what: str) -> None:
    """Refuse a state, or anything else of a batch, that is of another number of samples.

    Args:
        batch: how many samples there are, by their seeds.
        state: a tensor [B, ...], a mapping of them, or None.
        what: what it is, for the message.

    Raises:
        ValueError: one line with both numbers.
    """
    for leaf in state.values() if isinstance(state, Mapping) else () if state is None else (state,):
        if leaf.ndim == 0 or len(leaf) != batch:
            found = "no batch" if leaf.ndim == 0 else f"{len(leaf)} samples"
            raise ValueError(f"{what} has {found}, and there are {batch} seeds: one seed for each sample")


def check_prediction(prediction: Tensor, wanted: Sequence[int]) -> None:
    """Refuse a prediction of another shape than ``wanted``, with which a state would be broadcast to another shape."""
    if tuple(prediction.shape) != tuple(wanted):
        raise ValueError(f"a prediction of shape {list(prediction.shape)} where one of {list(wanted)} belongs")
