"""Mixed states: one network predicts all leaves, each with a preconditioner of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from diffx.condition import Condition
from diffx.predict.preconditioner import Preconditioned, Preconditioner, lowered
from diffx.process.discrete import Discrete
from diffx.state import column


class Tokens(Preconditioner):
    """A discrete leaf: the network sees the tokens and outputs logits [B, *S, K] of the clean ones.

    Args:
        process: of the leaf. What a token in view itself says about its clean value is added to the logits
            (:meth:`Discrete.with_evidence`), so a network that outputs 0 gives the posterior of independent tokens.
    """

    def __init__(self, process: Discrete):
        super().__init__()
        self.process = process

    def precondition(self, x: Tensor, t: float | np.ndarray) -> Preconditioned:
        """The tokens as they are, level = log((1 - alpha)/alpha) / 4 clipped to +-5, and raw -> raw + evidence."""
        alpha = np.asarray(self.process.schedule.alpha(np.asarray(t, dtype=np.float64)))
        with np.errstate(divide="ignore"):
            level = np.log(1 - alpha) - np.log(alpha)
        return Preconditioned(x, self.level(level, x), lambda raw: self.process.with_evidence(raw, x, t))


class Tangent(Preconditioner):
    """A geodesic leaf: the network outputs a score of about unit size, which is brought to the size it should have.

    Args:
        scale: time -> root mean square of an element of the score there, float or [B]; ``Geodesic.score_scale``.
    """

    def __init__(self, scale: Callable[[Any], Any]):
        super().__init__()
        self.scale = scale

    def precondition(self, x: Tensor, t: float | np.ndarray) -> Preconditioned:
        """The points as they are, level = -log(scale) / 4 clipped to +-5, and raw -> scale raw."""
        scale = np.asarray(self.scale(t), dtype=np.float64)
        with np.errstate(divide="ignore"):
            level = -np.log(scale)
        return Preconditioned(x, self.level(level, x), lambda raw: raw * column(scale, raw))


class TokenDenoiser(Tokens):
    """A network as a :class:`Predict` of logits, for a state of tokens alone.

    Args:
        net: ``net(x [B, *S] int64, level [B], condition) -> [B, *S, K]``; level as in :class:`Tokens`.
        process: ``Masked`` or ``Categorical``.
        autocast: dtype the network runs in (None: as its weights are).
    """

    def __init__(self, net: nn.Module, process: Discrete, autocast: torch.dtype | None = None):
        super().__init__(process)
        self.net, self.autocast = net, autocast

    def forward(self, x: Tensor, t: float | np.ndarray, condition: Condition | None = None) -> Tensor:
        """x_t [B, *S], host time (float or [B]), condition -> logits [B, *S, K], fp32."""
        return self.run(self.net, x, t, condition, self.autocast)


class JointDenoiser(nn.Module):
    """A network as a :class:`Predict` of a mixed state, {leaf: prediction}.

    Args:
        net: ``net(x {leaf: [B, ...]}, level {leaf: [B]}, condition) -> {leaf: raw}``; what it sees, is told and should
            output of each leaf is for that leaf's preconditioner to say.
        preconditioners: one a leaf: :class:`Affine`, :class:`Tokens`, :class:`Tangent`.
        autocast: dtype the network runs in (None: as its weights are).
    """

    def __init__(
        self, net: nn.Module, preconditioners: Mapping[str, Preconditioner], autocast: torch.dtype | None = None
    ):
        super().__init__()
        self.net, self.preconditioners, self.autocast = net, nn.ModuleDict(preconditioners), autocast

    def forward(
        self, x: Mapping[str, Tensor], t: Mapping[str, Any], condition: Condition | None = None
    ) -> dict[str, Tensor]:
        """{leaf: x_t}, {leaf: host time}, condition -> {leaf: canonical prediction}, fp32."""
        preconditioners = cast(Mapping[str, Preconditioner], self.preconditioners)
        seen = {name: one.precondition(x[name], t[name]) for name, one in preconditioners.items()}
        device = next(iter(x.values())).device
        with lowered(device, self.autocast):
            raw = self.net({n: f.x for n, f in seen.items()}, {n: f.level for n, f in seen.items()}, condition)
        return {name: f.finish(raw[name].float()) for name, f in seen.items()}
