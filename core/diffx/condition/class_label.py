"""Fields that are one of a few classes: a sex, a digit, a scanner."""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import Enum

import torch
from torch import Tensor, nn

from diffx.condition.base import Vector, is_missing, plain


class Class(Vector):
    """One of a set of classes, by a learned embedding.

    Labels are compared as they are written: 3, "3", 3.0, ``np.int64(3)`` and ``torch.tensor(3)`` name one class, and so
    do True and "True", an enum member, its value and its name.

    Args:
        labels: of the classes, in the order of the embeddings: texts, whole numbers, bools, members of an enum.
        dim: width of the vector.

    Raises:
        ValueError: no labels, one text instead of several, or two labels that are written alike.
    """

    def __init__(self, labels: Iterable[object], dim: int = 64):
        super().__init__(dim)
        if isinstance(labels, str):
            raise ValueError(f"labels are a list, such as {list(labels)}, not the text {labels!r}")
        given = list(labels)
        self.labels = tuple(written(label) for label in given)
        twice = sorted({label for label in self.labels if self.labels.count(label) > 1})
        if twice or not given:
            raise ValueError(f"labels are written alike: {', '.join(twice)}" if twice else "there are no labels")
        self._number = {label: number for number, label in enumerate(self.labels)}
        for number, label in enumerate(given):
            if isinstance(label, Enum):
                self._number.setdefault(label.name, number)
        self.table = nn.Embedding(len(self.labels), dim)

    def parse(self, value: object) -> Tensor:
        """The number of the class, []."""
        if is_missing(value):
            return torch.tensor(math.nan)
        number = self._number.get(written(value))
        if number is None:
            raise ValueError(f"{plain(value)!r} is none of {', '.join(self.labels)}")
        return torch.tensor(float(number))

    def embed(self, values: Tensor) -> Tensor:
        """Numbers of classes [B] -> [B, dim]."""
        return self.table(values.long())


def written(label: object) -> str:
    """A label as text; of a number that is whole, without a point."""
    value = plain(label)
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
