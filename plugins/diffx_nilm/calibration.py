"""Calibrated bands: widened until they hold what they promise in homes that the network never saw.

The members of the posterior agree with one another more than with a new home: its kettle is another kettle, its meter
another meter, and an activation may begin half a minute earlier. So the interval [l, h] of the members is widened, for
each appliance and level on its own, over ``reach`` neighbouring periods and by a share g of itself,

    [ min l / (1 + g), max h (1 + g) ],

and the interval of a day's energies by a share and by some watt-hours. How much is enough is counted in metered homes,
as in split conformal prediction (Papadopoulos et al. 2002): the least with which intervals of level p hold the truth
in p of the active periods, where truth or upper end is above the threshold, and in p of the days.

An appliance is said to be on where that is more probable than a certain share. One half does not make the best F1: the
best share is half the F1 that can be had (Lipton, Elkan and Narayanaswamy 2014), so it is counted in these homes, too.
The probability is averaged over some neighbouring periods first, as many as do best there: samples of an appliance that
runs for long, such as a fridge, agree on about when it runs better than on each half minute.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from diffx.metrics import central_interval, conformal_quantile

from .appliances import Appliance

LEVELS = (0.5, 0.9)
_STARTS = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.999)  # levels of the members' interval to start from
_FURTHEST = 2  # periods
_MOST = 1.0  # a band may be doubled, not more
_NEIGHBOURS = (0, 1, 2, 5, 10, 20)  # periods before and after over which a probability may be averaged


@dataclass(frozen=True)
class Band:
    """``level`` of the members' central interval, ``reach`` in periods and ``gain`` g that make up for a level."""

    level: float
    reach: int = 0
    gain: float = 0.0

    def of(self, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Members [M, T], W -> ends [T], float32."""
        low, high = around(*interval(members, self.level), self.reach)
        return low / (1 + self.gain), high * (1 + self.gain)


@dataclass(frozen=True)
class Energy:
    """``gain`` and ``slack`` in Wh of the 90 % interval of a day's energy."""

    gain: float = 0.0
    slack: float = 0.0

    def of(self, members: np.ndarray, days: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Ends [...] of the 90 % interval of an energy.

        Args:
            members: of the samples, [M, ...], Wh.
            days: that they are the sums of: the gain is a share of any energy, since a home is wrong in the same way
                every day; the slack is what is left in a single day, and grows with the root of their number.
        """
        low, high = (end.numpy() for end in central_interval(members, 0.9)[:2])
        slack = self.slack * math.sqrt(days)
        return np.maximum(low / (1 + self.gain) - slack, 0), high * (1 + self.gain) + slack


@dataclass(frozen=True)
class Decision:
    """``likely``: the probability above which an appliance is said to be on, once it is averaged over ``reach`` periods
    before and after."""

    likely: float
    reach: int = 0

    def of(self, members: np.ndarray, threshold: float) -> np.ndarray:
        """Members [M, T], W -> whether it is said to be on, bool [T]; not where they are unknown."""
        return probability(members, threshold, self.reach) > self.likely


@dataclass(frozen=True)
class Calibration:
    """Of each appliance ``bands`` by level, ``energies``, and ``decisions``, when it is said to be on; None: where the
    median is above the threshold."""

    bands: tuple[Mapping[float, Band], ...]
    energies: tuple[Energy, ...]
    decisions: tuple[Decision | None, ...]

    @classmethod
    def none(cls, appliances: int) -> Calibration:
        """The members' own intervals."""
        bands = {level: Band(level) for level in LEVELS}
        return cls((bands,) * appliances, (Energy(),) * appliances, (None,) * appliances)

    @classmethod
    def of_json(cls, facts: Sequence[Mapping[str, Any]]) -> Calibration:
        """From what :meth:`to_json` made."""
        bands = tuple({float(level): Band(**band) for level, band in fact["bands"].items()} for fact in facts)
        decisions = tuple(
            None if fact["likely"] is None else Decision(fact["likely"], fact.get("reach", 0)) for fact in facts
        )
        return cls(bands, tuple(Energy(**fact["energy"]) for fact in facts), decisions)

    def to_json(self) -> list[dict[str, Any]]:
        """One mapping an appliance."""
        return [
            {
                "bands": {str(level): asdict(band) for level, band in bands.items()},
                "energy": asdict(energy),
                **({"likely": None} if decision is None else asdict(decision)),
            }
            for bands, energy, decision in zip(self.bands, self.energies, self.decisions, strict=True)
        ]

    def bounds(self, members: np.ndarray) -> dict[float, tuple[np.ndarray, np.ndarray]]:
        """Members [M, A, T] -> level -> ends, each float32 [A, T]."""
        ends = {}
        for level in LEVELS:
            each = [bands[level].of(members[:, a]) for a, bands in enumerate(self.bands)]
            low, high = zip(*each, strict=True)
            ends[level] = np.stack(low), np.stack(high)
        return ends

    def said(self, members: np.ndarray, appliances: Sequence[Appliance]) -> np.ndarray:
        """Members [M, A, T], W -> whether each appliance is said to be on, bool [A, T]."""
        rows = []
        for a, (appliance, decision) in enumerate(zip(appliances, self.decisions, strict=True)):
            own = members[:, a]
            if decision is None:
                rows.append(np.median(own, axis=0) > appliance.threshold)
            else:
                rows.append(decision.of(own, appliance.threshold))
        return np.stack(rows)

    def energy(self, members: np.ndarray, days: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Members' energies of so many days together, [M, A], Wh -> ends of the 90 % interval, each [A]."""
        low, high = zip(*(own.of(members[:, a], days) for a, own in enumerate(self.energies)), strict=True)
        return np.stack(low), np.stack(high)


def interval(members: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the central interval of members [M, T], each float32 [T]; NaN where a member is."""
    gap = np.isnan(members).any(0)
    ends = central_interval(np.where(gap, 0, members), level)[:2]
    low, high = (np.where(gap, np.nan, end.numpy()).astype(np.float32) for end in ends)
    return low, high


def around(low: np.ndarray, high: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """The least low and the greatest high of ``reach`` periods before and after, [T]; NaN stays where it is."""
    gap, least, greatest = np.isnan(low), low.copy(), high.copy()
    for k in range(1, reach + 1):
        for ends, source, pick in ((least, low, np.fmin), (greatest, high, np.fmax)):
            ends[k:] = pick(ends[k:], source[:-k])
            ends[:-k] = pick(ends[:-k], source[k:])
    least[gap] = greatest[gap] = np.nan
    return least, greatest


def fit_band(pieces: Sequence[tuple[np.ndarray, np.ndarray]], appliance: Appliance, level: float) -> Band:
    """The narrowest band that holds ``level`` of the active periods; where none does, the one that holds most.

    Args:
        pieces: (members [M, T], truth [T]) of metered homes, W.
    """
    truth = np.concatenate([y for _, y in pieces])
    found: list[tuple[bool, float, Band]] = []
    for start in _STARTS:
        ends = [interval(members, start) for members, _ in pieces]
        for reach in range(_FURTHEST + 1):
            low, high = (np.concatenate(side) for side in zip(*(around(*end, reach) for end in ends), strict=True))
            good = np.isfinite(low) & np.isfinite(truth)
            fit = (low[good], high[good], truth[good], appliance.threshold)
            gain = _least_gain(*fit, level)
            held, width = coverage(*fit, gain)
            found.append((held < level, width if held >= level else -held, Band(start, reach, gain)))
    return min(found, key=lambda one: one[:2])[2]


def coverage(
    low: np.ndarray, high: np.ndarray, truth: np.ndarray, threshold: float, gain: float
) -> tuple[float, float]:
    """(share of active periods, 1 of none, that [low / (1 + gain), high (1 + gain)] holds; its mean width)."""
    low, high = low / (1 + gain), high * (1 + gain)
    active = (truth > threshold) | (high > threshold)
    inside = (low <= truth) & (truth <= high)
    return float(inside[active].mean()) if active.any() else 1.0, float((high - low).mean())


def _least_gain(low: np.ndarray, high: np.ndarray, truth: np.ndarray, threshold: float, level: float) -> float:
    """By bisection; the largest there may be where none is enough."""
    if coverage(low, high, truth, threshold, 0.0)[0] >= level:
        return 0.0
    few, many = 0.0, _MOST
    for _ in range(12):
        middle = (few + many) / 2
        if coverage(low, high, truth, threshold, middle)[0] >= level:
            many = middle
        else:
            few = middle
    return many


def fit_energy(members: np.ndarray, truth: np.ndarray, level: float = 0.9) -> Energy:
    """The narrowest interval that holds ``level`` of the days: members' energies [M, D] and metered ones [D], Wh."""
    best, narrowest = Energy(), math.inf
    for gain in np.linspace(0, _MOST, 21):
        low, high = Energy(float(gain)).of(members)
        off = np.maximum(np.maximum(low - truth, truth - high), 0)
        slack = min(conformal_quantile(off, level), float(off.max()))
        low, high = Energy(float(gain), slack).of(members)
        if (width := float((high - low).mean())) < narrowest:
            best, narrowest = Energy(float(gain), slack), width
    return best


def probability(members: np.ndarray, threshold: float, reach: int = 0) -> np.ndarray:
    """Members [M, T], W -> the share of them above the threshold, averaged over the known ones of ``reach`` periods
    before and after: float64 [T], NaN where members are unknown."""
    known = np.isfinite(members).all(0)
    total = np.concatenate([[0.0], np.cumsum(np.where(known, (members > threshold).mean(0), 0.0))])
    count = np.concatenate([[0], np.cumsum(known)])
    at = np.arange(len(known))
    first, stop = np.maximum(at - reach, 0), np.minimum(at + reach + 1, len(known))
    mean = (total[stop] - total[first]) / np.maximum(count[stop] - count[first], 1)
    return np.where(known, mean.round(9), np.nan)  # differences of sums: 0.3 is 0.3 again


def fit_decision(pieces: Sequence[tuple[np.ndarray, np.ndarray]], appliance: Appliance) -> Decision:
    """That with the best F1, of probabilities from 0.1 to 0.6 and reaches up to 20 periods; of equal ones the shortest.

    Args:
        pieces: (members [M, T], truth [T]) of metered homes, W.
    """
    truth = np.concatenate([y for _, y in pieces])
    good = np.isfinite(truth) & np.concatenate([np.isfinite(members).all(0) for members, _ in pieces])
    on = truth[good] > appliance.threshold
    best, most = Decision(0.5), -1.0
    for reach in _NEIGHBOURS:
        share = np.concatenate([probability(members, appliance.threshold, reach) for members, _ in pieces])[good]
        for likely in np.linspace(0.1, 0.6, 11).round(2):
            said = share > likely
            f1 = 2 * float((said & on).sum()) / max(float(said.sum() + on.sum()), 1.0)
            if f1 > most:
                best, most = Decision(float(likely), reach), f1
    return best


LEAST_MEMBERS = 16  # the widest interval of m members holds (m - 1) / (m + 1) of what is drawn alike: 0.88 of 16


def uncalibrated(meta: Mapping[str, Any], members: int, sampling: Mapping[str, Any], usual: Mapping[str, Any]) -> str:
    """Why intervals cannot be called calibrated; "" where they can.

    Args:
        meta: of the weights.
        members: samples that are drawn.
        sampling: options of the sampler.
        usual: the default options, with which weights are calibrated that do not say how they were.
    """
    if not meta.get("calibration"):
        return "these weights have not been calibrated: the intervals are the samples' own, and likely too narrow"
    made = {**usual, **meta.get("calibrated_with", {})}
    other = {
        name: value
        for name, value in sampling.items()
        if name not in ("batch", "steps") and name in made and value != made[name]
    }
    if sampling["steps"] < made["steps"]:
        other["steps"] = sampling["steps"]
    if members >= LEAST_MEMBERS and not other:
        return ""
    asked = ", ".join([f"n={members}", *(f"sample.{name}={value}" for name, value in other.items())])
    return (
        f"the intervals are not calibrated for {asked}: that takes n of at least {LEAST_MEMBERS} and the sampling that "
        f"the weights were calibrated with ({made['steps']} steps)"
    )
