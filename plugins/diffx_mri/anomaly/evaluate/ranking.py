"""Voxels ranked by a score, patient by patient: exact areas and overlaps of any choice of patients, from counts.

A patient is kept as how many healthy and how many ill voxels have each score. That is all that average precision and
Dice depend on, it is small where a volume is not, and patients can be resampled by adding their counts. Scores are told
apart to one part in 2048 (11 bits of the mantissa of a float32); within that, they count as equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diffx.metrics import average_precision_counts

_DROPPED = 12  # of the 23 bits of a float32's mantissa


def levels_of(score: np.ndarray) -> np.ndarray:
    """Integers in the order of the scores, equal where these agree to one part in 2048; any sign."""
    bits = np.ascontiguousarray(score, np.float32).view(np.int32)
    ordered = np.where(bits < 0, np.int32(-(2**31)) - bits, bits)  # of negative floats, larger bits are lower values
    return ordered >> _DROPPED


def score_of(level: int) -> float:
    """The least score of a level."""
    ordered = np.int32(level) << _DROPPED
    bits = np.int32(-(2**31)) - ordered if ordered < 0 else ordered
    return float(np.array([bits], np.int32).view(np.float32)[0])


@dataclass(frozen=True)
class Ranked:
    """A patient's voxels: ``levels`` [L], falling, and how many ``ill`` and ``healthy`` ones have each."""

    levels: np.ndarray
    ill: np.ndarray
    healthy: np.ndarray

    @classmethod
    def of(cls, score: np.ndarray, truth: np.ndarray) -> Ranked:
        """score [N] of any sign, truth bool [N]."""
        levels, where = np.unique(levels_of(score), return_inverse=True)
        count = np.bincount(where, minlength=len(levels))
        ill = np.bincount(where[truth], minlength=len(levels))
        return cls(levels[::-1], ill[::-1], (count - ill)[::-1])


class Pool:
    """Patients on one scale of levels."""

    def __init__(self, patients: Sequence[Ranked]):
        self.levels = np.unique(np.concatenate([one.levels for one in patients]))[::-1]
        self.ill, self.healthy = np.zeros((2, len(patients), len(self.levels)), np.int64)
        for row, one in enumerate(patients):
            at = np.searchsorted(-self.levels, -one.levels)
            self.ill[row, at], self.healthy[row, at] = one.ill, one.healthy

    def curve(self, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Ill and healthy voxels at or above each level, [L] each, of some patients; one may be there twice."""
        weight = np.bincount(np.arange(len(self.ill)) if rows is None else rows, minlength=len(self.ill))
        return (weight @ self.ill).cumsum(), (weight @ self.healthy).cumsum()

    def average_precision(self, rows: np.ndarray | None = None) -> float:
        """:func:`diffx.metrics.average_precision` over levels; NaN without ill voxels."""
        return average_precision_counts(*self.curve(rows))

    def dice(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Dice of all voxels at or above each level, [L]; 0 where there are no ill ones."""
        true, false = self.curve(rows)
        return 2 * true / (true + false + true[-1])

    def best(self, rows: np.ndarray | None = None) -> int:
        """The index of the level with the greatest Dice, the highest of several."""
        return int(np.argmax(self.dice(rows)))

    def threshold(self, index: int) -> float:
        """The score that a level begins with."""
        return score_of(int(self.levels[index]))

    def overlap(self, row: int, index: int) -> tuple[int, int]:
        """(ill voxels of a patient that are at or above a level, all that are and all that are ill together)."""
        true, marked = int(self.ill[row, : index + 1].sum()), int(self.healthy[row, : index + 1].sum())
        return true, true + marked + int(self.ill[row].sum())

    def left_out(self) -> list[tuple[int, int]]:
        """:meth:`overlap` of each patient at the level that is best for all the others."""
        everyone = np.arange(len(self.ill))
        return [self.overlap(p, self.best(everyone[everyone != p])) for p in range(len(everyone))]
