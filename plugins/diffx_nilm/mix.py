"""The training set: real windows, and homes that never were.

The test is a house never seen, and there are few metered ones: what has to be learnt is which part of the mains is an
appliance, not what the rest of two houses looks like. So activations of any house are laid over what is left of
another's mains, with other loads thrown in (as Kelly and Knottenbelt 2015 do for single appliances).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffx.errors import DataError
from diffx.noise import derive

from .appliances import Appliance
from .features import maps
from .pack import Packed

Rng = np.random.Generator
Item = dict[str, Tensor]


@dataclass(frozen=True)
class Recipe:
    """How a mixed window comes about.

    ``real``: share of windows left as they were measured, parts and rest together. ``active``: share of these placed
    where an appliance runs. ``chance``, ``most``: of each appliance in a mixed window, and how many runs of it.
    ``others``: mean number of other loads. ``ceiling``: W that the mains meter clips at.
    """

    real: float = 0.4
    active: float = 0.75
    chance: tuple[float, ...] = (0.6, 0.35, 0.35, 0.55)
    most: tuple[int, ...] = (4, 1, 1, 4)
    spread: tuple[float, ...] = (0.15, 0.15, 0.15, 0.25)
    others: float = 0.8
    ceiling: float = 6000.0


class Mixture:
    """Item number -> ``{"x": parts / scale [A, T], "mains": maps [3, T]}``, float32: a function of (seed, number).

    Args:
        width: T, in periods. count: how many items the set has; each is another.

    Raises DataError where a house has no ``width`` known periods in a row, or nobody has a run of an appliance.
    """

    def __init__(
        self,
        houses: Sequence[Packed],
        appliances: Sequence[Appliance],
        width: int = 512,
        count: int = 1_000_000,
        seed: int = 0,
        recipe: Recipe | None = None,
    ):
        self.houses, self.appliances = tuple(houses), tuple(appliances)
        self.width, self.count, self.seed = width, count, seed
        self.recipe = recipe or Recipe()
        if {len(v) for v in (self.recipe.chance, self.recipe.most, self.recipe.spread)} != {len(self.appliances)}:
            raise ValueError(f"chance, most and spread are of each of {len(self.appliances)} appliances")
        for house in self.houses:
            if len(house) < width or not (house.unknown[width:] == house.unknown[:-width]).any():
                raise DataError(f"{house.name}: never {width} known periods in a row")
        self.sources = [[h for h in self.houses if len(h.runs[a])] for a in range(len(self.appliances))]
        if lacking := [a.key for a, found in zip(self.appliances, self.sources, strict=True) if not found]:
            raise DataError(f"{', '.join(h.name for h in self.houses)}: no run of {', '.join(lacking)}")
        self.scale = np.array([[a.scale] for a in self.appliances], np.float32)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Item:
        mains, parts = self.draw(number)
        return {"x": torch.from_numpy(parts / self.scale), "mains": torch.from_numpy(maps(mains))}

    def draw(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """(mains [T], parts [A, T]) of an item, float32, W."""
        rng = np.random.Generator(np.random.Philox(key=derive(self.seed, "mix", number)))
        house = self.houses[rng.integers(len(self.houses))]
        if rng.random() < self.recipe.real:
            rest, parts = self._measured(house, rng)
        else:
            rest, parts = self._mixed(house, rng)
        if rng.random() < 0.5:
            rest = rest * np.float32(rng.uniform(0.5, 1.6))
        if rng.random() < 0.5:
            rest = np.maximum(rest + np.float32(rng.uniform(-80, 250)), 0)
        for _ in range(rng.poisson(self.recipe.others)):
            load = _other(rng)
            lay(rest, load, int(rng.integers(-len(load) + 1, self.width)))
        # the two meters do not agree to some per cent, and the mains one is noisy
        noise = rng.standard_normal(self.width) * rng.choice([0, 1, 4])
        mains = (rest + parts.sum(0)) * rng.uniform(0.97, 1.05) + noise
        return np.clip(mains, 0, self.recipe.ceiling).astype(np.float32), parts

    def _measured(self, house: Packed, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
        """A window as it was, every part stronger or weaker by up to a tenth."""
        while True:
            active = [runs for runs in house.runs if len(runs)] if rng.random() < self.recipe.active else []
            if active:
                runs = active[rng.integers(len(active))]
                begin, end = runs[rng.integers(len(runs))]
                first = int(np.clip(rng.integers(begin - self.width + 1, end), 0, len(house) - self.width))
            else:
                first = int(rng.integers(0, len(house) - self.width + 1))
            if house.clear(first, self.width):
                break
        mains, parts = house.window(first, first + self.width)
        rest = np.maximum(mains - parts.sum(0), 0)
        return rest, parts * rng.uniform(0.9, 1.1, (len(parts), 1)).astype(np.float32)

    def _mixed(self, house: Packed, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
        """What is left of one house, now and then backwards, and runs of any house laid over it."""
        while not house.clear(first := int(rng.integers(0, len(house) - self.width + 1)), self.width):
            pass
        mains, own = house.window(first, first + self.width)
        rest = np.maximum(mains - own.sum(0), 0)
        if rng.random() < 0.3:
            rest = rest[::-1].copy()
        parts = np.zeros((len(self.appliances), self.width), np.float32)
        for a, spread in enumerate(self.recipe.spread):
            if rng.random() >= self.recipe.chance[a]:
                continue
            source = self.sources[a][rng.integers(len(self.sources[a]))]
            for _ in range(rng.integers(1, self.recipe.most[a] + 1)):
                begin, end = source.runs[a][rng.integers(len(source.runs[a]))]
                run = source.window(begin, end)[1][a]
                run = stretch(run, rng.uniform(0.8, 1.25)) * np.float32(rng.uniform(1 - spread, 1 + spread))
                lay(parts[a], run, int(rng.integers(-len(run) + 1, self.width)), np.maximum)
        return rest, parts


class Windows:
    """A house cut into windows of ``width`` periods every ``step``, those that are known throughout, as they were."""

    def __init__(self, houses: Sequence[Packed], appliances: Sequence[Appliance], width: int = 512, step: int = 448):
        self.width = width
        self.scale = np.array([[a.scale] for a in appliances], np.float32)
        self.places = [
            (house, first)
            for house in houses
            for first in range(0, len(house) - width + 1, step)
            if house.clear(first, width)
        ]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> Item:
        house, first = self.places[number]
        mains, parts = house.window(first, first + self.width)
        return {"x": torch.from_numpy(parts / self.scale), "mains": torch.from_numpy(maps(mains))}


def stretch(run: np.ndarray, factor: float) -> np.ndarray:
    """Power [n] over ``factor`` times the time, as means of the periods: [round(n factor)], of the same mean power."""
    n = len(run)
    m = max(round(n * factor), 1)
    if m == n:
        return run
    total = np.concatenate([[0.0], np.cumsum(run, dtype=np.float64)])
    return (np.diff(np.interp(np.linspace(0, n, m + 1), np.arange(n + 1), total)) * (m / n)).astype(np.float32)


def _other(rng: Rng) -> np.ndarray:
    """Some load: 60 to 3500 W for half a minute to an hour, steady, by a thermostat or noisy."""
    watts, length = np.exp(rng.uniform(np.log(60), np.log(3500))), int(np.exp(rng.uniform(0, np.log(120))))
    load = np.full(length, watts, np.float32)
    if rng.random() < 0.5:
        turn, share = int(rng.integers(2, 12)), rng.uniform(0.2, 0.8)
        load *= np.arange(length) % turn < share * turn
    if rng.random() < 0.5:
        load *= (1 + 0.03 * rng.standard_normal(length)).astype(np.float32)
    return load


def lay(target: np.ndarray, run: np.ndarray, at: int, how: np.ufunc = np.add) -> None:
    """Lay a run over a window, in place, from ``at`` on; what sticks out is cut off."""
    low, high = max(at, 0), min(at + len(run), len(target))
    if low < high:
        target[low:high] = how(target[low:high], run[low - at : high - at])
