"""What a plugin's data look like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from diffx.errors import DataError
from diffx.state import Shape, as_state, each

__all__ = ["Spec"]


@dataclass(frozen=True)
class Spec:
    """``shape`` of one clean state - [C, *S], or one a leaf - and the names of the other entries of an item."""

    shape: Shape
    fields: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        """C of a state that is one tensor [C, *S]. DataError for a mixed state."""
        return self._single[0]

    @property
    def dims(self) -> int:
        """Spatial dimensions of a state that is one tensor [C, *S]. DataError for a mixed state."""
        return len(self._single) - 1

    @property
    def size(self) -> tuple[int, ...]:
        """*S of a state that is one tensor [C, *S]. DataError for a mixed state."""
        return self._single[1:]

    @property
    def _single(self) -> tuple[int, ...]:
        if isinstance(self.shape, Mapping):
            raise DataError(f"the state is mixed ({', '.join(self.shape)}): its plugin has to answer diffx_denoiser")
        return self.shape

    @classmethod
    def of(cls, data: Any) -> Spec:
        """Read off the first item.

        Raises:
            DataError: there is none, or it has no state ``x`` of [C, *S], of [L] categories, or of leaves.
        """
        if not len(data):
            raise DataError("the data set is empty")
        item = data[0]
        if not isinstance(item, Mapping) or "x" not in item:
            raise DataError("an item of the data is a dict with the clean state under 'x'")
        state = as_state(item["x"])
        if isinstance(state, Tensor) and state.ndim < 1 + state.is_floating_point():
            shape = tuple(state.shape)
            raise DataError(f"the state 'x' has shape {shape}; it needs channels and at least one axis, [C, *S]")
        if isinstance(state, Mapping) and not state:
            raise DataError("the state 'x' is a mapping without a leaf")
        return cls(each(lambda leaf: tuple(leaf.shape), state), tuple(name for name in item if name != "x"))

    def to_json(self) -> dict[str, Any]:
        """As plain lists and names: ``Spec.from_json(spec.to_json()) == spec``, through JSON too."""
        return {"shape": each(list, self.shape), "fields": list(self.fields)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Spec:
        """The spec that :meth:`to_json` wrote."""
        return cls(each(tuple, raw["shape"]), tuple(raw["fields"]))
