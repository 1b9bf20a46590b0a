"""Self-conditioning: a network that is shown its own last estimate (Chen et al. 2023, "Analog bits", sec. 3.2).

The estimate is a part of the state, {"x": x_t, "estimate": x_0-hat of the step before}: the sampling loop, plans and
guides know nothing of it, and nobody has to remember anything between two calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffx.condition import Condition
from diffx.noise import Noise
from diffx.predict import Denoiser
from diffx.process import Gaussian, Memory, Noisy
from diffx.process.table import Row
from diffx.schedule import Schedule


@dataclass(frozen=True)
class SelfConditioned:
    """A Gaussian process whose state holds the last estimate as well; no estimate is 0.

    Its prediction is that of the process inside, x_0-hat [B, C, *S], and so are its shapes, times and plans.
    """

    inner: Gaussian

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    @property
    def sigma_data(self) -> float:
        return self.inner.sigma_data

    def times(self, u: np.ndarray) -> np.ndarray:
        """Training times [B] from uniform variates [B] in (0, 1)."""
        return self.inner.times(u)

    def prior(self, shape: tuple[int, ...], noise: Noise, t: float | None = None) -> dict[str, Tensor]:
        """Where sampling starts, without an estimate."""
        return _unseen(self.inner.prior(shape, noise, t))

    def corrupt(self, x0: Tensor, t: Any, noise: Noise) -> Noisy:
        """Noise x0 [B, ...] to times t; without an estimate."""
        noisy = self.inner.corrupt(x0, t, noise)
        return replace(noisy, x=_unseen(noisy.x))

    def loss(self, prediction: Tensor, noisy: Noisy) -> Tensor:
        """The training loss of each sample, [B]."""
        return self.inner.loss(prediction, replace(noisy, x=noisy.x["x"]))

    def step(
        self, x: Mapping[str, Tensor], prediction: Tensor | None, row: Row, memory: Memory, noise: Noise, index: int
    ) -> dict[str, Tensor]:
        """One row of a plan; the prediction becomes the estimate."""
        estimate = x["estimate"] if prediction is None else prediction
        return {"x": self.inner.step(x["x"], prediction, row, memory, noise, index), "estimate": estimate}

    @torch.no_grad()
    def rehearse(self, predict: Callable[[Any], Tensor], noisy: Noisy, noise: Noise) -> Noisy:
        """The batch with a first estimate for half of the samples, each drawn by its own noise; no gradient."""
        chosen = noise.uniform(1)[:, 0] < 0.5
        first = predict(noisy.x)
        column = chosen.to(first.device).view(-1, *(1,) * (first.ndim - 1))
        return replace(noisy, x={**noisy.x, "estimate": first.where(column, 0.0)})


class SelfConditionedDenoiser(Denoiser):
    """A :class:`Denoiser` of such a state: the network gets the estimate, at unit variance, with the condition's maps.

    Args:
        net: as of a ``Denoiser``; ``spatial`` is wider by the channels of the state.
    """

    def forward(self, x: Any, t: Any, condition: Condition | None = None) -> Tensor:
        """{"x": x_t, "estimate": x_0-hat} [B, C, *S], host time (float or [B]), condition -> x_0-hat [B, C, *S]."""
        condition = condition or Condition()
        estimate = x["estimate"] / (self.sigma_data if self.spread is None else self.spread.clamp_min(1e-6))
        maps = [estimate] if condition.spatial is None else [condition.spatial, estimate]
        return super().forward(x["x"], t, replace(condition, spatial=torch.cat(maps, dim=1)))


def clean(process: Any, state: Any) -> Any:
    """What a sample is, of the state at the end of a plan: without the estimate, where there is one."""
    return state["x"] if isinstance(process, SelfConditioned) else state


def _unseen(x: Tensor) -> dict[str, Tensor]:
    return {"x": x, "estimate": torch.zeros_like(x)}
