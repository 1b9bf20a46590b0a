"""Self-conditioning: a network that is shown its own last estimate (Chen et al. 2023, "Analog bits", sec. 3.2).

The process says what it is shown, in training and from step to step (``Gaussian(self_condition=True)``), and the
estimate travels in ``Condition.estimate``. So the state is the noisy data alone, and guides, adaptive steps and
likelihoods need not know of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from diffx.condition import Condition
from diffx.predict.affine import Denoiser


class SelfConditionedDenoiser(Denoiser):
    """A :class:`Denoiser` whose network gets the estimate, at unit variance, with the condition's maps.

    Where it is given no estimate it makes its own: a first evaluation that is shown 0, and the prediction that is shown
    its result. That takes two evaluations and is a function of x and t alone, which is what a likelihood or an
    adaptive step needs.

    Args:
        net: as of a ``Denoiser``; ``spatial`` is wider by the channels of the state.
    """

    def forward(self, x: Tensor, t: Any, condition: Condition | None = None) -> Tensor:
        """x_t [B, C, *S], host time (float or [B]), condition -> x_0-hat [B, C, *S], fp32."""
        condition = condition or Condition()
        estimate = condition.estimate
        if estimate is None:
            estimate = self.forward(x, t, replace(condition, estimate=torch.zeros_like(x)))
        scale = self.sigma_data if self.element_sigma_data is None else self.element_sigma_data.clamp_min(1e-6)
        shown = estimate / scale
        maps = [shown] if condition.spatial is None else [condition.spatial, shown]
        return super().forward(x, t, replace(condition, spatial=torch.cat(maps, dim=1), estimate=None))
