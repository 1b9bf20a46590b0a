"""Where to dock: a box from coordinates, a reference ligand, residues, or all of the receptor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Box:
    """A box with edges along the axes: centre [3] and size [3] in Å."""

    centre: np.ndarray
    size: np.ndarray

    @classmethod
    def around(cls, points: np.ndarray, margin: float = 4.0, least: float = 0.0) -> Box:
        """The box of points [n, 3] with a margin in Å on every side, no edge shorter than `least`."""
        low, high = points.min(0) - margin, points.max(0) + margin
        return cls((low + high) / 2, np.maximum(high - low, least))

    def holds(self, points: np.ndarray) -> np.ndarray:
        """Whether each of the points [..., 3] lies inside."""
        return (np.abs(points - self.centre) <= self.size / 2).all(-1)
