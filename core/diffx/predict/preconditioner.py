"""Preconditioning: what stands between a leaf's state and a network, on the way in and on the way out."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from diffx.condition import Condition


class Preconditioned(NamedTuple):
    """A leaf as the network sees it, how noisy that is [B], and what makes the network's output, in fp32, the
    canonical prediction."""

    x: Tensor
    level: Tensor
    finish: Callable[[Tensor], Tensor]


class Preconditioner(nn.Module, ABC):
    """Turns one leaf of a state into what a network sees, and what the network says into the canonical prediction.

    The coefficients come from host float64, and everything but the network is in fp32. A module, so that its buffers
    move and are saved with the network.
    """

    @abstractmethod
    def precondition(self, x: Tensor, t: float | np.ndarray) -> Preconditioned:
        """For x_t [B, ...] at host time t, a float or [B]."""

    def run(
        self,
        net: nn.Module,
        x: Tensor,
        t: float | np.ndarray,
        condition: Condition | None,
        autocast: torch.dtype | None,
    ) -> Tensor:
        """The prediction of a network for this leaf alone, ``net(x, level, condition)``."""
        seen = self.precondition(x, t)
        with lowered(x.device, autocast):
            raw = net(seen.x, seen.level, condition)
        return seen.finish(raw.float())

    @staticmethod
    def level(value: np.ndarray, like: Tensor) -> Tensor:
        """The logarithm of a noise-to-signal ratio as a network is told it: a quarter, clipped to +-5, fp32 [B]."""
        value = np.clip(value / 4, -5.0, 5.0)
        if value.ndim == 0:
            return torch.full((like.shape[0],), float(value), device=like.device)
        return torch.as_tensor(value.astype(np.float32), device=like.device)


def lowered(device: torch.device, dtype: torch.dtype | None) -> contextlib.AbstractContextManager:
    """Autocast to ``dtype``, if there is one."""
    return torch.autocast(device.type, dtype) if dtype else contextlib.nullcontext()
