"""Discrete diffusion: what absorbing and uniform noise share, and exact draws of tokens.

A state is tokens, int64 [B, *S]; its prediction is logits [B, *S, K] of the clean token given the whole noisy state.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from diffx.noise import Noise
from diffx.process.base import Memory, Noisy, Process, Solver
from diffx.process.synchronised import synchronised_transitions
from diffx.process.table import Plan, Row
from diffx.process.transitions import transitions
from diffx.schedule import RectifiedFlow, Schedule
from diffx.schedule.distribution import NoiseDistribution, uniform_time
from diffx.state import check_batch, check_prediction, column


def variates(noise: Noise, shape: Sequence[int], step: int = 0) -> Tensor:
    """Uniform variates in (0, 1) with 46 random bits, float64 [B, *shape].

    The 23 bits of fp32 are too few to draw tokens: whatever is rarer than 1e-7 would come out too rarely or never,
    which acts as a lower temperature (Zheng et al. 2024 found it in Gumbel noise of fp32).
    """
    coarse, fine = noise.uniform(*shape, 2, step=step).double().unbind(-1)
    return coarse + (fine - 0.5) * 2.0**-23


def draw(weights: Tensor, u: Tensor) -> Tensor:
    """Tokens [B, *S] with probabilities proportional to ``weights``, by inverting the distribution function at ``u``.

    Args:
        weights: not negative, float64, broadcast against [B, *S, K]. One of weight 0 is never drawn; where they are NaN
            the token is K, which is none, so that a broken network does not pass for a working one.
        u: variates in (0, 1), float64 [B, *S].
    """
    cdf = weights.cumsum(-1)
    return (~(cdf > u[..., None] * cdf[..., -1:])).sum(-1)


@lru_cache(maxsize=64)
def table(rows: tuple, device: torch.device) -> Tensor:
    """Nested tuples as a float64 tensor, padded with 0 to [K] or [C, K], kept on the device once it is there."""
    if not isinstance(rows[0], tuple):
        return torch.tensor(rows, dtype=torch.float64, device=device)
    width = max(map(len, rows))
    return torch.tensor([row + (0.0,) * (width - len(row)) for row in rows], dtype=torch.float64, device=device)


@dataclass(frozen=True)
class Discrete(Process):
    """A token survives to time t with probability alpha(t); what it becomes otherwise is the subclass's.

    Args:
        categories: how many values a token has; or one number for each element of the state's last axis, such as the
            columns of a table. The columns then share one tensor: a row of fourteen columns is one leaf and costs one
            operation, not fourteen. Logits are as wide as the widest column, and those beyond a column's own values
            are ignored.
        schedule: its alpha is the probability of survival, from 1 at t = 0 to 0, or nearly so (Linear: 0.007), at
            t_max; sigma is not used. All variance-preserving schedules and rectified flow are of this kind.
        noise_distribution: where training spends its noise: uniform variates [B] -> training times [B]. The mean loss
            is a bound on the negative log-likelihood if they are uniform in time, and a weighted version otherwise.

    Raises:
        ValueError: a schedule whose alpha does not fall from 1 to about 0, as EDM's; no categories.
    """

    categories: int | Sequence[int]
    schedule: Schedule = field(default_factory=RectifiedFlow)
    noise_distribution: NoiseDistribution = uniform_time

    #: whether a token on view may be replaced again on the way to the data, which is what ``eta`` is for tokens
    remasks: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.categories, int):
            object.__setattr__(self, "categories", tuple(int(k) for k in self.categories))
        if min(self._sizes, default=0) < 1:
            raise ValueError(f"a token has at least one category, not {self.categories}")
        first, last = float(self.schedule.alpha(0.0)), float(self.schedule.alpha(self.schedule.t_max))
        if first != 1 or last > 0.01:
            raise ValueError(
                f"tokens need a schedule whose alpha falls from 1 to about 0: "
                f"{type(self.schedule).__name__}'s goes from {first:g} to {last:g}"
            )

    @property
    def _sizes(self) -> tuple[int, ...]:
        return (self.categories,) if isinstance(self.categories, int) else tuple(self.categories)

    @property
    def width(self) -> int:
        """K: the size of the logits' last axis."""
        return max(self._sizes)

    def times(self, u: np.ndarray) -> np.ndarray:
        """Training times [B] from uniform variates [B] in (0, 1)."""
        return self.noise_distribution(self.schedule, u)

    def corrupt(self, x0: Tensor, t: float | np.ndarray, noise: Noise) -> Noisy:
        """Noise tokens x0 [B, *S] to times t, a float or [B]. ValueError without one seed for each sample."""
        check_batch(len(noise.seeds), x0, "the clean state")
        t = np.broadcast_to(np.asarray(t, dtype=np.float64), (x0.shape[0],))
        x = self._noise(x0, column(self.schedule.alpha(t), x0, torch.float64), noise["corrupt"])
        return Noisy(x, t, x0, torch.as_tensor(self._weight(t), dtype=torch.float32, device=x0.device))

    def step(self, x: Tensor, prediction: Tensor | None, row: Row, memory: Memory, noise: Noise, index: int) -> Tensor:
        """Tokens at time ``row.s``, drawn given those at ``row.t``, [B, *S].

        Towards the data (s < t) they come from the exact posterior of the predicted probabilities, which are
        softmax(b[0] logits): b[0] is an inverse temperature, 1 where the row has none. Towards noise (s > t) they come
        from the forward process, and with s = t they stay. A row without evaluation uses the last prediction.
        """
        if prediction is not None:
            check_prediction(prediction, (*x.shape, self.width))
            memory.history = (prediction,)
        at_t, at_s = float(self.schedule.alpha(row.t)), float(self.schedule.alpha(row.s))
        if at_s == at_t:
            return x
        if at_s < at_t:
            return self._noise(x, at_s / at_t, noise["step"], index)
        assert memory.history, "a step towards the data comes before any prediction"
        p = self.probabilities(memory.history[0], row.b[0] if row.b else 1.0)
        return self._denoise(x, p, at_t, at_s, row.c, noise["step"], index)

    def plan(self, solver: Solver, times: Sequence[float], eta: float | None = None) -> Plan:
        """Transitions from time to time, whatever the solver; ``eta``, from 0 to 1, hides tokens on view again.

        Raises:
            ValueError: an eta out of range, or above 0 for tokens that cannot be hidden again.
        """
        if eta and not self.remasks:
            raise ValueError(f"{type(self).__name__} tokens are drawn from their exact posterior and have no eta")
        return transitions(times, eta or 0.0)

    def synchronised(self, plan: Plan, lead: Process, solver: Solver, eta: float | None = None) -> Plan:
        """Transitions on the rows of ``plan``; ``eta`` is for tokens that can be hidden again."""
        return synchronised_transitions(plan, lead, self, (eta or 0.0) if self.remasks else 0.0)

    def probabilities(self, logits: Tensor, sharpness: float = 1.0) -> Tensor:
        """softmax(sharpness logits) over the categories that exist, float64 [B, *S, K]."""
        logits = self._existing(logits.double())
        return (logits if sharpness == 1 else logits * sharpness).softmax(-1)

    @abstractmethod
    def with_evidence(self, logits: Tensor, x: Tensor, t: float | np.ndarray) -> Tensor:
        """Logits of each clean token given the whole state x [B, *S], from those given the other tokens alone.

        They differ by log q(x_t | x_0), which is known, so a network need not learn it: what preconditioning is to
        Gaussian noise. Without it a network has to be ever surer of what it sees as the noise vanishes, and the bound
        on the likelihood of one that is not grows as 1/t.
        """

    def _existing(self, logits: Tensor) -> Tensor:
        """Logits with those of the padding at -inf."""
        if len(set(self._sizes)) == 1:
            return logits
        return logits.masked_fill(table(tuple((1.0,) * k for k in self._sizes), logits.device) == 0, -torch.inf)

    @abstractmethod
    def _noise(self, x: Tensor, keep: float | Tensor, noise: Noise, step: int = 0) -> Tensor:
        """Tokens after each has survived with probability ``keep`` or been replaced."""

    @abstractmethod
    def _weight(self, t: np.ndarray) -> np.ndarray:
        """What the loss of a state at time t is multiplied with, [B]."""

    @abstractmethod
    def _denoise(self, x: Tensor, p: Tensor, at_t: float, at_s: float, c: float, noise: Noise, step: int) -> Tensor:
        """Tokens at s from x at t, their clean values having probabilities ``p``; ``at_t`` and ``at_s`` are alphas."""
