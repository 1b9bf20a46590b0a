"""What the baselines share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from torch import Tensor

from diffx.errors import DataError
from diffx.noise import derive

from ..appliances import Appliance
from ..household import Household

Rng = np.random.Generator


class Baseline(ABC):
    """From mains to parts, one number a period."""

    kind: ClassVar[str]

    def __init__(self, appliances: Sequence[Appliance], period: float):
        self.appliances, self.period = tuple(appliances), period

    @classmethod
    @abstractmethod
    def fit(
        cls,
        houses: Sequence[Household],
        appliances: Sequence[Appliance],
        seed: int = 0,
        say: Callable[[str], None] = lambda line: None,
    ) -> Self:
        """Learn from metered households of one period."""

    @abstractmethod
    def predict(self, mains: np.ndarray) -> np.ndarray:
        """Parts [A, T] float32, W, not negative, of mains [T]; NaN where these are."""

    @abstractmethod
    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON-able facts to save."""

    @classmethod
    @abstractmethod
    def restored(
        cls, appliances: tuple[Appliance, ...], period: float, tensors: dict[str, Tensor], facts: dict[str, Any]
    ) -> Self:
        """What :meth:`state` was taken from."""


def one_period(houses: Sequence[Household]) -> float:
    """The period of all houses. DataError where there is none, or there are several."""
    periods = sorted({house.period for house in houses})
    if len(periods) != 1:
        raise DataError(f"houses of one period are learnt from together, not of {periods or 'none'}")
    return periods[0]


def generator(seed: int, *name: str) -> Rng:
    return np.random.Generator(np.random.Philox(key=derive(seed, *name)))


def places(
    houses: Sequence[Household], appliances: Sequence[Appliance], count: int, rng: Rng, near: float = 600.0
) -> Iterator[tuple[Household, np.ndarray, np.ndarray]]:
    """Positions to learn at: for each house (it, positions [n], weights [n]), ``count`` in all.

    Appliances are off nearly all the time, so half of the positions lie within ``near`` seconds of one that is on, a
    share for each appliance; the weights undo that, so that what is learnt has the frequencies of the houses.
    """
    total = sum(int(house.known.sum()) for house in houses)
    if not total:
        raise DataError(f"{', '.join(house.name for house in houses)}: mains and parts are nowhere known together")
    for house in houses:
        known = np.flatnonzero(house.known)
        if not len(known):
            continue
        wide = round(near / house.period)
        groups = []
        for appliance in appliances:
            if appliance.key not in house.parts:
                continue
            on = np.nan_to_num(house.parts[appliance.key]) > appliance.edge
            around = np.convolve(on, np.ones(2 * wide + 1), mode="same") > 0.5
            if (around & house.known).any():
                groups.append(around & house.known)
        n = max(round(count * len(known) / total), 1)
        drawn = [rng.choice(known, n - n // 2 if groups else n)]
        density = np.full(len(house), (0.5 if groups else 1.0) / len(known))
        for group in groups:
            drawn.append(rng.choice(np.flatnonzero(group), max(n // 2 // len(groups), 1)))
            density[group] += 0.5 / len(groups) / group.sum()
        at = np.concatenate(drawn)
        yield house, at, 1 / len(known) / density[at]


def forget(parts: np.ndarray, mains: np.ndarray) -> np.ndarray:
    """Parts [A, T] as float32, not negative and NaN where the mains are not known."""
    return np.where(np.isfinite(mains), np.maximum(parts, 0), np.nan).astype(np.float32)
