"""Guidance: functions from a prediction to a prediction, so that guides compose."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from diffx.condition import Condition
from diffx.predict import Predict


def cfg(
    predict: Predict,
    weight: float,
    null: Condition,
    interval: tuple[float, float] | None = None,
    rescale: float = 0.0,
) -> Predict:
    """Classifier-free guidance, m = m_null + w (m_cond - m_null) (Ho and Salimans 2022).

    Args:
        weight: w; 1 is off, everywhere in this project.
        null: what the unconditional prediction is told, of the batch's size.
        interval: schedule times (low, high] in which to guide (Kynkaanniemi et al. 2024); None: always.
        rescale: share of the conditional prediction's standard deviation that is restored (Lin et al. 2024, eq. 15-16).
    """
    if weight == 1:
        return predict

    def guided(x: Tensor, t: float | np.ndarray, condition: Condition | None = None) -> Tensor:
        conditional = predict(x, t, condition)
        if interval is not None and not interval[0] < float(t) <= interval[1]:
            return conditional
        unconditional = predict(x, t, null)
        out = unconditional + weight * (conditional - unconditional)
        if rescale:
            axes = tuple(range(1, x.ndim))
            wanted, got = (m.std(axes, correction=0, keepdim=True) for m in (conditional, out))
            restored = out * (wanted / got).where(got > 0, 1.0)  # a constant has no deviation to restore
            out = rescale * restored + (1 - rescale) * out
        return out

    return guided
