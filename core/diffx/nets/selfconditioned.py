"""Self-conditioning: a network that is shown its own last estimate (Chen et al. 2023, "Analog Bits", sec. 3.2)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from diffx.condition import Condition


class SelfConditioned(nn.Module):
    """A network whose input is joined by the previous x_0-hat, as further channels of ``Condition.spatial``.

    Args:
        net: built with ``spatial`` = the channels of ``Condition.spatial`` + those of the state.
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(
        self, x: Tensor, level: Tensor, condition: Condition | None = None, previous: Tensor | None = None
    ) -> Tensor:
        """As the network, with the x_0-hat of the step before, [B, C, *S] of about unit variance; None: zeros."""
        condition = condition or Condition()
        estimate = torch.zeros_like(x) if previous is None else previous.to(x.dtype)
        spatial = estimate if condition.spatial is None else torch.cat([condition.spatial, estimate], dim=1)
        return self.net(x, level, replace(condition, spatial=spatial))
