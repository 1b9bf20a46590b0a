"""Normal scores: numbers of any distribution as standard normal ones, and back."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

KNOTS = 10_000


class NormalScores:
    """The quantile transform of a column, through the order statistics of the training rows.

    The k-th smallest of n values stands at probability (k + 1/2) / n, and between two of them the quantile function is
    linear. A tie of many rows is a flat piece: all scores on it mean that value, and as many are drawn there as rows
    had it. Nothing is drawn beyond the smallest and largest value.

    Args:
        knots: sorted values [n], float64, without NaN; of more than ``KNOTS``, evenly spaced ranks are kept.
    """

    def __init__(self, knots: np.ndarray):
        knots = np.sort(np.asarray(knots, dtype=np.float64))
        if len(knots) > KNOTS:
            knots = knots[np.linspace(0, len(knots) - 1, KNOTS).round().astype(int)]
        self.knots = knots

    def encode(self, values: np.ndarray, u: np.ndarray | float = 0.5) -> np.ndarray:
        """Scores, float32, of values [n]; ``u`` in (0, 1) says where on its flat piece the score of a tie lies."""
        first = np.searchsorted(self.knots, values, "left")
        last = np.searchsorted(self.knots, values, "right") - 1
        level, where = np.unique(self.knots, return_index=True)
        ends = np.append(where[1:], len(self.knots)) - 1
        between = np.interp(values, np.repeat(level, 2), np.stack([where, ends], 1).ravel())
        rank = np.where(last >= first, first + u * (last - first), between)
        return torch.special.ndtri(torch.from_numpy((rank + 0.5) / len(self.knots))).numpy().astype(np.float32)

    def decode(self, scores: np.ndarray) -> np.ndarray:
        """Values, float64, of scores [n]: the inverse of :meth:`encode`, exactly for values of the training rows."""
        u = torch.special.ndtr(torch.from_numpy(np.asarray(scores, dtype=np.float64))).numpy()
        rank = u * len(self.knots) - 0.5
        whole = np.round(rank)
        rank = np.where(np.abs(rank - whole) < 2e-3, whole, rank)  # scores are fp32
        return np.interp(rank, np.arange(len(self.knots)), self.knots)

    def tensor(self) -> Tensor:
        """The knots, to be kept with the weights."""
        return torch.from_numpy(self.knots)
