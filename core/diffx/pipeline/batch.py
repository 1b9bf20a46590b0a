"""What is drawn together, and the guides that may depend on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from itertools import islice, repeat
from typing import Any, TypeAlias

import torch

from diffx.condition import Condition
from diffx.errors import UsageError
from diffx.noise import Noise
from diffx.predict import Predict

#: what is asked of one sample: values of the conditioners' fields by name; what is left out is not known
Record: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Batch:
    """Samples that are drawn together.

    Args:
        records: what was asked of each.
        seeds: of each.
        condition: what the network is told of them, on ``device``.
        device: where they are drawn.
        first: number of the first one among all that are drawn.
    """

    records: tuple[Record, ...]
    seeds: tuple[int, ...]
    condition: Condition
    device: torch.device
    first: int = 0

    def __len__(self) -> int:
        """How many samples there are."""
        return len(self.seeds)

    @property
    def noise(self) -> Noise:
        """The samples' own randomness, on the host; take a part of it by name, ``batch.noise["modes"]``."""
        return Noise(self.seeds)


#: from a prediction, and the batch it will be asked for, to another prediction
Guide: TypeAlias = Callable[[Predict, Batch], Predict]


def paired(records: Record | Iterable[Record], seeds: Iterable[int]) -> Iterator[tuple[Record, int]]:
    """(record, seed) of each sample; one record is that of all. UsageError where there are more of one than of both."""
    if isinstance(records, Mapping):
        return zip(repeat(records), seeds)
    if isinstance(records, Sized) and isinstance(seeds, Sized) and len(records) != len(seeds):
        raise UsageError(f"{len(records)} records and {len(seeds)} seeds: each sample has one of both")
    return zip(records, seeds)


def in_batches(pairs: Iterator[tuple[Record, int]], size: int) -> Iterator[tuple[tuple[Record, ...], tuple[int, ...]]]:
    """(records, seeds) of ``size`` samples at a time, of fewer at the end."""
    while part := list(islice(pairs, size)):
        records, seeds = zip(*part, strict=True)
        yield records, seeds
