"""What is usual of the sounds a model was trained on, for what a prompt does not say."""

from __future__ import annotations

from typing import Any

import numpy as np

from .pack import Sounds

__all__ = ["usual"]


def usual(sounds: Sounds) -> dict[str, Any]:
    """Facts for the header of weights.

    ``seconds``: shortest, median and longest sound of training; ``by_class``: the median by ``field:class``;
    ``midi``: the lowest and the highest pitch by ``field:class``, and of all under "", where sounds have pitches.
    """
    used = sounds.of(False)
    seconds, midi = sounds.seconds[used], sounds.midi[used]
    groups: dict[str, list[int]] = {"": list(range(len(used)))}
    for place, k in enumerate(used):
        for name, label in sounds.classes[k].items():
            groups.setdefault(f"{name}:{label}", []).append(place)
    facts: dict[str, Any] = {
        "seconds": [float(v) for v in np.quantile(seconds, (0, 0.5, 1))],
        "by_class": {group: float(np.median(seconds[own])) for group, own in groups.items() if group},
    }
    if np.isfinite(midi).any():
        facts["midi"] = {
            group: [float(np.nanmin(midi[own])), float(np.nanmax(midi[own]))]
            for group, own in groups.items()
            if np.isfinite(midi[own]).any()
        }
    return facts
