"""Categorical (uniform, multinomial) diffusion of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffx.noise import Noise
from diffx.process.base import Noisy
from diffx.process.discrete import Discrete, draw, table, variates
from diffx.state import column


@dataclass(frozen=True)
class Categorical(Discrete):
    """A token is replaced by a draw from pi with probability 1 - alpha(t): q(x_t | x_0) = alpha x_0 + (1 - alpha) pi.

    Multinomial diffusion (Hoogeboom et al. 2021), D3PM's uniform noise (Austin et al. 2021); unlike hidden tokens,
    wrong ones can be put right at any step.

    Args:
        stationary: pi, positive weights [K], or one such list for each of several columns; uniform by default. The
            data's own marginals keep a noisy state plausible (Vignac et al. 2023).
    """

    stationary: Sequence[float] | Sequence[Sequence[float]] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        several = not isinstance(self.categories, int)
        given = [np.ones(k) for k in self._sizes]
        if self.stationary is not None:
            given = [np.asarray(row, dtype=np.float64) for row in (self.stationary if several else [self.stationary])]
        if [row.shape for row in given] != [(k,) for k in self._sizes] or any((row <= 0).any() for row in given):
            raise ValueError(f"stationary has one positive weight for each of {self.categories} categories")
        normal = tuple(tuple((row / row.sum()).tolist()) for row in given)
        object.__setattr__(self, "stationary", normal if several else normal[0])

    def _pi(self, like: Tensor) -> Tensor:
        """[K] or [C, K], 0 where a column has no such category."""
        assert self.stationary is not None
        return table(tuple(self.stationary), like.device)

    def prior(self, shape: tuple[int, ...], noise: Noise, t: float | None = None) -> Tensor:
        """Tokens drawn from pi, int64 [B, *shape]."""
        u = variates(noise["prior"], shape)
        return draw(self._pi(u), u)

    def prior_kl(self, x0: Tensor) -> Tensor:
        """KL(q(x_T | x_0) || pi) in nats, summed over the tokens: [B]; 0 if alpha(t_max) is."""
        alpha = float(self.schedule.alpha(self.schedule.t_max))
        own = self._of(self._pi(x0), x0).squeeze(-1)
        others = (1 - alpha) * np.log1p(-alpha) if alpha < 1 else 0.0
        kl = (alpha + (1 - alpha) * own) * (alpha / own + 1 - alpha).log() + (1 - own) * others
        return kl.reshape(len(x0), -1).sum(1).float()

    def posterior(self, x: Tensor, p: Tensor, at_t: float, at_s: float) -> Tensor:
        """p(x_s | x_t) = sum_i q(x_s | x_t, x_0 = i) p_i, float64 [B, *S, K].

        Exact where p is the posterior of x_0 given all of x_t, which is what cross entropy and :meth:`loss` teach. (Eq.
        4 of Austin et al. 2021 sums the joint q(x_s, x_t | x_0) p_i instead: there p has to be given the other tokens.)

        Args:
            x: tokens at t [B, *S].
            p: probabilities of their clean values [B, *S, K].
            at_t: alpha at t.
            at_s: alpha at the earlier s.
        """
        pi, here = self._pi(x), self._here(x)
        ahead = at_t / at_s * here + (1 - at_t / at_s) * self._of(pi, x)  # q(x_t | x_s)
        return ahead * self._ratios(x, p, at_s, at_t)

    def loss(self, prediction: Tensor, noisy: Noisy) -> Tensor:
        """The rate at which the reverse process of the prediction departs from that of the data, nats a sample: [B].

        With the reverse jump rates r_j = beta pi_k q(x_t = j | x_0) / q(x_t = k | x_0) from k = x_t, beta = -alpha' /
        alpha, and r-hat_j their mean over the predicted x_0, it is t_max sum_{j != k} r-hat_j - r_j + r_j log(r_j /
        r-hat_j) (Campbell et al. 2022, proposition 2; for uniform noise Schiff et al. 2024). With
        :meth:`prior_kl` its mean over uniform t and the noise is the negative evidence lower bound in continuous time:
        unlike a cross entropy of x_0 it needs no weight of its own, unlike a sum of KL divergences no number of steps.
        The exact conditionals minimise it, and the bound is then tight.
        """
        alpha = column(self._below_1(noisy.t), noisy.x, torch.float64)[..., None]
        x, pi = noisy.x, self._pi(noisy.x)
        # in float64: near t_max the two are equal in most of their digits, and beta is large
        model, data = (
            self._ratios(x, p, alpha, alpha) + (pi == 0)
            for p in (self.probabilities(prediction), self._here(noisy.target).double())
        )
        excess = data * (model / data - 1 - (model / data).log())  # 0 at k itself, where both are 1
        rate = (self._of(pi, x) * excess).reshape(len(x), -1).sum(1)
        return noisy.weight * rate.float()

    def with_evidence(self, logits: Tensor, x: Tensor, t: float | np.ndarray) -> Tensor:
        """Adds log(1 + alpha / ((1 - alpha) pi_k)) to the logit of the token k in view; see :class:`Discrete`.

        What is left to the network is D3PM's p-tilde and UDLM's x_theta: their posteriors are this one of these logits.
        """
        alpha = self._below_1(np.broadcast_to(np.asarray(t, dtype=np.float64), (len(x),)))
        odds = column(alpha / (1 - alpha), x, torch.float64)[..., None] / self._of(self._pi(x), x)
        return logits.scatter_add(-1, x[..., None], odds.log1p().to(logits.dtype))

    def _below_1(self, t: np.ndarray) -> np.ndarray:
        """alpha, kept so far from 1 that what is divided by 1 - alpha stays finite at the clean end."""
        return np.minimum(self.schedule.alpha(t), 1 - 1e-12)

    def _weight(self, t: np.ndarray) -> np.ndarray:
        alpha = self.schedule.alpha(t)
        with np.errstate(divide="ignore", invalid="ignore"):
            beta = self.schedule.t_max * -self.schedule.rates(t)[0] / alpha
        return np.where(alpha > 0, beta, 0.0)  # the excess falls as alpha^2

    def _ratios(self, x: Tensor, p: Tensor, at_s: float | Tensor, at_t: float | Tensor) -> Tensor:
        """sum_i p_i q(x_s = j | x_0 = i) / q(x_t = k | x_0 = i), k = ``x``: [B, *S, K], by j."""
        pi = self._pi(x)
        odds = p / (at_t * self._here(x) + (1 - at_t) * self._of(pi, x))
        return at_s * odds + (1 - at_s) * pi * odds.sum(-1, keepdim=True)

    def _here(self, x: Tensor) -> Tensor:
        """One-hot tokens, bool [B, *S, K]."""
        return x[..., None] == torch.arange(self.width, device=x.device)

    def _of(self, pi: Tensor, x: Tensor) -> Tensor:
        """pi of each token, [B, *S, 1]."""
        return pi.expand(*x.shape, -1).gather(-1, x[..., None])

    def _noise(self, x: Tensor, keep: float | Tensor, noise: Noise, step: int = 0) -> Tensor:
        fresh = draw(self._pi(x), variates(noise["token"], x.shape[1:], step))
        return x.where(variates(noise, x.shape[1:], step) < keep, fresh)

    def _denoise(self, x: Tensor, p: Tensor, at_t: float, at_s: float, c: float, noise: Noise, step: int) -> Tensor:
        if c:
            raise ValueError("only masked tokens can be hidden again: a row of categorical diffusion has c = 0")
        return draw(self.posterior(x, p, at_t, at_s), variates(noise, x.shape[1:], step))
