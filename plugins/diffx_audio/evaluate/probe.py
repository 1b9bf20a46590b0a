"""A linear classifier of embeddings, learned from real sounds alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

__all__ = ["Probe"]


class Probe:
    """Multinomial logistic regression on standardised vectors, with the same penalty on all weights.

    Args:
        vectors: [n, d] of real sounds.
        labels: of each.
        penalty: on the mean square of the weights, beside the mean cross-entropy.
        steps: of L-BFGS.
    """

    def __init__(self, vectors: np.ndarray, labels: Sequence[str], penalty: float = 1e-3, steps: int = 60):
        self.classes = sorted(set(labels))
        self.mean, self.scale = vectors.mean(0), vectors.std(0) + 1e-9
        x = torch.from_numpy((vectors - self.mean) / self.scale)
        y = torch.tensor([self.classes.index(label) for label in labels])
        weight = torch.zeros(x.shape[1] + 1, len(self.classes), dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([weight], max_iter=steps, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            optimizer.zero_grad()
            value = F.cross_entropy(x @ weight[:-1] + weight[-1], y) + penalty * weight[:-1].square().sum()
            value.backward()
            return value

        optimizer.step(loss)
        self.weight = weight.detach().numpy()

    def __call__(self, vectors: np.ndarray) -> list[str]:
        """The likeliest class of each row [n, d]."""
        scores = (vectors - self.mean) / self.scale @ self.weight[:-1] + self.weight[-1]
        return [self.classes[k] for k in scores.argmax(1)]
