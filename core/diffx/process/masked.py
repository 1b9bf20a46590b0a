"""Masked (absorbing) diffusion of tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from diffx.noise import Noise
from diffx.process.base import Noisy
from diffx.process.discrete import Discrete, draw, variates


@dataclass(frozen=True)
class Masked(Discrete):
    """A token is hidden, once and for all, with probability 1 - alpha(t): q(x_t | x_0) = alpha x_0 + (1 - alpha) mask.

    D3PM's absorbing noise (Austin et al. 2021) in continuous time, as MDLM (Sahoo et al. 2024) and MD4 (Shi et al.
    2024) simplified it. The mask is token number K, :attr:`mask`: a network embeds K + 1 tokens and predicts K.

    Tokens on view are kept and cost nothing, so a prediction there is free to be anything; and the distribution of the
    hidden ones given those on view does not depend on the time, so the network may ignore its level.
    """

    remasks: ClassVar[bool] = True

    @property
    def mask(self) -> int:
        """The token that stands for "hidden": one past the real ones, K."""
        return self.width

    def prior(self, shape: tuple[int, ...], noise: Noise, t: float | None = None) -> Tensor:
        """All hidden, int64 [B, *shape]."""
        return torch.full((len(noise.seeds), *shape), self.mask, device=noise.device)

    def prior_kl(self, x0: Tensor) -> Tensor:
        """KL(q(x_T | x_0) || prior) in nats, [B]: 0 if alpha(t_max) is exactly 0, otherwise infinite."""
        last = float(self.schedule.alpha(self.schedule.t_max))
        return torch.full((x0.shape[0],), np.inf if last else 0.0, device=x0.device)

    def loss(self, prediction: Tensor, noisy: Noisy) -> Tensor:
        """t_max -alpha'(t) / (1 - alpha(t)) times the summed cross entropy of the hidden tokens, nats a sample: [B].

        Its mean over uniform t and the noise is the negative evidence lower bound in continuous time (Sahoo et al.
        2024, eq. 10), given a :meth:`prior_kl` of 0, whatever the schedule. The bound is tight for a network that knows
        the exact conditionals.
        """
        logits, tokens = self._existing(prediction.float()), noisy.target
        cost = cross_entropy(logits.reshape(-1, self.width), tokens.reshape(-1), reduction="none").view(tokens.shape)
        hidden = noisy.x == self.mask
        return noisy.weight * cost.where(hidden, 0.0).reshape(len(tokens), -1).sum(1)

    def with_evidence(self, logits: Tensor, x: Tensor, t: float | np.ndarray) -> Tensor:
        """The logits as they are: a hidden token says nothing, and one on view needs no prediction."""
        return logits

    def _weight(self, t: np.ndarray) -> np.ndarray:
        hidden = 1.0 - self.schedule.alpha(t)
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = self.schedule.t_max * -self.schedule.rates(t)[0] / hidden
        return np.where(hidden > 0, weight, 0.0)  # at t = 0, where no token is hidden

    def _noise(self, x: Tensor, keep: float | Tensor, noise: Noise, step: int = 0) -> Tensor:
        return x.where(variates(noise, x.shape[1:], step) < keep, self.mask)

    def _denoise(self, x: Tensor, p: Tensor, at_t: float, at_s: float, c: float, noise: Noise, step: int) -> Tensor:
        # ReMDM (Wang et al. 2025): hide again the share c of what leaves the marginals right, and reveal more in return
        hide = c * min(1.0, (1 - at_s) / at_t) if at_t else 0.0
        reveal = (at_s - (1 - hide) * at_t) / (1 - at_t)  # at_t < at_s, so it is below 1
        u = variates(noise, x.shape[1:], step)
        hidden = x == self.mask
        shown = draw(p, variates(noise["token"], x.shape[1:], step))
        x = torch.where(hidden & (u < reveal), shown, x)
        return x.where(hidden | (u >= hide), self.mask) if hide else x
