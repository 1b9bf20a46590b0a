"""The order of the data as a function of (seed, step)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from torch import Tensor

from diffx.noise import Noise, derive


@lru_cache(maxsize=2)
def permutation(seed: int, epoch: int, n: int) -> Tensor:
    """A random order of n items [n], int64, the same on every machine."""
    return Noise([derive(seed, "order", epoch)]).uniform(n)[0].argsort(stable=True)


def item(seed: int, number: int, n: int) -> int:
    """Which item is sample ``number`` of training: every item once an epoch, each epoch in another order."""
    return int(permutation(seed, number // n, n)[number % n])


class Batches:
    """Endless batches of item numbers for a DataLoader, starting at any step.

    Each step's global batch is cut into ``accumulate`` x ``world`` micro-batches; this yields those of ``rank``.

    Args:
        seed: of the order.
        n: number of items.
        start: first step.
        micro: items in a micro-batch.
        accumulate: micro-batches that one process sees in a step.
        rank: number of this process.
        world: number of processes.
    """

    def __init__(self, seed: int, n: int, start: int, micro: int, accumulate: int = 1, rank: int = 0, world: int = 1):
        self.seed, self.n, self.start, self.micro = seed, n, start, micro
        self.accumulate, self.rank, self.world = accumulate, rank, world

    def numbers(self, step: int, part: int) -> range:
        """Sample numbers of micro-batch ``part`` of a step."""
        first = ((step * self.accumulate + part) * self.world + self.rank) * self.micro
        return range(first, first + self.micro)

    def __iter__(self) -> Iterator[list[int]]:
        step = self.start
        while True:
            for part in range(self.accumulate):
                yield [item(self.seed, k, self.n) for k in self.numbers(step, part)]
            step += 1
