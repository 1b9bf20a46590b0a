"""What a network is told, and the part that one field of a record plays in it."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from diffx.noise import Noise
from diffx.state import each


@dataclass(frozen=True)
class Condition:
    """What a network is told, for a batch of B.

    Args:
        vector: [B, D], modulates every block.
        tokens: [B, L, E], for cross-attention.
        tokens_mask: [B, L], True where a token is to be attended to.
        spatial: [B, C, *S], concatenated to the state.
        estimate: the last prediction of a self-conditioned network, of the shape of the state (a mapping for a mixed
            state); guidance leaves it as it is.
    """

    vector: Tensor | None = None
    tokens: Tensor | None = None
    tokens_mask: Tensor | None = None
    spatial: Tensor | None = None
    estimate: Any = None

    def __getitem__(self, index: slice | Tensor) -> Condition:
        """A part of the batch."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        return Condition(**{k: None if v is None else each(lambda part: part[index], v) for k, v in given.items()})


def told(condition: Condition | None, beside: Mapping[str, Any]) -> Condition | None:
    """The condition with the fields that a process tells the network ``beside`` it; without any, as it is."""
    return replace(condition or Condition(), **beside) if beside else condition


class Conditioner(nn.Module, abc.ABC):
    """One field of a record.

    Its value is a float32 tensor in which NaN stands for what is not known: ``parse`` makes it, ``collate`` makes a
    batch of them, and the module turns the batch into its part of a :class:`Condition`.

    Args:
        width: of that part: D of a vector, E of tokens, C of a spatial condition.
    """

    #: the part of a :class:`Condition` it speaks to: "vector", "tokens" or "spatial"
    kind: ClassVar[str]

    def __init__(self, width: int):
        super().__init__()
        self.width = width

    @abc.abstractmethod
    def parse(self, value: object) -> Tensor:
        """The tensor that stands for ``value``; all NaN for a missing one. ValueError says what would be accepted."""

    def collate(self, values: Sequence[Tensor]) -> Tensor:
        """Parsed values -> a batch [B, ...]."""
        return torch.stack(list(values))

    def augment(self, values: Tensor, noise: Noise) -> Tensor:
        """What the network gets to see of a batch: here, all of it."""
        return values

    @abc.abstractmethod
    def forward(self, values: Tensor) -> Condition:
        """A batch [B, ...], NaN where nothing is known -> this field's part."""


class Vector(Conditioner):
    """A field that one number stands for and that modulates the whole network.

    A missing one is an embedding learned for that purpose.

    Args:
        dim: width of the vector.
    """

    kind = "vector"

    def __init__(self, dim: int):
        super().__init__(dim)
        self.missing = nn.Parameter(torch.randn(dim) * 0.02)

    @abc.abstractmethod
    def embed(self, values: Tensor) -> Tensor:
        """Numbers [B] without NaN -> [B, dim]."""

    def forward(self, values: Tensor) -> Condition:
        """Numbers [B], NaN where missing -> vector [B, dim]."""
        absent = values.isnan()
        return Condition(vector=torch.where(absent[:, None], self.missing, self.embed(values.nan_to_num(0.0))))


def plain(value: Any) -> Any:
    """A single value as Python has it: of a NumPy scalar, a tensor of one element without axes, an enum member."""
    if isinstance(value, Enum):
        return plain(value.value)
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value


def is_missing(value: object) -> bool:
    """Whether a record says nothing: None, a NaN that stands alone, the NA or NaT of pandas."""
    value = plain(value)
    return value is None or (isinstance(value, float) and value != value) or type(value).__name__ in _NOTHING


_NOTHING = ("NAType", "NaTType")  # pandas is not imported here
