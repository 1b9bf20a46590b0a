"""How much each noise level counts in the loss of x_0-hat: times [B] -> weights [B].

A weight stands in the mean over the levels that training draws; it is not divided by their density. The weight of
eps-hat at the same level is sigma^2 / alpha^2 times that of x_0-hat, and of v-hat sigma^2 (alpha^2 + sigma^2 = 1).
With s = sigma_data, SNR below is that of the data, (alpha s / sigma)^2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from diffx.schedule import Schedule

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


def min_snr_weight(sigma_data: float, gamma: float = 5.0) -> Weight:
    """min(SNR, gamma) / sigma_data^2 (Hang et al. 2023, "Efficient diffusion training via min-SNR weighting").

    As a loss of eps-hat that is min(SNR, gamma) / SNR, of v-hat min(SNR, gamma) / (SNR + 1), for sigma_data = 1.
    """

    def weight(schedule: Schedule, t: np.ndarray) -> np.ndarray:
        return np.minimum((schedule.alpha(t) * sigma_data / schedule.sigma(t)) ** 2, gamma) / sigma_data**2

    return weight


def sigmoid_weight(sigma_data: float, gamma: float = 5.0) -> Weight:
    """gamma SNR / (gamma + SNR) / sigma_data^2: ``min_snr_weight`` without the corner.

    As a loss of eps-hat it is sigmoid(log gamma - log SNR), the weight of Kingma and Gao 2023 ("Understanding
    diffusion objectives as the ELBO with simple data augmentation") with bias b = log gamma.
    """

    def weight(schedule: Schedule, t: np.ndarray) -> np.ndarray:
        signal, noise = (schedule.alpha(t) * sigma_data) ** 2, schedule.sigma(t) ** 2
        return gamma * signal / (gamma * noise + signal) / sigma_data**2

    return weight


#: by the name of ``process.weight``; each from (sigma_data, gamma)
WEIGHTS: dict[str, Callable[[float, float], Weight]] = {
    "edm": lambda sigma_data, gamma: edm_weight(sigma_data),
    "min_snr": min_snr_weight,
    "sigmoid": sigmoid_weight,
}
