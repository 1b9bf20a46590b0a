"""Dishwashers and washing machines as makes differ: how many times one heats, whether its thermostat heats again.

What a machine does in a programme is much the same at every use, and another machine does something else. So a machine
draws its programmes once, and a use varies one of them a little. Ranges go beyond the metered machines of REFIT 2 and
20 and of UK-DALE 1, at which they were looked: three heated phases of a dishwasher, one to three minutes of heating
again and again after the main one, a second heated wash, heating with a break in it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from .cycles import Cycle, Rng, level, pulsed, steps

Phase = Callable[[float, Rng], np.ndarray]  # (factor on its length, variates) -> W in steps of the simulator
WATER = 4190 / 60  # W minutes that heat a litre by a kelvin


def dishwasher(rng: Rng) -> Cycle:
    """Rinse, one to three heated phases, drying: mostly 50 to 150 minutes and 0.5 to 1.7 kWh."""
    watts, pump = rng.uniform(1700, 2500), rng.uniform(25, 150)
    sag = rng.uniform(0, 0.1) if rng.random() < 0.4 else 0.0  # an element that is hot draws less

    def programme() -> list[Phase]:
        heated = int(rng.choice([1, 2, 3], p=[0.05, 0.5, 0.45]))
        phases: list[Phase] = [_pumping(pump * rng.uniform(0.4, 1), rng.uniform(2, 25))]
        for i in range(heated):
            longest = 12 if 0 < i < heated - 1 else 20
            phases.append(_heating(watts, pump, rng.uniform(5, longest), sag, 0.1 if i == 0 else 0.03, rng))
            if i < heated - 1:
                phases.append(_pumping(pump, rng.uniform(5, 60) if rng.random() < 0.5 else rng.uniform(5, 20)))
                if rng.random() < 0.5:  # drained and filled
                    phases += [_pumping(rng.uniform(5, 30), rng.uniform(0.5, 2)), _pumping(pump, rng.uniform(2, 8))]
        return [*phases, _pumping(pump * rng.uniform(0.3, 1), rng.uniform(2, 12)), _pumping(8, rng.uniform(1, 25))]

    return _machine([programme() for _ in range(rng.integers(1, 4))])


def washing_machine(rng: Rng) -> Cycle:
    """Fill, heating, tumbling, rinses, spinning: mostly 65 to 200 minutes and 0.3 to 1.4 kWh.

    7 to 17 litres are heated from 5 to 20 degrees to 30, 40 or 60. After that some machines keep the water warm, and
    some wash a second time.
    """
    watts, drum = rng.uniform(1500, 2500), rng.uniform(60, 260)
    litres, inlet, off = rng.uniform(7, 17), rng.uniform(5, 20), rng.uniform(4, 15)
    keeps_warm, pauses, twice = rng.random() < 0.4, 0.3 * rng.random(), rng.random() < 0.25
    tumbling = partial(_tumbling, off=off)

    def heated(share: float) -> Phase:
        kelvin = max(rng.choice([30, 40, 60], p=[0.35, 0.45, 0.2]) - inlet, 5)
        return _heating(watts, drum / 2, share * kelvin * litres * WATER / watts, 0.0, pauses, rng)

    def wash() -> list[Phase]:
        phases = [tumbling(drum * 0.6, rng.uniform(2, 15)), heated(rng.uniform(0.8, 1.2))]
        if keeps_warm:
            apart, short = rng.uniform(2, 8), rng.uniform(0.6, 2.5)
            for _ in range(rng.integers(1, 6)):
                phases += [tumbling(drum, apart), _heating(watts, drum / 2, short, 0.0, 0.0, rng)]
        return [*phases, tumbling(drum, rng.uniform(8, 45) if rng.random() < 0.7 else rng.uniform(45, 110))]

    def programme() -> list[Phase]:
        phases = wash()
        if twice and rng.random() < 0.6:
            phases += [_spinning(drum * rng.uniform(1, 2.5), rng.uniform(1, 5)), *wash()]
        for _ in range(rng.integers(2, 5)):
            phases += [_pumping(30, rng.uniform(0.5, 2)), tumbling(drum * 0.8, rng.uniform(3, 10))]
            phases.append(_spinning(drum * rng.uniform(1.2, 2.5), rng.uniform(0.5, 2.5)))
        last = _spinning(drum * rng.uniform(1.5, 4), rng.uniform(3, 12), ramp=True)
        return [*phases, last, tumbling(drum * 0.5, rng.uniform(0.5, 3))]

    return _machine([programme() for _ in range(rng.integers(1, 5))])


def _machine(programmes: list[list[Phase]]) -> Cycle:
    """Each use is one of the programmes, its phases up to a tenth longer or shorter."""

    def use(rng: Rng) -> np.ndarray:
        phases = programmes[rng.integers(len(programmes))]
        return np.concatenate([phase(rng.uniform(0.9, 1.1), rng) for phase in phases])

    return use


def _pumping(watts: float, minutes: float) -> Phase:
    return lambda factor, rng: level(watts, minutes * factor, rng, 0.06)


def _tumbling(watts: float, minutes: float, off: float) -> Phase:
    return lambda factor, rng: pulsed(watts, minutes * factor, 12, off, rng, 8)


def _spinning(watts: float, minutes: float, ramp: bool = False) -> Phase:
    def phase(factor: float, rng: Rng) -> np.ndarray:
        power = level(watts, minutes * factor, rng, 0.1)
        return power * np.linspace(0.3, 1, len(power)) if ramp else power

    return phase


def _heating(watts: float, motor: float, minutes: float, sag: float, pauses: float, rng: Rng) -> Phase:
    """The element beside a motor. Of machines that pause, a break of up to three minutes lies in its first part."""
    pause = (rng.uniform(0.2, 0.6), rng.uniform(0.5, 3)) if rng.random() < pauses else None

    def phase(factor: float, rng: Rng) -> np.ndarray:
        power = level(watts, minutes * factor, rng, 0.01)
        power *= 1 - sag * np.linspace(0, 1, len(power))
        if pause:
            at = round(pause[0] * len(power))
            power = np.insert(power, at, np.zeros(steps(pause[1])))
        return power + motor

    return phase
