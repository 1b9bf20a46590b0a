"""What stands between a leaf's state and a network, on the way in and on the way out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from diffx.condition import Condition


class Framed(NamedTuple):
    """A leaf as the network sees it, how noisy that is [B], and what makes the network's output, in fp32, the
    canonical prediction."""

    x: Tensor
    level: Tensor
    finish: Callable[[Tensor], Tensor]


class Frame(nn.Module):
    """Turns one leaf of a state into what a network sees, and what the network says into the canonical prediction.

    The coefficients come from host float64, and everything but the network is in fp32. A module, so that its buffers
    move and are saved with the network.
    """

    def around(self, x: Tensor, t: float | np.ndarray) -> Framed:
        """For x_t [B, ...] at host time t, a float or [B]."""
        raise NotImplementedError

    def run(
        self,
        net: nn.Module,
        x: Tensor,
        t: float | np.ndarray,
        condition: Condition | None,
        autocast: torch.dtype | None,
    ) -> Tensor:
        """The prediction of a network for this leaf alone, ``net(x, level, condition)``."""
        framed = self.around(x, t)
        with lowered(x.device, autocast):
            raw = net(framed.x, framed.level, condition)
        return framed.finish(raw.float())

    @staticmethod
    def level(value: np.ndarray, like: Tensor) -> Tensor:
        """The logarithm of a noise-to-signal ratio as a network is told it: a quarter, clipped to +-5, fp32 [B]."""
        value = np.clip(value / 4, -5.0, 5.0)
        if value.ndim == 0:
            return torch.full((like.shape[0],), float(value), device=like.device)
        return torch.as_tensor(value.astype(np.float32), device=like.device)


def per_sample(value: float | np.ndarray, like: Tensor) -> float | Tensor:
    """A host coefficient that multiplies ``like`` [B, ...]: a float for all, or [B] as an fp32 column."""
    if np.ndim(value) == 0:
        return float(value)  # a scalar multiply: nothing to copy, nothing to wait for
    return torch.as_tensor(np.asarray(value, np.float32), device=like.device).view(-1, *(1,) * (like.ndim - 1))


def lowered(device: torch.device, dtype: torch.dtype | None) -> contextlib.AbstractContextManager:
    """Autocast to ``dtype``, if there is one."""
    return torch.autocast(device.type, dtype) if dtype else contextlib.nullcontext()
