"""Exponential moving average of the weights with a power-function profile."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor


def gamma_of(std: float) -> float:
    """Exponent whose profile t^gamma has relative width ``std`` (Karras et al. 2024, eq. 126).

    Raises:
        ValueError: outside (0, 0.28), where no exponent > 0 has that width.
    """
    if not 0 < std < 0.28:
        raise ValueError(f"the width of a power-function average lies in (0, 0.28), not {std}")
    roots = np.roots([1, 7, 16 - std**-2, 12 - std**-2])
    return float(roots.real.max())


class PowerEMA:
    """fp32 average with weights proportional to t^gamma: its length grows with training (Karras et al. 2024, sec. 3).

    A function of the step alone, so it resumes exactly.

    Args:
        parameters: what is averaged.
        std: relative width of the profile, in (0, 0.28).

    Raises:
        ValueError: a width outside.
    """

    def __init__(self, parameters: Iterable[Tensor], std: float = 0.05):
        self.gamma = gamma_of(std)
        self.source = list(parameters)
        self.average = [p.detach().clone().float() for p in self.source]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After optimiser step number ``step`` (counted from 1)."""
        decay = (1 - 1 / step) ** (self.gamma + 1)
        torch._foreach_lerp_(self.average, [p.detach() for p in self.source], 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange weights and average; twice restores."""
        for p, a in zip(self.source, self.average, strict=True):
            kept = p.detach().clone()
            p.copy_(a)
            a.copy_(kept)
