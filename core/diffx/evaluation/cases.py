"""Which cases to show: the worst first, and a typical one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


def worst(cases: Sequence[T], badness: Callable[[T], float], most: int | None = None) -> list[T]:
    """At most ``most`` cases, those of the greatest badness first; equal ones stay in order."""
    return sorted(cases, key=lambda case: -badness(case))[:most]


def typical(cases: Sequence[T], badness: Callable[[T], float]) -> T:
    """The case in the middle, by badness; the better one of two. ValueError without cases."""
    if not cases:
        raise ValueError("there is no typical one among no cases")
    return sorted(cases, key=badness)[(len(cases) - 1) // 2]


class Ranking(Generic[T]):
    """The worst of cases that come one after the other, where all of them would not fit into memory.

    Args:
        badness: of a case; those of 0 or less are not kept.
        most: how many to keep.
    """

    def __init__(self, badness: Callable[[T], float], most: int = 3):
        self.badness, self.most = badness, most
        self._kept: list[tuple[float, T]] = []

    def add(self, case: T) -> None:
        """Look at the next case."""
        bad = self.badness(case)
        if bad > 0:
            self._kept = worst([*self._kept, (bad, case)], lambda one: one[0], self.most)

    def __iter__(self) -> Iterator[T]:
        """The worst first."""
        return (case for _, case in self._kept)

    def __len__(self) -> int:
        return len(self._kept)
