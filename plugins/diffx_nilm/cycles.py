"""How the power of an appliance runs through one use of it, for the simulator: watts in steps of ``STEP`` seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

STEP = 6  # seconds; meters of the field's data sets take 6 to 8
Rng = np.random.Generator
Cycle = Callable[[Rng], np.ndarray]


def steps(minutes: float) -> int:
    return max(round(minutes * 60 / STEP), 1)


def level(watts: float, minutes: float, rng: Rng, ripple: float = 0.01) -> np.ndarray:
    """Constant power with a ripple of that share."""
    n = steps(minutes)
    return watts * (1 + ripple * rng.standard_normal(n))


def pulsed(watts: float, minutes: float, on: float, off: float, rng: Rng, idle: float = 0.0) -> np.ndarray:
    """``on`` seconds at ``watts`` and ``off`` seconds at ``idle`` in turn, from a random place in the turn."""
    at = np.arange(steps(minutes)) * STEP + rng.uniform(0, on + off)
    return np.where(at % (on + off) < on, watts, idle) * (1 + 0.02 * rng.standard_normal(len(at)))


def kettle(watts: float) -> Cycle:
    """Boils 0.4 to 1.7 litres: 4.19 kJ per litre and kelvin over 80 K, at ``watts``."""

    def use(rng: Rng) -> np.ndarray:
        litres = rng.choice([0.5, 0.8, 1.1, 1.6], p=[0.35, 0.35, 0.2, 0.1]) * rng.uniform(0.8, 1.1)
        return level(watts, litres * 4190 * 80 / watts / 60 / 0.9, rng, 0.005)

    return use


def microwave(watts: float) -> Cycle:
    """One to three heatings of 0.5 to 5 minutes; on low power the magnetron is switched on and off all the time."""

    def use(rng: Rng) -> np.ndarray:
        parts = []
        for i in range(rng.choice([1, 2, 3], p=[0.75, 0.2, 0.05])):
            if i:
                parts.append(np.full(steps(rng.uniform(0.3, 1)), 2.0))
            minutes = float(np.clip(rng.lognormal(np.log(1.8), 0.6), 0.5, 8))
            if rng.random() < 0.15:
                parts.append(pulsed(watts, minutes * 2, 30 * rng.uniform(0.3, 0.7), 15, rng, 60))
            else:
                parts.append(level(watts, minutes, rng))
        return np.concatenate(parts)

    return use


@dataclass(frozen=True)
class Heater:
    """``watts`` of the element and ``motor`` of the pump or drum of a machine that heats its water."""

    watts: float
    motor: float


def dishwasher(machine: Heater) -> Cycle:
    """Rinse, heated wash, two rinses, heated last rinse, drying: 50 to 130 minutes, 0.7 to 1.6 kWh.

    Eco programmes heat less and pump longer.
    """

    def use(rng: Rng) -> np.ndarray:
        eco = rng.random() < 0.4
        pump = machine.motor
        parts = [
            level(pump * 0.6, rng.uniform(4, 10), rng, 0.1),
            level(machine.watts + pump, rng.uniform(8, 12) if eco else rng.uniform(12, 20), rng),
            level(pump, rng.uniform(35, 60) if eco else rng.uniform(12, 25), rng, 0.05),
            level(8, rng.uniform(1, 2), rng),
            level(pump * 0.9, rng.uniform(3, 6), rng, 0.08),
            level(machine.watts + pump, rng.uniform(6, 10) if eco else rng.uniform(8, 16), rng),
            level(pump * 0.7, rng.uniform(4, 8), rng, 0.05),
            level(12, rng.uniform(8, 25), rng, 0.2),
        ]
        return np.concatenate(parts)

    return use


def washing_machine(machine: Heater, inlet: float) -> Cycle:
    """Fill, heated wash, wash with the drum turning and resting, three rinses, spin: 60 to 140 minutes.

    ``inlet``: temperature of the water from the main, degrees; 10 litres are heated from it to 30, 40 or 60.
    """

    def use(rng: Rng) -> np.ndarray:
        target = rng.choice([30, 40, 60], p=[0.35, 0.45, 0.2])
        heating = 10 * 4190 * max(target - inlet, 5) / machine.watts / 60 * rng.uniform(0.9, 1.3)
        drum = machine.motor

        def turning(minutes: float, share: float = 1.0) -> np.ndarray:
            return pulsed(drum * share, minutes, 12, rng.uniform(4, 10), rng, 8)

        parts = [turning(rng.uniform(2, 5), 0.6)]
        heated = turning(heating)
        parts += [heated * 0.5 + machine.watts, turning(rng.uniform(15, 45))]
        for _ in range(3):
            spin = level(drum * rng.uniform(1.2, 2), rng.uniform(0.6, 1.5), rng, 0.1)
            parts += [level(30, rng.uniform(1, 2), rng, 0.1), turning(rng.uniform(4, 8), 0.8), spin]
        ramp = np.linspace(1, rng.uniform(2.5, 4), steps(rng.uniform(4, 9)))
        parts += [drum * ramp * (1 + 0.08 * rng.standard_normal(len(ramp))), turning(rng.uniform(1, 3), 0.5)]
        return np.concatenate(parts)

    return use


def thermostat(watts: float, minutes: tuple[float, float], first: float, on: float, off: float) -> Cycle:
    """``first`` minutes of heating, then ``on`` and ``off`` seconds in turn: oven, heater, iron, tumble dryer."""

    def use(rng: Rng) -> np.ndarray:
        rest = pulsed(watts, rng.uniform(*minutes), on * rng.uniform(0.7, 1.4), off * rng.uniform(0.7, 1.4), rng, 15)
        return np.concatenate([level(watts, first * rng.uniform(0.7, 1.3), rng), rest])

    return use


def steady(watts: float, minutes: tuple[float, float], ripple: float = 0.03) -> Cycle:
    """Constant power for a time between the two: shower, toaster, vacuum cleaner, television."""

    def use(rng: Rng) -> np.ndarray:
        return level(watts * rng.uniform(0.9, 1.05), np.exp(rng.uniform(*np.log(minutes))), rng, ripple)

    return use


def cooling(rng: Rng, n: int) -> np.ndarray:
    """``n`` steps of a compressor that runs a third to a half of the time; half of them have a heater that defrosts."""
    watts, cycle = rng.uniform(70, 130), rng.uniform(35, 70)
    share = rng.uniform(0.3, 0.45)
    defrosts = rng.random() < 0.5
    out = np.zeros(n)
    at, since = -int(rng.uniform(0, cycle) * 60 / STEP), rng.uniform(0, 24)
    while at < n:
        on = steps(cycle * share * rng.uniform(0.85, 1.15))
        begin, end = max(at, 0), min(at + on, n)
        if end > begin:
            out[begin:end] = watts * (1 + 0.1 * np.exp(-(np.arange(begin, end) - at) / 40))  # falls as it settles
            out[begin] *= 1.5  # the motor starts
        since += cycle / 60
        at += steps(cycle * rng.uniform(0.9, 1.1))
        if defrosts and since > 24:
            since, stop = 0.0, at + steps(rng.uniform(10, 20))
            out[max(at, 0) : max(stop, 0)] = 230
            at = stop
    return out
