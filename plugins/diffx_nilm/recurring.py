"""The power that an appliance has in this home: events of one size that recur.

A kettle draws the same power every time, and the mains show it: 2,390 W more for two minutes, four times a day. A
network that has seen other kettles takes some of these for a kettle and some for something else, and spreads its
samples over a range of powers. All events of a home together say more than each by itself. With s the power and d the
length of an event, and p the share of the samples in which it is the appliance's, the densities of (s, d) among the
appliance's events and among the others are estimated from all events, weighed with p, and

    p' / (1 - p') = p / (1 - p) * f_appliance(s, d) / f_others(s, d),

and again with p' in place of the weights: expectation and maximisation in a mixture of two densities (Dempster, Laird
and Rubin 1977) whose prior is the network's. In an event that is the appliance's the samples then have its power as the
mains show it, up to what two meters differ by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from diffx.noise import derive

from .appliances import Appliance
from .events import Event, events, one_sided
from .whole import SHARE, SPARE

_ROUNDS = 6
_NARROW, _WIDE = (0.025, 0.5), (0.15, 0.8)  # widths of the kernels in log power and log length
_SAME = 0.03  # of the logarithm: what is of one power
_COMMON = 0.1  # of both densities alike: no event is ruled out by its size
_LEAST, _FEWEST = 0.1, 8  # samples agree more than they know: no share is less; and events that say something
# Energy by its own meter over what the mains show of an event: least, median and greatest of homes. Medians of metered
# kettles are 0.80 and 0.86 in REFIT 20 and 2, whose plugs are read every 8 s, and 1.00 in UK-DALE 1.
METERS = (0.82, 0.97, 1.06)


@dataclass(frozen=True)
class Recurring:
    """Of one appliance in one home: log power [n] and log length [n] of events, and ``weight`` [n], the probability of
    each that it is the appliance's."""

    power: np.ndarray
    length: np.ndarray
    weight: np.ndarray

    @property
    def level(self) -> float | None:
        """W of the appliance: where its events are densest, if at least half of them lie within 3 % of it."""
        dense = np.exp(-0.5 * ((self.power[:, None] - self.power) / _NARROW[0]) ** 2) @ self.weight
        level = self.power[int(np.argmax(dense))]
        near = np.abs(self.power - level) < _SAME
        if self.weight[near].sum() < 0.5 * self.weight.sum():
            return None
        return float(np.exp(np.average(self.power[near], weights=self.weight[near])))

    def ratio(self, power: np.ndarray, length: np.ndarray) -> np.ndarray:
        """f_appliance / f_others at events of these powers, W, and lengths, periods: [n]."""
        at = np.log(power), np.log(length)
        near, around = (self._kernel(*at, *widths) for widths in (_NARROW, _WIDE))
        any_ = around.mean(1) / (_WIDE[0] * _WIDE[1])
        narrow = (1 - _COMMON) / (_NARROW[0] * _NARROW[1])
        own, other = (
            narrow * (near @ weight) / max(float(weight.sum()), 1e-9) + _COMMON * any_
            for weight in (self.weight, 1 - self.weight)
        )
        return own / other

    def _kernel(self, power: np.ndarray, length: np.ndarray, wide: float, long: float) -> np.ndarray:
        off = ((power[:, None] - self.power) / wide) ** 2 + ((length[:, None] - self.length) / long) ** 2
        return np.exp(-0.5 * off)


def learnt(power: np.ndarray, length: np.ndarray, share: np.ndarray) -> Recurring | None:
    """From events of these powers [n], W, and lengths [n], periods, and the share of samples [n] in which each is the
    appliance's. None of too few events."""
    if len(power) < _FEWEST or share.sum() < 1:
        return None
    weight = share.clip(_LEAST, 1 - _LEAST)
    for _ in range(_ROUNDS):
        found = Recurring(np.log(power), np.log(length), weight)
        weight = posterior(share, found.ratio(power, length))
    return Recurring(np.log(power), np.log(length), weight)


def posterior(share: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """p' of the shares p [n] and ratios of densities [n]."""
    p = share.clip(_LEAST, 1 - _LEAST)
    odds = p / (1 - p) * ratio
    return odds / (1 + odds)


def of_appliance(mains: np.ndarray, appliance: Appliance, period: float) -> list[Event]:
    """Events in mains [T], W, that could be an appliance's of a steady power."""
    assert appliance.steady is not None
    least, most, longest = appliance.steady
    return events(mains, least, most, round(longest / period))


def has(members: np.ndarray, found: Sequence[Event], mains: np.ndarray) -> np.ndarray:
    """Whether a member [M, T], W, has at least half of the energy of each event: bool [M, n]."""
    rows = [members[:, e.first : e.stop].sum(1) > 0.5 * e.profile(mains).sum() for e in found]
    return np.stack(rows, axis=1) if rows else np.zeros((len(members), 0), bool)


def learn(
    mains: Iterable[np.ndarray], members: Iterable[np.ndarray], appliances: Sequence[Appliance], period: float
) -> dict[str, Recurring]:
    """What recurs in the stretches of a home.

    Args:
        mains: of each stretch [T], W.
        members: of each stretch [M, A, T], W.
        appliances: A of them; those of a steady power are looked for.
        period: seconds.
    """
    out, stretches = {}, list(zip(mains, members, strict=True))
    for a, appliance in enumerate(appliances):
        if appliance.steady is None:
            continue
        power, length, share = [], [], []
        for whole, drawn in stretches:
            found = of_appliance(whole, appliance, period)
            power += [e.power for e in found]
            length += [e.periods for e in found]
            share += has(drawn[:, a], found, whole).mean(0).tolist()
        recurring = learnt(np.array(power), np.array(length), np.array(share))
        if recurring is not None:
            out[appliance.key] = recurring
    return out


def settled(
    members: np.ndarray,
    mains: np.ndarray,
    known: Mapping[str, Recurring],
    appliances: Sequence[Appliance],
    period: float,
    seed: int = 0,
) -> np.ndarray:
    """Members [M, A, T] in which as many have an event as it is probable, with its power; others give way.

    Args:
        members: samples, W; NaN where the mains are.
        mains: [T], W.
        known: what recurs in this home, by appliance.
        appliances: A of them.
        period: seconds.
        seed: which members change where several could.
    """
    out = members.copy()
    gain = meters(len(members))
    for a, appliance in enumerate(appliances):
        if appliance.key not in known:
            continue
        found = of_appliance(mains, appliance, period)
        if (level := known[appliance.key].level) is not None and appliance.steady is not None:
            found += one_sided(mains, level, round(appliance.steady[2] / period), found)
        if not found:
            continue
        having = has(out[:, a], found, mains)
        size, length = np.array([e.power for e in found]), np.array([e.periods for e in found])
        wanted = posterior(having.mean(0), known[appliance.key].ratio(size, length))
        for event, own, share in zip(found, having.T, wanted, strict=True):
            at = slice(event.first, event.stop)
            rng = np.random.Generator(np.random.Philox(key=derive(seed, "recurring", appliance.key, event.first)))
            order = np.lexsort((rng.random(len(out)), -out[:, a, at].sum(1)))
            chosen = np.zeros(len(out), bool)
            chosen[order[: round(float(share) * len(out))]] = True
            out[own & ~chosen, a, at] = 0
            out[chosen, a, at] = gain[chosen, None] * event.profile(mains)
            _give_way(out, a, at, mains, chosen)
    return out


def meters(members: int) -> np.ndarray:
    """Submeter over mains, of each member [M]: evenly what it may be, since a home's meters err alike all day."""
    return np.interp((np.arange(members) + 0.5) / members, (0, 0.5, 1), METERS).astype(np.float32)


def _give_way(members: np.ndarray, a: int, at: slice, mains: np.ndarray, chosen: np.ndarray) -> None:
    """Make the other parts of these members smaller alike, in place, where all parts exceed the whole."""
    others = [b for b in range(members.shape[1]) if b != a]
    if not others or not chosen.any():
        return
    left = np.maximum(SHARE * mains[at] + SPARE - members[chosen, a, at], 0)
    total = sum(members[chosen, b, at] for b in others)
    factor = np.minimum(left / np.maximum(total, 1e-6), 1)
    for b in others:
        members[chosen, b, at] *= factor
