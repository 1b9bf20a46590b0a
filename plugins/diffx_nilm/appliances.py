"""Appliances: what they are called, and when they count as on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from diffx.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class Appliance:
    """One kind of appliance.

    ``name``: of the NILM Metadata vocabulary (Kelly and Knottenbelt 2014). ``key``: in files and figures. ``aliases``:
    other names that it goes by, spelt in any way. ``threshold``: W above which it is on, for every figure. ``scale``: W
    that the network calls 1. ``edge``: W above which an activation of it is taken out of a submeter; lower than the
    threshold where a mean over 30 s dilutes the ends of it. ``peak``: W that an activation reaches at least. ``gap``:
    seconds off that do not end one. ``min_on``, ``max_on``: seconds that one takes. ``usage``: activations a day in a
    home that rarely uses it, and in one that does so often; ``typical``: in most homes, by default half way between
    these in the logarithm. ``cycling``: it runs by itself, again and again, all day. ``steady``: of one that draws a
    single power while it is on, W from and to which that may lie, and seconds that it takes at most.
    """

    name: str
    key: str
    threshold: float
    scale: float
    edge: float
    peak: float
    gap: float
    min_on: float
    max_on: float = 15_000
    usage: tuple[float, float] = (0.02, 10.0)
    typical: float | None = None
    cycling: bool = False
    steady: tuple[float, float, float] | None = None
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        positive = {k: getattr(self, k) for k in ("threshold", "scale", "edge", "max_on")}
        if wrong := [k for k, v in positive.items() if not v > 0]:
            raise UsageError(f"{self.name}: {wrong[0]} is a positive number, not {positive[wrong[0]]}")
        if not 0 <= self.min_on <= self.max_on or self.gap < 0 or self.peak < 0:
            raise UsageError(f"{self.name}: 0 <= min_on <= max_on, and no negative gap or peak")
        if self.steady is not None and not (0 < self.steady[0] < self.steady[1] and self.steady[2] > 0):
            raise UsageError(f"{self.name}: steady is the least and the greatest power, and the longest time")
        if not 0 < self.usage[0] < self.usage[1]:
            raise UsageError(f"{self.name}: usage is from rarely to often, in activations a day")
        if self.typical is not None and not self.usage[0] <= self.typical <= self.usage[1]:
            raise UsageError(f"{self.name}: the typical usage is between rarely and often")

    @classmethod
    def of_json(cls, facts: Mapping[str, Any]) -> Appliance:
        """From what ``dataclasses.asdict`` made of one, as JSON gives it back. UsageError for fields it has not.

        Weights that were trained before ``steady`` was known take it from the known appliance of their name.
        """
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(facts) - known):
            raise UsageError(f"an appliance has no {unknown[0]!r}{did_you_mean(unknown[0], sorted(known))}")
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in facts.items()}
        if "steady" not in values and (known_one := called(str(values.get("name", "")))) is not None:
            values["steady"] = known_one.steady
        return cls(**values)

    @property
    def usage_key(self) -> str:
        """Field of a record that says how often it is used."""
        return usage_key(self.key)

    def is_called(self, name: str) -> bool:
        """Whether a column or channel of this name is one: "Washing_Machine 2", "washingmachine", ..."""
        bare = re.sub(r"\d+$", "", plain(name))
        return bare in {plain(own) for own in (self.name, self.key, *self.aliases)}


# Thresholds of the protocol (kettle 2000, dishwasher 10, washing machine 20, microwave 200, fridge 50 W): Kelly and
# Knottenbelt 2015, "Neural NILM", table 3.
KETTLE = Appliance(
    "kettle",
    "kettle",
    threshold=2000,
    scale=3000,
    edge=500,
    peak=2000,
    gap=60,
    min_on=30,
    usage=(0.1, 12),
    typical=4,
    steady=(1500, 3500, 480),
    aliases=("kettles",),
)
DISHWASHER = Appliance(
    "dish washer",
    "dishwasher",
    threshold=10,
    scale=2400,
    edge=10,
    peak=1000,
    gap=1200,
    min_on=600,
    usage=(0.02, 2.5),
    typical=0.6,
    aliases=("dishwasher", "dishwaser"),  # as REDD spells it
)
WASHING_MACHINE = Appliance(
    "washing machine",
    "washing_machine",
    threshold=20,
    scale=2400,
    edge=20,
    peak=1000,
    gap=600,
    min_on=600,
    usage=(0.02, 2.5),
    typical=0.6,
    aliases=("washer", "clothes washer"),  # not one that also dries: its cycle is another one, of twice the energy
)
MICROWAVE = Appliance(
    "microwave",
    "microwave",
    threshold=200,
    scale=1500,
    edge=200,
    peak=200,
    gap=60,
    min_on=30,
    usage=(0.1, 10),
    typical=2,
    aliases=("microwave oven", "combination microwave"),
)
FRIDGE = Appliance(
    "fridge",
    "fridge",
    threshold=50,
    scale=300,
    edge=50,
    peak=60,
    gap=60,
    min_on=60,
    usage=(4, 80),
    typical=30,
    cycling=True,
    aliases=("refrigerator", "fridge freezer"),
)
DEFAULT = (KETTLE, DISHWASHER, WASHING_MACHINE, MICROWAVE)
KNOWN = (*DEFAULT, FRIDGE)


def usage_key(name: str) -> str:
    """Field of a record that says how often the appliance of this name is used."""
    known = called(name)
    return f"{known.key if known else name}_usage"


def plain(name: str) -> str:
    """A name without case, spaces and punctuation."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def called(name: str, appliances: Iterable[Appliance] = KNOWN) -> Appliance | None:
    """The appliance of that name, or None."""
    return next((appliance for appliance in appliances if appliance.is_called(name)), None)


def named(names: Sequence[str]) -> list[str]:
    """These names, or where there are none those of the default appliances."""
    return list(names) or [appliance.key for appliance in DEFAULT]


def choose(names: Sequence[str], appliances: Sequence[Appliance] = KNOWN) -> tuple[Appliance, ...]:
    """The appliances of these names, in this order. UsageError for one that nobody has described."""
    chosen = []
    for name in names:
        appliance = called(name, appliances)
        if appliance is None:
            known = [each.key for each in appliances]
            raise UsageError(f"no appliance {name!r}; there are {', '.join(known)}{did_you_mean(name, known)}")
        chosen.append(appliance)
    if len(set(chosen)) != len(chosen):
        raise UsageError(f"an appliance is named twice in {', '.join(names)}")
    return tuple(chosen)
