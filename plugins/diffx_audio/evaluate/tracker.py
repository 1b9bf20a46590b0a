"""Pitch of a note that nothing is known about."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from ..files import resampled
from ..pitch import estimated

__all__ = ["Tracker", "crepe", "right", "summed", "trackers"]

Tracker = Callable[[np.ndarray, int], float]

_SECONDS = 0.4


def summed(sound: np.ndarray, rate: int) -> float:
    """Pitch as a MIDI number, NaN for silence: :func:`diffx_audio.pitch.estimated`."""
    found = estimated(sound, rate)
    return math.nan if found is None else found


def crepe(sound: np.ndarray, rate: int, frames: int = 5) -> float:
    """The same by CREPE (Kim et al. 2018, the full network of torchcrepe): median over frames, from 33 Hz to 2 kHz."""
    import torchcrepe

    part = sound[len(sound) // 8 :][: round(_SECONDS * rate)]
    if not len(part) or not np.abs(part).max() > 0:
        return math.nan
    wave = torch.from_numpy(resampled(part, rate, torchcrepe.SAMPLE_RATE))[None]
    hop = max(wave.shape[1] // (frames + 1), 160)
    with torch.no_grad():
        hz, sure = torchcrepe.predict(
            wave, torchcrepe.SAMPLE_RATE, hop, 32.7, 2000.0, "full", return_periodicity=True,
            decoder=torchcrepe.decode.weighted_argmax, batch_size=64,
        )  # fmt: skip
    kept = hz[0][sure[0] >= sure[0].median()]
    return 69 + 12 * math.log2(float(kept.median()) / 440)


def trackers(kind: str = "auto") -> Mapping[str, Tracker]:
    """Those of ``evaluate.pitch``, by name: ``sums``, ``crepe``, or ``auto``, both where torchcrepe is installed.

    Raises ImportError for ``crepe`` where torchcrepe is missing.
    """
    there = all(importlib.util.find_spec(name) for name in ("torchcrepe", "librosa", "resampy"))
    if kind == "crepe" and not there:
        raise ImportError("torchcrepe")
    found: dict[str, Tracker] = {} if kind == "crepe" else {"subharmonic summation": summed}
    return found | ({"CREPE": crepe} if there and kind != "sums" else {})


def right(tracker: Tracker, sounds: Sequence[np.ndarray], rate: int, midi: Sequence[float]) -> np.ndarray:
    """Whether each sound's pitch is within 50 cents of what it should be, float [n]; an octave off is wrong."""
    heard = np.array([tracker(sound, rate) for sound in sounds])
    return (np.abs(heard - np.asarray(midi)) < 0.5).astype(float)
