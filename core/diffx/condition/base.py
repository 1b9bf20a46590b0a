"""What a network is told, and the part that one field of a record plays in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from diffx.noise import Noise
from diffx.state import each


@dataclass(frozen=True)
class Condition:
    """What a network is told, for a batch of B.

    ``vector`` [B, D] modulates every block, ``tokens`` [B, L, E] with ``tokens_mask`` [B, L] (True: attend) go to
    cross-attention, ``spatial`` [B, C, *S] is concatenated to the state. ``estimate`` is the last prediction of a
    self-conditioned network, of the state's shape (a mapping for a mixed state); guidance leaves it as it is.
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


class Conditioner(nn.Module):
    """One field of a record.

    Its value is a float32 tensor in which NaN stands for what is not known: ``parse`` makes it, ``collate`` makes a
    batch of them, and the module turns the batch into its part of a :class:`Condition`.

    Args:
        width: of that part: D of a vector, E of tokens, C of a map.
    """

    #: the part of a :class:`Condition` it speaks to: "vector", "tokens" or "spatial"
    kind: ClassVar[str]

    def __init__(self, width: int):
        super().__init__()
        self.width = width

    def parse(self, value: object) -> Tensor:
        """The tensor that stands for ``value``; all NaN for a missing one. ValueError says what would be accepted."""
        raise NotImplementedError

    def collate(self, values: Sequence[Tensor]) -> Tensor:
        """Parsed values -> a batch [B, ...]."""
        return torch.stack(list(values))

    def augment(self, values: Tensor, noise: Noise) -> Tensor:
        """What the network gets to see of a batch: here, all of it."""
        return values

    def forward(self, values: Tensor) -> Condition:
        """A batch [B, ...], NaN where nothing is known -> this field's part."""
        raise NotImplementedError


def is_missing(value: object) -> bool:
    """Whether a record says nothing: None, or a NaN that stands alone."""
    return value is None or (isinstance(value, float) and value != value)
