"""The channels of the state: an appliance's power, and apart from it the low power of one with a motor.

A washing machine heats with 2 kW and turns its drum with 100 W for most of its time. In one channel of the scale of
the heater the drum is 0.04: a squared error hardly sees it, and noise of that size is what a sampler ends with. So the
first ``low`` watts of such an appliance are a channel of their own,

    power = min(power, low) + max(power - low, 0),

the first at a scale of 2 low. Both are never negative and add up to the power, so that what holds of sums of parts
(:mod:`.whole`) holds of sums of channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .appliances import Appliance


def scales(appliances: Sequence[Appliance]) -> np.ndarray:
    """W that the network calls 1, of each channel: float32 [C], appliances first, then the low power of some."""
    return np.array([*(a.scale for a in appliances), *(2 * a.low for a in appliances if a.low)], np.float32)


def names(appliances: Sequence[Appliance]) -> list[str]:
    """Of the channels: the appliances' keys, then "<key> low"."""
    return [*(a.key for a in appliances), *(f"{a.key} low" for a in appliances if a.low)]


def apart(parts: np.ndarray, appliances: Sequence[Appliance]) -> np.ndarray:
    """Power of appliances [..., A, T] -> of channels [..., C, T], W; NaN stays."""
    having = [i for i, a in enumerate(appliances) if a.low]
    if not having:
        return parts
    low = np.array([[appliances[i].low] for i in having], np.float32)
    high, under = parts.copy(), np.minimum(parts[..., having, :], low)
    high[..., having, :] = parts[..., having, :] - under
    return np.concatenate([high, under], axis=-2)


def together(channels: np.ndarray, appliances: Sequence[Appliance]) -> np.ndarray:
    """Power of channels [..., C, T] -> of appliances [..., A, T], W."""
    count, having = len(appliances), [i for i, a in enumerate(appliances) if a.low]
    if not having:
        return channels
    parts = channels[..., :count, :].copy()
    parts[..., having, :] += channels[..., count:, :]
    return parts
