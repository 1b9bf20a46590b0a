"""One curve between the intensities of two scanners: what a network that knows the one has to see of the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

_SEEN = 0.2  # intensity from which a voxel is well inside a brain
_ALIKE = 0.8  # correlation below which no curve makes one contrast of the other
_POWERS = (0.4, 2.5)  # beyond these a curve loses too much between black and white
_EVEN = torch.linspace(0.02, 0.98, 49)

Intensities = TypeVar("Intensities", Tensor, np.ndarray)


@dataclass(frozen=True)
class Tone:
    """home = gain * site ** power, of intensities that are not negative; 1, 1 changes nothing."""

    gain: float = 1.0
    power: float = 1.0

    def home(self, site: Intensities) -> Intensities:
        """Intensities of the site as the scanner at home would show them."""
        return site if self == Tone() else self.gain * site**self.power

    def site(self, home: Intensities) -> Intensities:
        """Inverse of `home`."""
        return home if self == Tone() else (home / self.gain) ** (1 / self.power)


def tone_between(home: Tensor, site: Tensor) -> Tone | None:
    """The curve between two mean brains of one space, any shape: a line through the logarithms of their quantiles.

    Quantiles, because what makes the two differ voxel by voxel would flatten a regression. None where bright and dark
    are not the same tissues in both, so that no curve helps.
    """
    inside = (home > _SEEN) & (site > _SEEN)
    x, y = site[inside].double(), home[inside].double()
    if len(x) < 2 or float(torch.corrcoef(torch.stack([x, y]))[0, 1]) < _ALIKE:
        return None
    log_x, log_y = (np.log(np.quantile(v.cpu().numpy(), _EVEN.numpy())) for v in (x, y))
    power, offset = np.polyfit(log_x, log_y, 1)
    if not _POWERS[0] < power < _POWERS[1]:
        return None
    return Tone(float(np.exp(offset)), float(power))
