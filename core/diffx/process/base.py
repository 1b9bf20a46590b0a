"""What every process answers, and what it hands around."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from torch import Tensor

from diffx.noise import Noise

if TYPE_CHECKING:
    from diffx.process.table import Row

@dataclass(frozen=True)
class Noisy:
    """A corrupted batch: ``x`` [B, ...], host times ``t`` [B], what the prediction should be, and the weight [B].

    For a mixed state each is a mapping, one entry a leaf.
    """

    x: Any
    t: Any
    target: Any
    weight: Any


@dataclass
class Memory:
    """What a solver carries between rows: earlier outputs, newest first, and the anchor of a step of several stages.

    Args:
        depth: how many outputs are kept; a plan says how many it needs.

    ``memory[leaf]`` is the memory of a part of a mixed state.
    """

    depth: int = 4
    history: tuple[Tensor, ...] = ()
    anchor: Tensor | None = None
    leaves: dict[str, Memory] = field(default_factory=dict)

    def __getitem__(self, leaf: str) -> Memory:
        return self.leaves.setdefault(leaf, Memory(self.depth))


class Process(Protocol):
    """What noise does to a state, and how one reverse step undoes it.

    The prediction is canonical: x_0-hat for Gaussian noise, token logits for discrete noise, the tangent score on a
    manifold, and a mapping of these for a mixed state.
    """

    def times(self, u: np.ndarray) -> Any:
        """Training times [B] from uniform variates [B] in (0, 1)."""

    def prior(self, shape: Any, noise: Noise, t: Any = None) -> Any:
        """The state at time ``t`` of no data in particular, [B, *shape]; by default where sampling starts."""

    def corrupt(self, x0: Any, t: Any, noise: Noise) -> Noisy:
        """Noise x0 [B, ...] to times t, a float or [B]."""

    def loss(self, prediction: Any, noisy: Noisy) -> Tensor:
        """The training loss of each sample, [B]."""

    def step(self, x: Any, prediction: Any, row: Row, memory: Memory, noise: Noise, index: int) -> Any:
        """The state after one row of a plan. Updates ``memory``; ``prediction`` is None in a row without evaluation."""
