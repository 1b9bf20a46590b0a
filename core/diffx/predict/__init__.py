"""From what a network outputs to one canonical prediction, in fp32.

x_0-hat for Gaussian noise, token logits for discrete noise, the tangent score on a manifold; a mapping of these for a
mixed state. The network alone may run in low precision.
"""

from __future__ import annotations

from typing import Any, Protocol

from diffx.condition import Condition
from diffx.predict.affine import PARAMETRISATIONS, Affine, Denoiser
from diffx.predict.joint import JointDenoiser, Tangent, TokenDenoiser, Tokens
from diffx.predict.preconditioner import Preconditioned, Preconditioner
from diffx.predict.selfcondition import SelfConditionedDenoiser
from diffx.predict.wrap import denoiser_for


class Predict(Protocol):
    """x_t, host time (float or [B]), condition -> canonical prediction; mappings for a mixed state."""

    def __call__(self, x: Any, t: Any, condition: Condition | None = None) -> Any: ...


__all__ = [
    "PARAMETRISATIONS",
    "Affine",
    "Denoiser",
    "JointDenoiser",
    "Preconditioned",
    "Preconditioner",
    "Predict",
    "SelfConditionedDenoiser",
    "Tangent",
    "TokenDenoiser",
    "Tokens",
    "denoiser_for",
]
