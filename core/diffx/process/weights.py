"""How much each noise level counts in the loss of x_0-hat: times [B] -> weights [B]."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from diffx.process.schedule import Schedule

Weight: TypeAlias = Callable[[Schedule, np.ndarray], np.ndarray]


def edm_weight(sigma_data: float) -> Weight:
    """(s^2 + sigma_data^2) / (s sigma_data)^2, s = sigma/alpha: unit weight on the raw network (Karras et al. 2022).

    On a variance-preserving schedule with sigma_data = 1 this is the v-prediction loss.
    """

    def weight(schedule: Schedule, t: np.ndarray) -> np.ndarray:
        # written with alpha and sigma so that zero terminal SNR gives 1 / sigma_data^2, not inf / inf
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        return (alpha**2 * sigma_data**2 + sigma**2) / (sigma * sigma_data) ** 2

    return weight
