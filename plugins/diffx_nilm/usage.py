"""How often this household uses each appliance, learnt from its mains alone.

What a bump in the mains is depends on how often there is one of its kind: a home that washes twice a day is not one
that washes twice a month. The network is told the usage, so it can be found by expectation and maximisation: sample
activations given a usage, count them, take the usage that they speak for, and again.

An activation that is taken for another machine's is counted for the wrong one, more so at every round, and no length of
mains averages that out. So what is counted is weighed as if it were a week, against a few activations of typical use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from diffx.noise import derive

from .activations import bridged, segments
from .appliances import Appliance
from .ensemble import Ensemble, spread
from .household import DAY
from .mix import place
from .recurring import Recurring, learn

ROUNDS, WINDOWS, MEMBERS = 3, 60, 2
SEEN, MOST_DAYS = 3.0, 7.0  # what typical use weighs, and at most what was seen


def prior(appliance: Appliance) -> float:
    """Activations a day before anything is seen."""
    return appliance.typical or float(np.sqrt(appliance.usage[0] * appliance.usage[1]))


@dataclass(frozen=True)
class Home:
    """What its mains say of a home: activations a day of each appliance, and the events of one size that recur."""

    usage: Sequence[float]
    recurring: Mapping[str, Recurring] = field(default_factory=dict)


def adapted(ensemble: Ensemble, mains: np.ndarray, seed: int = 0, given: Mapping[str, float] | None = None) -> Home:
    """What a home with these mains [T], W, uses how often; ``given``: activations a day of what is known, by appliance.

    An activation is counted where it begins. With n of them in d days the usage is (3 + n w) / (3 / prior + d w) with
    w = min(1, 7 / d): the mean of the posterior of a Poisson rate that was a gamma law of shape 3 before, so that a day
    without a wash does not say "never".
    """
    given = given or {}
    own = [given.get(a.key) for a in ensemble.appliances]
    usage = [prior(a) if known is None else known for a, known in zip(ensemble.appliances, own, strict=True)]
    windows = spread(mains, ensemble.window, WINDOWS)
    seen = np.repeat(windows, MEMBERS, axis=0)
    if not len(seen):
        return Home(usage)
    days = len(seen) * ensemble.window * ensemble.period / DAY
    drawn = seen
    for _ in range(1 if None not in own else ROUNDS):
        told = place(usage, ensemble.appliances)
        # the same noise each time: what changes is the usage alone
        drawn = ensemble.windows(seen, told, [derive(seed, "usage", i) for i in range(len(seen))])
        counts = [sum(begun(p, a, ensemble.period) for p in drawn[:, i]) for i, a in enumerate(ensemble.appliances)]
        found = updated(counts, days, MEMBERS, ensemble.appliances)
        usage = [new if known is None else known for new, known in zip(found, own, strict=True)]
    members = drawn.reshape(len(windows), MEMBERS, *drawn.shape[1:])
    return Home(usage, learn(windows, members, ensemble.appliances, ensemble.period))


def updated(counts: Sequence[float], days: float, members: int, appliances: Sequence[Appliance]) -> list[float]:
    """Activations a day after ``counts`` of them in ``days`` days of sampled mains, ``members`` times the same days."""
    seen = days / members
    weight = min(1.0, MOST_DAYS / seen) / members if seen else 0.0
    pairs = zip(counts, appliances, strict=True)
    return [(SEEN + n * weight) / (SEEN / prior(a) + days * weight) for n, a in pairs]


def begun(power: np.ndarray, appliance: Appliance, period: float) -> int:
    """How many activations begin inside a window of power [T], W: above the edge for ``min_on``, up to the peak."""
    begin, end = bridged(segments(power > appliance.edge), appliance.gap / period).T
    long = ((end - begin) * period >= appliance.min_on) | (end == len(power))
    high = np.array([power[b:e].max() >= appliance.peak for b, e in zip(begin, end, strict=True)], dtype=bool)
    return int(((begin > 0) & long & high).sum())
