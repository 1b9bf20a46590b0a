"""The training set: real windows, and homes that never were.

The test is a house never seen, and there are few metered ones: what has to be learnt is which part of the mains is an
appliance, not what the rest of two houses looks like. So activations of any house are laid over what is left of
another's mains, with other loads thrown in (as Kelly and Knottenbelt 2015 do for single appliances).

Each house knows other appliances. One that it did not meter is not known in its windows (NaN): it may well be in what
is left of the mains, so the network neither learns that it is off nor has another house's laid over it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from diffx.errors import DataError
from diffx.noise import derive

from .activations import segments
from .appliances import Appliance
from .cycles import STEP, cooling
from .features import maps, scales
from .household import DAY
from .machines import MACHINES, over
from .pack import Packed

Rng = np.random.Generator
Item = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """How a mixed window comes about.

    ``real``: share of windows left as they were measured, parts and rest together. ``made_up``: share of the appliances
    in the others that are machines of :mod:`.machines`. ``spread``: how much weaker or stronger a metered activation is
    laid in than it was, as a share. ``others``: mean number of other loads. ``ceiling``: W that the mains meter clips
    at, in the share ``clipped`` of windows. ``coarse``: share of windows in which the meters give a value every other
    period. ``gaps``: share of windows in which the mains are not known for a while. ``unsaid``: share in which nobody
    says how often an appliance is used. ``even``: houses are drawn with known days to this power, so that a short
    recording is met more often than it is long (0: all alike), times the share of the appliances that they meter.
    """

    real: float = 0.3
    made_up: float = 0.4
    spread: float = 0.2
    others: float = 0.8
    ceiling: float = 6000.0
    clipped: float = 0.6
    coarse: float = 0.15
    gaps: float = 0.05
    unsaid: float = 0.1
    even: float = 0.5


class Mixture:
    """Item number -> ``{"x": power / scale [A, T], "mains": maps [3, T], "<appliance>_usage": place}``.

    A part that the window's house did not meter is NaN, and so is its usage. Each is a function of (seed, number). The
    usage of an appliance, activations a day as :func:`place` scales them, is what the window was drawn with: evenly, in
    the logarithm, from rarely to often for a mixed window, where activations come as a Poisson process of that rate;
    the house's own for a measured one. So a network learns p(parts | mains, how often each is used), and is not tied to
    the habits of the few homes that it was trained on.

    Args:
        width: T, in periods.
        period: seconds.
        count: how many items the set has; all differ.
        started: the network knows the appliances from elsewhere, so that one which no house metered is let be.

    Raises DataError where a house has no ``width`` known periods in a row, or nobody has an activation of an appliance.
    """

    def __init__(
        self,
        houses: Sequence[Packed],
        appliances: Sequence[Appliance],
        width: int = 512,
        period: float = 30.0,
        count: int = 1_000_000,
        seed: int = 0,
        recipe: Recipe | None = None,
        started: bool = False,
    ):
        self.houses, self.appliances = tuple(houses), tuple(appliances)
        self.width, self.period, self.count, self.seed = width, period, count, seed
        self.recipe = recipe or Recipe()
        # what else is in the mains is not known where but one of many appliances was metered: it gives activations only
        somewhere = np.any([house.metered for house in self.houses], axis=0)
        homes = [house for house in self.houses if 2 * house.metered.sum() >= somewhere.sum()]
        self.homes = homes or list(self.houses)
        for house in self.homes:
            if len(house) < width or not (house.unknown[width:] == house.unknown[:-width]).any():
                raise DataError(f"{house.name}: never {width} known periods in a row")
        weight = [h.known_days(period) ** self.recipe.even * h.metered.mean() for h in self.homes]
        self.often = np.cumsum(weight) / np.sum(weight)
        self.sources = [[h for h in self.houses if len(h.activations[a])] for a in range(len(self.appliances))]
        least = zip(self.appliances, self.sources, somewhere, strict=True)
        if lacking := [a.key for a, found, met in least if not found and (met or not started)]:
            raise DataError(f"{', '.join(h.name for h in self.houses)}: no activation of {', '.join(lacking)}")
        self.lasting = [[h for h in self.homes if h.metered[a]] for a in range(len(self.appliances))]
        self.longest = [
            max((int(np.ptp(h.activations[a], axis=1).max()) for h in found), default=0)
            for a, found in enumerate(self.sources)
        ]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Item:
        mains, parts, usage = self.draw(number)
        rng = self._rng("gaps", number)
        if rng.random() < self.recipe.gaps:
            length = int(np.exp(rng.uniform(0, np.log(self.width / 4))))
            lay(mains, np.full(length, np.nan, np.float32), int(rng.integers(-length + 1, self.width)))
        said = {
            a.usage_key: rate if rng.random() >= self.recipe.unsaid else np.nan
            for a, rate in zip(self.appliances, place(usage, self.appliances), strict=True)
        }
        return {"x": state(parts, self.appliances), "mains": torch.from_numpy(maps(mains)), **said}

    def draw(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(mains [T], parts [A, T], usage [A]) of an item, float32, W and activations a day; NaN where not known."""
        rng = self._rng("mix", number)
        house = self.homes[min(int(np.searchsorted(self.often, rng.random(), "right")), len(self.homes) - 1)]
        if rng.random() < self.recipe.real:
            rest, parts = self._measured(house, rng)
            usage = np.array(house.a_day(self.period))
        else:
            usage = np.exp([rng.uniform(*np.log(a.usage)) for a in self.appliances])
            rest, parts = self._mixed(house, usage, rng)
        usage[~house.metered] = np.nan
        if rng.random() < 0.5:
            rest = rest * np.float32(rng.uniform(0.5, 1.6))
        if rng.random() < 0.5:
            rest = np.maximum(rest + np.float32(rng.uniform(-80, 250)), 0)
        for _ in range(rng.poisson(self.recipe.others)):
            load = _other(rng)
            lay(rest, load, int(rng.integers(-len(load) + 1, self.width)))
        # the two meters do not agree to some per cent, and the mains one is noisy
        noise = rng.standard_normal(self.width) * rng.choice([0, 1, 4])
        mains = (rest + np.nansum(parts, 0)) * rng.uniform(0.97, 1.05) + noise
        if rng.random() < self.recipe.coarse:
            mains, parts = every_other(mains), every_other(parts)
        ceiling = self.recipe.ceiling if rng.random() < self.recipe.clipped else np.inf
        return np.clip(mains, 0, ceiling).astype(np.float32), parts, usage.astype(np.float32)

    def _rng(self, purpose: str, number: int) -> Rng:
        return np.random.Generator(np.random.Philox(key=derive(self.seed, purpose, number)))

    def _somewhere(self, house: Packed, rng: Rng) -> int:
        """Where a window that is known throughout begins."""
        while not house.clear(first := int(rng.integers(0, len(house) - self.width + 1)), self.width):
            pass
        return first

    def _measured(self, house: Packed, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
        """A window as it was, every part stronger or weaker by up to a tenth."""
        first = self._somewhere(house, rng)
        mains, parts = house.window(first, first + self.width)
        rest = np.maximum(mains - np.nansum(parts, 0), 0)
        return rest, parts * rng.uniform(0.9, 1.1, (len(parts), 1)).astype(np.float32)

    def _mixed(self, house: Packed, usage: np.ndarray, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
        """What is left of one house, now and then backwards, and activations of any house laid over it."""
        first = self._somewhere(house, rng)
        mains, own = house.window(first, first + self.width)
        rest = np.maximum(mains - np.nansum(own, 0), 0)
        if rng.random() < 0.3:
            rest = rest[::-1].copy()
        parts = np.where(house.metered[:, None], np.zeros((1, self.width), np.float32), np.float32(np.nan))
        for a, rate in enumerate(usage):
            if not house.metered[a]:
                continue
            if self.appliances[a].cycling:
                parts[a], usage[a] = self._always(a, rng)
                continue
            use = self._machine(a, rng)
            reach = round(1.25 * self.longest[a])  # what began before the window may last into it
            for _ in range(rng.poisson(rate * (self.width + reach) * self.period / DAY)):
                activation = use(rng)
                at = int(rng.integers(-reach, self.width))
                if not parts[a, max(at, 0) : max(at + len(activation), 0)].any():  # no machine is on twice at once
                    lay(parts[a], activation, at)
        return rest, parts

    def _always(self, a: int, rng: Rng) -> tuple[np.ndarray, float]:
        """A window of an appliance that runs by itself all day, and its activations a day; seldom there is none."""
        if rng.random() < 0.1:
            return np.zeros(self.width, np.float32), self.appliances[a].usage[0]
        if rng.random() < self.recipe.made_up:
            fine = round(self.period / STEP)
            power = over(cooling(rng, (self.width + 1) * fine), self.period, rng)[1 : self.width + 1]
            begun = len(segments(power > self.appliances[a].edge))
            return power, begun * DAY / (self.width * self.period)
        source = self.lasting[a][rng.integers(len(self.lasting[a]))]
        first = self._somewhere(source, rng)
        strength = np.float32(rng.uniform(1 - self.recipe.spread, 1 + self.recipe.spread))
        return source.window(first, first + self.width)[1][a] * strength, source.a_day(self.period)[a]

    def _machine(self, a: int, rng: Rng) -> Callable[[Rng], np.ndarray]:
        """One appliance of a home: metered, somewhat stronger or weaker, or made up. Each call of it is one use."""
        key = self.appliances[a].key
        if key in MACHINES and rng.random() < self.recipe.made_up:
            cycle = MACHINES[key](rng)
            return lambda rng: over(cycle(rng), self.period, rng)
        source = self.sources[a][rng.integers(len(self.sources[a]))]
        strength = rng.uniform(1 - self.recipe.spread, 1 + self.recipe.spread)

        def metered(rng: Rng) -> np.ndarray:
            begin, end = source.activations[a][rng.integers(len(source.activations[a]))]
            activation = stretch(source.window(begin, end)[1][a], rng.uniform(0.8, 1.25))
            return activation * np.float32(strength * rng.uniform(0.96, 1.04))

        return metered


def place(usage: Sequence[float] | np.ndarray, appliances: Sequence[Appliance]) -> list[float]:
    """Where activations a day lie between rarely (0) and often (1), in the logarithm and held inside; NaN stays."""
    pairs = zip(usage, appliances, strict=True)
    return [
        float(np.clip(np.log(np.maximum(u, 1e-9) / a.usage[0]) / np.log(a.usage[1] / a.usage[0]), 0, 1))
        for u, a in pairs
    ]


def state(parts: np.ndarray, appliances: Sequence[Appliance]) -> torch.Tensor:
    """Power of appliances [A, T], W -> the clean state [A, T], in units of their scales."""
    return torch.from_numpy(parts / scales(appliances)[:, None])


class Windows:
    """Houses cut into windows of ``width`` periods every ``step``, those that are known throughout, as they were."""

    def __init__(
        self,
        houses: Sequence[Packed],
        appliances: Sequence[Appliance],
        width: int = 512,
        period: float = 30.0,
        step: int = 448,
    ):
        self.width, self.period, self.appliances = width, period, tuple(appliances)
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
        usage = place(house.a_day(self.period), self.appliances)
        said = {a.usage_key: rate for a, rate in zip(self.appliances, usage, strict=True)}
        return {"x": state(parts, self.appliances), "mains": torch.from_numpy(maps(mains)), **said}


def stretch(power: np.ndarray, factor: float) -> np.ndarray:
    """Power [n] over ``factor`` times the time, as means of the periods: [round(n factor)], of the same mean power."""
    n = len(power)
    m = max(round(n * factor), 1)
    if m == n:
        return power
    total = np.concatenate([[0.0], np.cumsum(power, dtype=np.float64)])
    return (np.diff(np.interp(np.linspace(0, n, m + 1), np.arange(n + 1), total)) * (m / n)).astype(np.float32)


def every_other(power: np.ndarray) -> np.ndarray:
    """Power [..., T] as a meter of half the rate gives it: two periods share their mean; an odd last one is its own."""
    out = power.copy()
    even = out.shape[-1] // 2 * 2
    pairs = power[..., :even].reshape(*power.shape[:-1], even // 2, 2).mean(-1)
    out[..., :even] = np.repeat(pairs, 2, axis=-1)
    return out


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


def lay(target: np.ndarray, power: np.ndarray, at: int, how: np.ufunc = np.add) -> None:
    """Lay an activation over a window, in place, from ``at`` on; what sticks out is cut off."""
    low, high = max(at, 0), min(at + len(power), len(target))
    if low < high:
        target[low:high] = how(target[low:high], power[low - at : high - at])
