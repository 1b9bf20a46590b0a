"""What a plugin's data look like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from diffx.errors import DataError


@dataclass(frozen=True)
class Spec:
    """``shape`` [C, *S] of one clean state, and the names of the other entries of an item."""

    shape: tuple[int, ...]
    fields: tuple[str, ...] = ()

    @property
    def dims(self) -> int:
        """Spatial dimensions."""
        return len(self.shape) - 1

    @classmethod
    def of(cls, data: Any) -> Spec:
        """Read off the first item. DataError when there is none, or it has no state ``x`` of [C, *S]."""
        if not len(data):
            raise DataError("the data set is empty")
        item = data[0]
        if not isinstance(item, Mapping) or "x" not in item:
            raise DataError("an item of the data is a dict with the clean state under 'x'")
        shape = tuple(torch.as_tensor(item["x"]).shape)
        if len(shape) < 2:
            raise DataError(f"the state 'x' has shape {shape}; it needs channels and at least one axis, [C, *S]")
        return cls(shape, tuple(name for name in item if name != "x"))
