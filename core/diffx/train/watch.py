"""Losses and gradient norms that have not been looked at yet: reading each at once would make a GPU wait."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from diffx.errors import DiffxError


class Watch:
    """Collects (loss, gradient norm) of each step; :meth:`check` reads them all and stops the run if one is not finite.

    Args:
        accelerator: values are averaged over its processes, so that all stop together.
        last: the checkpoint that the error names as the last good one.
    """

    def __init__(self, accelerator: Accelerator, last: Path | None):
        self.accelerator, self.last = accelerator, last
        self.pending: list[Tensor] = []

    def add(self, loss: Tensor, norm: Tensor) -> None:
        """One step's values, still on the device."""
        self.pending.append(torch.stack((loss, norm)))

    def check(self, step: int) -> float:
        """Mean loss since the last check; ``step`` is the number of the newest. Raises DiffxError."""
        if not self.pending:
            return math.nan
        values = self.accelerator.reduce(torch.stack(self.pending), "mean").cpu()
        for number, (loss, norm) in enumerate(values.tolist(), step - len(self.pending) + 1):
            if not math.isfinite(loss + norm):
                what = f"gradient norm became {norm}" if math.isfinite(loss) else f"loss became {loss}"
                good = self.last if self.last and self.last.exists() else "none yet"
                raise DiffxError(f"the {what} at step {number}; last good checkpoint: {good}")
        self.pending.clear()
        return float(values[:, 0].mean())
