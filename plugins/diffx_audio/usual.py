"""What is usual of the sounds a model was trained on, for what a prompt does not say."""

from __future__ import annotations

from typing import Any

import numpy as np

from .pack import Sounds

__all__ = ["usual"]


def usual(sounds: Sounds) -> dict[str, dict[str, list[float]]]:
    """Facts for the header of weights, by ``field:class``, and of all sounds under "".

    ``seconds``: 5th percentile, median and 95th percentile of the length. ``midi``: the lowest and the highest pitch,
    where sounds have pitches.
    """
    groups: dict[str, list[int]] = {"": sounds.of(False)}
    for k in sounds.of(False):
        for name, label in sounds.classes[k].items():
            groups.setdefault(f"{name}:{label}", []).append(k)
    facts = {
        "seconds": {name: _rounded(np.quantile(sounds.seconds[own], (0.05, 0.5, 0.95))) for name, own in groups.items()}
    }
    pitched = {name: own for name, own in groups.items() if np.isfinite(sounds.midi[own]).any()}
    if pitched:
        facts["midi"] = {
            name: _rounded([np.nanmin(sounds.midi[own]), np.nanmax(sounds.midi[own])]) for name, own in pitched.items()
        }
    return facts


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 3) for value in values]
