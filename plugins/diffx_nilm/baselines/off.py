"""Nothing is ever on: hard to beat in mean absolute error, where appliances run for minutes a day."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from torch import Tensor

from ..appliances import Appliance
from ..household import Household
from .base import Baseline, forget, one_period


class AlwaysOff(Baseline):
    """0 W for every appliance."""

    kind = "always_off"

    @classmethod
    def fit(
        cls,
        houses: Sequence[Household],
        appliances: Sequence[Appliance],
        seed: int = 0,
        say: Callable[[str], None] = lambda line: None,
    ) -> Self:
        return cls(appliances, one_period(houses))

    def predict(self, mains: np.ndarray) -> np.ndarray:
        return forget(np.zeros((len(self.appliances), len(mains))), mains)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return {}, {}

    @classmethod
    def restored(
        cls, appliances: tuple[Appliance, ...], period: float, tensors: dict[str, Tensor], facts: dict[str, Any]
    ) -> Self:
        return cls(appliances, period)
