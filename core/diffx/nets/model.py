"""What is trained, saved and sampled: a denoiser with its conditioning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from diffx.condition import Conditioning, Values
from diffx.condition.base import told


class Model(nn.Module):
    """A denoiser and the conditioning that feeds it, as one module so that one checkpoint holds both.

    Args:
        denoiser: a module that predicts, with ``autocast``, the dtype its network runs in: a ``Denoiser``, or what a
            plugin makes for a mixed state.
        conditioning: the fields that condition it; None: it is unconditional.
    """

    denoiser: Any  # nn.Module and Predict at once

    def __init__(self, denoiser: nn.Module, conditioning: Conditioning | None = None):
        super().__init__()
        self.denoiser = denoiser
        self.conditioning = Conditioning() if conditioning is None else conditioning

    def forward(self, x: Any, t: Any, values: Values, beside: Mapping[str, Any] | None = None) -> Any:
        """The canonical prediction of x.

        Args:
            x: x_t [B, ...].
            t: host times, [B] or a float.
            values: a batch of condition values.
            beside: what the process tells the network beside its condition, by field of a ``Condition``.
        """
        return self.denoiser(x, t, told(self.conditioning(values), beside or {}))
