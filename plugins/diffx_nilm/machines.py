"""Machines that nobody metered, over wider ranges than any home has.

Two metered homes have one washing machine each, and a network that has seen no third takes theirs for all there are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import cycles, programmes
from .cycles import STEP, Cycle

Rng = np.random.Generator

MACHINES: dict[str, Callable[[Rng], Cycle]] = {
    "kettle": lambda rng: cycles.kettle(rng.uniform(1900, 3100)),
    "dishwasher": programmes.dishwasher,
    "washing_machine": programmes.washing_machine,
    "microwave": lambda rng: cycles.microwave(rng.uniform(850, 1700)),
}


def over(power: np.ndarray, period: float, rng: Rng) -> np.ndarray:
    """Power in steps of ``STEP`` seconds [n] as means of periods, beginning anywhere in the first: float32, W."""
    fine = max(round(period / STEP), 1)
    before = int(rng.integers(fine))
    padded = np.pad(power, (before, -(before + len(power)) % fine))
    return padded.reshape(-1, fine).mean(1).astype(np.float32)
