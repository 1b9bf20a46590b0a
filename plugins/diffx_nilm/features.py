"""Power as a network sees it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .appliances import Appliance

MAPS = 3
_UNIT = 3000.0  # W


def maps(mains: np.ndarray) -> np.ndarray:
    """Mains [..., T] in W -> float32 [..., 3, T], each about from -1 to 1 for a household.

    Logarithm, log(1 + m / 50) / 3 - 1: standby and small motors. Level, m / 3000 - 0.3: heaters that add up. Step,
    sign(d) sqrt|d| with d the change of m / 3000 since the period before, 0 for the first: what has just been switched.
    A period that is not known (NaN) is NaN in each, and in the step of the next one.
    """
    m = np.asarray(mains, dtype=np.float32)
    level = m / np.float32(_UNIT)
    step = np.diff(level, axis=-1, prepend=level[..., :1])
    return np.stack([np.log1p(m / 50) / 3 - 1, level - np.float32(0.3), np.sign(step) * np.sqrt(np.abs(step))], axis=-2)


def scales(appliances: Sequence[Appliance]) -> np.ndarray:
    """W that the network calls 1, of each appliance: float32 [A]."""
    return np.array([appliance.scale for appliance in appliances], np.float32)
