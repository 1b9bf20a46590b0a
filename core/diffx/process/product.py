"""Mixed states: each leaf has a process of its own, and one clock moves them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from diffx.noise import Noise
from diffx.process.base import Memory, Noisy, Process

if TYPE_CHECKING:
    from diffx.process.table import JointRow


@dataclass(frozen=True)
class Product:
    """Independent noise on the leaves of a state, {leaf: tensor [B, ...]}: a table row is numbers and categories, a
    pose is translation, rotation and torsions.

    States, times, predictions and shapes are mappings with the leaves' names. One uniform variate sets the time of
    all leaves of a sample, each by its own levels: it is the clock, and 0 is clean. Plans have to be in step with it,
    so that the network meets in sampling the times it was trained at: grids by :func:`diffx.plan.in_step`, tokens by
    :func:`diffx.plan.follow`, for which the times of each leaf rise with the variate.

    Args:
        leaves: the process of each leaf; a leaf's noise is keyed by its name, independent of the others'.
        weights: of each leaf's loss in the sum; 1 where not given. A Gaussian loss is a mean over elements, a discrete
            one a sum over tokens in nats.

    Raises:
        ValueError: a weight of a leaf that does not exist.
    """

    leaves: Mapping[str, Process]
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if unknown := set(self.weights) - set(self.leaves):
            raise ValueError(f"weights of no leaf: {', '.join(sorted(unknown))}; leaves: {', '.join(self.leaves)}")

    def times(self, u: np.ndarray) -> dict[str, np.ndarray]:
        """Training times of each leaf [B] from uniform variates [B] in (0, 1)."""
        return {name: process.times(u) for name, process in self.leaves.items()}

    def prior(self, shape: Mapping[str, tuple[int, ...]], noise: Noise, t: Any = None) -> dict[str, Tensor]:
        """The state at times ``t`` {leaf: float} of no data in particular; by default where sampling starts."""
        return {
            name: process.prior(shape[name], noise[name], None if t is None else t[name])
            for name, process in self.leaves.items()
        }

    def corrupt(self, x0: Mapping[str, Tensor], t: Mapping[str, Any], noise: Noise) -> Noisy:
        """Noise {leaf: x0 [B, ...]} to times {leaf: t}."""
        parts = {name: process.corrupt(x0[name], t[name], noise[name]) for name, process in self.leaves.items()}
        x, time, target, weight = (
            {name: getattr(part, what) for name, part in parts.items()} for what in ("x", "t", "target", "weight")
        )
        return Noisy(x, time, target, weight)

    def loss(self, prediction: Mapping[str, Tensor], noisy: Noisy) -> Tensor:
        """Weighted sum of the leaves' losses, one value a sample: [B]."""
        losses = [
            self.weights.get(name, 1.0)
            * process.loss(
                prediction[name], Noisy(noisy.x[name], noisy.t[name], noisy.target[name], noisy.weight[name])
            )
            for name, process in self.leaves.items()
        ]
        return torch.stack(losses).sum(0)

    def step(
        self, x: Mapping[str, Tensor], prediction: Any, row: JointRow, memory: Memory, noise: Noise, index: int
    ) -> dict[str, Tensor]:
        """One row of each leaf's plan."""
        return {
            name: process.step(
                x[name],
                None if prediction is None else prediction[name],
                row.leaves[name],
                memory[name],
                noise[name],
                index,
            )
            for name, process in self.leaves.items()
        }
