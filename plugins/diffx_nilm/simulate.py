"""A household made up: what the default run disaggregates where nobody brought data, and what tests know the truth of.

Each seed is another home, with its own appliances; each day of it is drawn by itself, so that the same day comes out
however many are asked for. Powers are plausible for Europe, and fitted to nothing.

===================  =======================================  ======================================================
load                 power, W                                 use
===================  =======================================  ======================================================
base                 40-130, drifting by a tenth              always
fridge, freezer      70-130 each, start surge                 on 12-25 minutes of 35-70; half have a defrost heater
lighting             15-60 a lamp, 2-8 lamps                  mornings and evenings, longer in winter
kettle               2200-3000                                2-7 a day: :func:`.cycles.kettle`
microwave            1050-1450                                1-3 a day: :func:`.cycles.microwave`
dishwasher           1900-2400 and 45-90 of the pump          0.4-1 a day: :func:`.cycles.dishwasher`
washing machine      1900-2300 and 90-220 of the drum         0.3-0.8 a day: :func:`.cycles.washing_machine`
television, PC       50-180                                   1-3 a day, half an hour to four hours, mostly evenings
toaster, hair dryer  800-1800                                 0.3-1 a day each, mornings
oven, hob            1500-2600, by thermostat                 0.5-1 a day before meals
vacuum, iron         700-2400                                 0.15-0.3 a day each
tumble dryer         2000-2600, by thermostat                 after every other wash, in 45 % of homes
shower               7000-9000                                0.5-1.5 a day of 4-9 minutes, in 25 % of homes
heater               800-2000, by thermostat                  1 a day in winter, in 40 % of homes
===================  =======================================  ======================================================

Numbers of uses are Poisson, hours as :data:`HOURS` says (an hour or two later on weekends). Kettles are used a tenth
more in winter, and washing machines heat colder water. The meter adds 1.5 W of noise, rounds to 1 W, and does not know
``missing`` of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from diffx.errors import UsageError
from diffx.noise import derive

from . import cycles
from .appliances import DEFAULT
from .cycles import STEP, Cycle, Heater, Rng
from .household import Household

_DAY = 86_400 // STEP
# weight of each hour of the day
HOURS = {
    "drinks": (0, 0, 0, 0, 0, 1, 5, 7, 4, 3, 3, 3, 4, 4, 3, 4, 5, 5, 3, 3, 4, 4, 2, 1),
    "meals": (0, 0, 0, 0, 0, 0, 2, 3, 2, 0, 0, 2, 5, 3, 0, 0, 2, 6, 7, 4, 1, 0, 0, 0),
    "dishes": (0, 0, 0, 0, 0, 0, 1, 2, 3, 2, 1, 1, 1, 3, 2, 1, 1, 2, 4, 6, 5, 3, 1, 0),
    "laundry": (0, 0, 0, 0, 0, 0, 2, 4, 6, 6, 5, 4, 3, 3, 2, 2, 2, 3, 3, 2, 1, 0, 0, 0),
    "morning": (0, 0, 0, 0, 0, 1, 6, 8, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    "day": (0, 0, 0, 0, 0, 0, 0, 1, 3, 5, 5, 4, 3, 3, 4, 4, 3, 2, 1, 1, 0, 0, 0, 0),
    "evening": (0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 5, 8, 9, 8, 4, 1, 0),
}


@dataclass(frozen=True)
class Habit:
    """A load that is used: ``rate`` times a day at hours of that kind; ``cycle`` for the water's temperature."""

    name: str
    rate: float
    hours: str
    cycle: Callable[[float], Cycle]
    winter: float = 1.0  # times the rate at midwinter; one over it at midsummer


def simulate(
    days: float = 7,
    seed: int = 0,
    start: str | pd.Timestamp = "2024-01-15",
    period: float = 30.0,
    timezone: str | None = None,
    missing: float = 0.0,
) -> Household:
    """A household of the four default appliances and all that hides them; see the module for what is in it.

    Args:
        days: how many, from midnight of ``start``.
        seed: which home.
        start: first day.
        period: seconds, a multiple of 6.
        timezone: of ``start``; naive without one.
        missing: share of the time for which the mains meter has no value.
    """
    if period % STEP or not 0 < days <= 3660 or not 0 <= missing < 1:
        raise UsageError(f"days from 0 to 3660, period a multiple of {STEP} s and missing from 0 to 1 are simulated")
    first = pd.Timestamp(start).normalize()
    whole = int(np.ceil(days))
    habits = _habits(_rng(seed, "home"))
    parts = {appliance.key: np.zeros(whole * _DAY, np.float32) for appliance in DEFAULT}
    rest = _background(seed, first, whole)
    for day in range(whole):
        date = first.tz_localize(None) + pd.Timedelta(days=day)
        cold = _cold(date)
        late = date.weekday() >= 5
        for habit in habits:
            rng = _rng(seed, habit.name, day)
            for at, run in _uses(habit, rng, cold, late):
                begin = day * _DAY + at
                target = parts.get(habit.name, rest)
                run = run[: len(target) - begin]
                if habit.name in parts:  # one of each: what comes while it runs is left out
                    if target[begin : begin + len(run)].any():
                        continue
                    target[begin : begin + len(run)] = run
                else:
                    target[begin : begin + len(run)] += run
    count = int(days * 86_400 // period)
    even = {name: _mean(part, period)[:count] for name, part in parts.items()}
    mains = _mean(rest, period)[:count] + np.sum(list(even.values()), axis=0)
    rng = _rng(seed, "meter")
    mains = np.maximum(np.rint(mains + 1.5 * rng.standard_normal(count)), 0).astype(np.float32)
    _forget(mains, missing, rng)
    begin = first.tz_localize(timezone) if timezone and first.tzinfo is None else first
    notes = (f"simulated: home {seed} of the household simulator, {days:g} days",)
    return Household("simulated household", begin.as_unit("us"), period, mains, even, "active", notes)


def _rng(*key: int | str) -> Rng:
    return np.random.Generator(np.random.Philox(key=derive("household", *key)))


def _cold(date: pd.Timestamp) -> float:
    """1 at midwinter (mid January, northern), -1 at midsummer."""
    return float(np.cos(2 * np.pi * (date.day_of_year - 15) / 365.25))


def _habits(rng: Rng) -> list[Habit]:
    """The appliances of a home, and how often each is used."""
    u = rng.uniform

    def always(cycle: Cycle) -> Callable[[float], Cycle]:
        return lambda inlet: cycle

    dish, drum = Heater(u(1900, 2400), u(45, 90)), Heater(u(1900, 2300), u(90, 220))
    washes = u(0.3, 0.8)
    made = [
        Habit("kettle", u(2, 7), "drinks", always(cycles.kettle(u(2200, 3000))), 1.1),
        Habit("microwave", u(1, 3), "meals", always(cycles.microwave(u(1050, 1450)))),
        Habit("dishwasher", u(0.4, 1), "dishes", always(cycles.dishwasher(dish))),
        Habit("washing_machine", washes, "laundry", lambda inlet: cycles.washing_machine(drum, inlet)),
        Habit("television", u(1, 2), "evening", always(cycles.steady(u(50, 180), (60, 240), 0.08))),
        Habit("computer", u(0.5, 1.5), "day", always(cycles.steady(u(50, 150), (30, 240), 0.1))),
        Habit("toaster", u(0.3, 1), "morning", always(cycles.steady(u(800, 1000), (2, 3.5), 0.01))),
        Habit("hair dryer", u(0.3, 0.7), "morning", always(cycles.steady(u(1200, 1800), (2, 7)))),
        Habit("oven", u(0.3, 0.7), "meals", always(cycles.thermostat(u(1900, 2600), (20, 50), 8, 60, 90))),
        Habit("hob", u(0.2, 0.6), "meals", always(cycles.thermostat(u(1200, 1800), (8, 25), 3, 20, 20))),
        Habit("vacuum", u(0.15, 0.3), "day", always(cycles.steady(u(700, 1400), (5, 25)))),
        Habit("iron", u(0.1, 0.25), "day", always(cycles.thermostat(u(1600, 2400), (15, 45), 1.5, 18, 60))),
    ]
    if rng.random() < 0.45:
        dryer = cycles.thermostat(u(2000, 2600), (25, 60), 15, 240, 90)
        made.append(Habit("tumble dryer", washes / 2, "laundry", always(dryer), 1.4))
    if rng.random() < 0.25:
        made.append(Habit("shower", u(0.5, 1.5), "morning", always(cycles.steady(u(7000, 9000), (4, 9), 0.01))))
    if rng.random() < 0.4:
        heater = cycles.thermostat(u(800, 2000), (30, 180), 15, 300, 420)
        made.append(Habit("heater", 0.35, "evening", always(heater), 3.0))
    return made


def _uses(habit: Habit, rng: Rng, cold: float, late: bool) -> list[tuple[int, np.ndarray]]:
    """(step of the day, power of the run) of a day's uses."""
    weight = np.roll(HOURS[habit.hours], int(rng.integers(1, 3)) if late else 0).astype(float)
    inlet = 13 - 5 * cold
    out = []
    for _ in range(rng.poisson(habit.rate * habit.winter**cold)):
        hour = rng.choice(24, p=weight / weight.sum()) + rng.random()
        out.append((int(hour * 3600 / STEP), habit.cycle(inlet)(rng).astype(np.float32)))
    return out


def _background(seed: int, first: pd.Timestamp, days: int) -> np.ndarray:
    """Base load, cooling and lighting."""
    home = _rng(seed, "background")
    base, cold_rooms = home.uniform(40, 130), int(home.integers(1, 3))
    n = days * _DAY
    drift = _rng(seed, "drift").standard_normal(days * 24 + 2)
    total = base * (1 + 0.05 * np.interp(np.arange(n) / (_DAY / 24), np.arange(days * 24 + 2), drift))
    for which in range(cold_rooms):
        total += cycles.cooling(_rng(seed, "cooling", which), n)
    lamps = home.uniform(15, 60, int(home.integers(2, 9)))
    for day in range(days):
        cold = _cold(first.tz_localize(None) + pd.Timedelta(days=day))
        rng = _rng(seed, "lamps", day)
        for lamp in lamps:
            for begin, end in ((rng.normal(6.6, 0.4), 7.5 + cold), (18.5 - 2.2 * cold, rng.normal(22.7, 0.6))):
                begin += rng.uniform(0, 1.5)
                if rng.random() < 0.7 and end > begin:
                    total[day * _DAY + int(begin * 3600 / STEP) : day * _DAY + int(end * 3600 / STEP)] += lamp
    return total.astype(np.float32)


def _mean(power: np.ndarray, period: float) -> np.ndarray:
    k = int(period // STEP)
    return power[: len(power) // k * k].reshape(-1, k).mean(1, dtype=np.float64).astype(np.float32)


def _forget(mains: np.ndarray, share: float, rng: Rng) -> None:
    """Make that share of the mains not known, in gaps of minutes to hours."""
    while share > 0 and np.isnan(mains).mean() < share:
        length = int(np.exp(rng.uniform(np.log(2), np.log(max(len(mains) * share / 2, 3)))))
        at = int(rng.integers(0, max(len(mains) - length, 1)))
        mains[at : at + length] = np.nan
