"""Guidance by the whole: no part is negative, and all parts together are not more than the household draws."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from diffx.condition import Condition
from diffx.predict import Predict

SHARE, SPARE = 1.03, 10.0  # meters do not agree to some per cent, nor to some watts


def within(predict: Predict, mains: Tensor, scale: Tensor) -> Predict:
    """x_0-hat with negative powers at zero, and all parts made smaller alike where they exceed 1.03 mains + 10 W.

    Args:
        predict: for x [B, C, T], channels in units of ``scale``.
        mains: [T] or [B, T], W; where it is NaN the sum may be anything.
        scale: [C], W.
    """
    limit = (SHARE * mains + SPARE).nan_to_num(torch.inf).unsqueeze(-2)

    def guided(x: Tensor, t: Any, condition: Condition | None = None) -> Tensor:
        parts = predict(x, t, condition).clamp(min=0)
        total = (parts * scale[:, None]).sum(-2, keepdim=True)
        return parts * (limit / total.clamp(min=1e-6)).clamp(max=1)

    return guided
