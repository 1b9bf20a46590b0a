"""All fields of a plugin together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TypeAlias

import torch
from torch import Tensor, nn

from diffx.condition.base import Condition, Conditioner
from diffx.noise import Noise

#: A batch of records: one tensor [B, ...] a field, NaN where nothing is known.
Values: TypeAlias = Mapping[str, Tensor]


class Conditioning(nn.Module):
    """The fields of a plugin: vectors are summed, tokens and maps concatenated, in the order of the fields.

    Args:
        conditioners: one a field, by its name in a record.

    Attributes:
        vector: width of ``Condition.vector``, 0 for none: what a network has to take.
        tokens: width of ``Condition.tokens``, 0 for none.
        spatial: channels of ``Condition.spatial``, 0 for none.

    Raises:
        ValueError: two vector fields, or two token fields, of different width.
    """

    def __init__(self, conditioners: Mapping[str, Conditioner] | None = None):
        super().__init__()
        conditioners = conditioners or {}
        self.fields = nn.ModuleDict(conditioners)
        widths: dict[str, list[int]] = {"vector": [], "tokens": [], "spatial": []}
        for conditioner in conditioners.values():
            widths[conditioner.kind].append(conditioner.width)
        for kind in ("vector", "tokens"):
            if len(set(widths[kind])) > 1:
                raise ValueError(f"the {kind} fields of one network share one dimension, not {sorted(widths[kind])}")
        self.vector, self.tokens = (max(widths[kind], default=0) for kind in ("vector", "tokens"))
        self.spatial = sum(widths["spatial"])

    def __len__(self) -> int:
        """How many fields there are."""
        return len(self.fields)

    def parse(self, record: Mapping[str, object]) -> dict[str, Tensor]:
        """One record -> one tensor a field, NaN for what it does not say. ValueError names the field."""
        unknown = set(record) - set(self.fields)
        if unknown:
            raise ValueError(f"unknown condition {', '.join(sorted(unknown))}; known: {', '.join(self.fields)}")
        parsed = {}
        for name, conditioner in self._items():
            try:
                parsed[name] = conditioner.parse(record.get(name))
            except (TypeError, ValueError) as error:
                raise ValueError(f"{name}: {error}") from None
        return parsed

    def collate(self, records: Sequence[Mapping[str, object]]) -> dict[str, Tensor]:
        """Records -> a batch. ValueError names the field."""
        parsed = [self.parse(record) for record in records]
        batch = {}
        for name, conditioner in self._items():
            try:
                batch[name] = conditioner.collate([one[name] for one in parsed])
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return batch

    def augment(self, values: Values, noise: Noise) -> dict[str, Tensor]:
        """A batch as the network gets to see it, through noise where a field asks for that (:class:`Spatial`)."""
        return {name: conditioner.augment(values[name], noise[name]) for name, conditioner in self._items()}

    def forward(self, values: Values) -> Condition:
        """A batch -> what the network is told."""
        if not len(self):
            return Condition()
        own = next(chain(self.parameters(), self.buffers()), None)  # conditioners may have nothing to learn
        there = values if own is None else {name: value.to(own.device) for name, value in values.items()}
        parts = [conditioner(there[name]) for name, conditioner in self._items()]

        def of(name: str) -> list[Tensor]:
            return [part for one in parts if (part := getattr(one, name)) is not None]

        return Condition(
            vector=torch.stack(vectors).sum(0) if (vectors := of("vector")) else None,
            tokens=_joined(of("tokens")),
            tokens_mask=_joined(of("tokens_mask")),
            spatial=_joined(of("spatial")),
        )

    def null(self, n: int) -> Condition:
        """The condition of n samples about which nothing is said."""
        return self(self.collate([{}] * n))

    def _items(self) -> list[tuple[str, Conditioner]]:
        return list(self.fields.items())  # type: ignore[arg-type]


def _joined(parts: list[Tensor]) -> Tensor | None:
    return torch.cat(parts, dim=1) if parts else None


def forget(values: Values) -> dict[str, Tensor]:
    """The same batch with nothing known."""
    return {name: torch.full_like(value, math.nan) for name, value in values.items()}


def drop(values: Values, uniform: Tensor, probability: float) -> dict[str, Tensor]:
    """Forget fields for classifier-free guidance (Ho and Salimans 2022).

    Args:
        values: a batch.
        uniform: variates [B, F + 1] in (0, 1): one a field, the last for all at once.
        probability: that all fields are forgotten together, and, where there are several, that one is alone.
    """
    together = uniform[:, -1] < probability
    dropped = {}
    for alone, (name, value) in zip(uniform.unbind(1), values.items(), strict=False):
        gone = together | (alone < probability) if len(values) > 1 else together
        dropped[name] = value.masked_fill(gone.to(value.device).view((-1,) + (1,) * (value.ndim - 1)), math.nan)
    return dropped
