"""Sampling by physics alone: scores of poses from the gradient of an energy, for the core's sampler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from diffx.condition import Condition
from diffx.process import Product

from .relax import Energy, Pose

KT = 0.6  # kcal/mol at 300 K
# Curvature of a pose's energy near a minimum, kcal/mol a squared Å or radian: says how soon noise blurs it.
STIFFNESS = {"translation": 20.0, "rotation": 100.0, "torsion": 30.0}
LIMIT = 3.0  # scores are at most this many times as long as those of the noise itself


def energy_guidance(
    energy: Energy,
    process: Product,
    kt: float = KT,
    stiffness: Mapping[str, float] = STIFFNESS,
    limit: float | None = LIMIT,
) -> Callable[..., dict[str, Tensor]]:
    """A :class:`diffx.predict.Predict` of poses whose energy is low: scores -beta(t) grad E, of no network.

    Of an energy k |x|^2 / 2 at temperature kT, noised to a spread sigma(t), the score is exactly -grad E / (kT + k
    sigma(t)^2). That is the beta used in each leaf, with a stiffness k typical of it: 1/kT at the end, next to nothing
    at the start. Of another energy it is an approximation, the better the less noise there is.

    Args:
        energy: pose -> energies [B] in kcal/mol and gradients [B, 6 + m], as :func:`minimise` takes it.
        process: of the poses: its leaves' schedules say how much noise there is at a time.
        kt: temperature, kcal/mol.
        stiffness: k of each leaf.
        limit: longest score a leaf, in units of its root mean square under the noise alone; None: no limit. Atoms that
            overlap have forces without bound, the score of a noised pose has not.
    """

    def predict(x: Pose, t: Any, condition: Condition | None = None) -> dict[str, Tensor]:
        gradient = energy(x)[1]
        parts = dict(zip(x, gradient.split([3, 3, gradient.shape[1] - 6], -1), strict=True))
        scores = {}
        for name, part in parts.items():
            leaf: Any = process.leaves[name]
            time = t[name] if isinstance(t, Mapping) else t
            beta = 1 / (kt + stiffness[name] * leaf.schedule.sigma(time) ** 2)
            score = -_column(beta, part) * part
            if limit is not None and part.shape[1]:
                longest = _column(limit * leaf.score_scale(time) * part.shape[1] ** 0.5, part)
                length = torch.linalg.vector_norm(score, dim=-1, keepdim=True)
                score = score * (longest / length.clamp_min(1e-12)).clamp(max=1.0)
            scores[name] = score
        return scores

    return predict


def _column(value: Any, like: Tensor) -> Tensor:
    """One number for all poses, or one each, as it multiplies [B, k]."""
    return torch.as_tensor(value, dtype=like.dtype, device=like.device).reshape(-1, 1)
