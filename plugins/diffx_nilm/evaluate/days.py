"""Whole days of a household out of pieces, and the few of them that are worth showing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from diffx.evaluation import Ranking

from ..result import Piece, dates, one_piece


def by_day(piece: Piece) -> Iterator[Piece]:
    """A piece in local days."""
    local = dates(piece.household)
    edges = [0, *(np.flatnonzero(local[1:] != local[:-1]) + 1).tolist(), len(local)]
    for first, stop in pairwise(edges):
        yield piece.cut(first, stop)


class Days:
    """The days of the greatest worth; at most ``most`` of them are kept, and none of worth 0.

    Args:
        worth: of a whole day, as :func:`telling` or :func:`misplaced`.
        most: how many to keep.
    """

    def __init__(self, worth: Callable[[Piece], float], most: int = 3):
        self._kept: Ranking[Piece] = Ranking(worth, most)
        self._open: list[Piece] = []

    def add(self, piece: Piece) -> None:
        """Look at the next piece of a house; pieces that share a day follow one another."""
        for part in by_day(piece):
            if self._open and not _same_day(self._open[-1], part):
                self._close()
            self._open.append(part)

    def ranked(self) -> list[Piece]:
        """The days, the greatest worth first."""
        self._close()
        return list(self._kept)

    def in_order(self) -> list[Piece]:
        """The days in order of time."""
        return sorted(self.ranked(), key=lambda day: day.household.start)

    def _close(self) -> None:
        if self._open:
            self._kept.add(one_piece(self._open))
            self._open = []


def telling(day: Piece) -> float:
    """Sum of the roots of the appliances' energies, so that two of them say more than one that uses twice as much."""
    hours = day.household.period / 3600
    return float(np.sqrt(np.nansum(day.mean, axis=1, dtype=np.float64) * hours).sum())


def misplaced(day: Piece) -> float:
    """sum |median - metered| over the metered appliances, Wh."""
    parts = day.household.parts
    wrong = [np.abs(day.median[a] - parts[own.key]) for a, own in enumerate(day.appliances) if own.key in parts]
    return float(np.nansum(wrong, dtype=np.float64)) * day.household.period / 3600


def _same_day(one: Piece, other: Piece) -> bool:
    return one.household.name == other.household.name and dates(one.household)[0] == dates(other.household)[0]
