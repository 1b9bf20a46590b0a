"""Pitch of a note that nothing is known about."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch

from ..files import resampled
from ..pitch import hertz, tuned

__all__ = ["Tracker", "crepe", "right", "swipe", "trackers"]

Tracker = Callable[[np.ndarray, int], float]

_LOW, _HIGH, _STEP = 20.0, 108.0, 0.1  # MIDI
_HEARD = 8000.0  # Hz
_SECONDS = 0.4


def swipe(sound: np.ndarray, rate: int) -> float:
    """Pitch as a MIDI number, NaN for silence: SWIPE' (Camacho and Harris 2008) on one long window.

    The square root of the spectrum is compared with cosine lobes at the first and the prime harmonics and valleys
    between them, for all pitches from 26 Hz to 4.2 kHz; then :func:`tuned` refines the pitch.
    """
    part = sound[len(sound) // 8 :][: round(_SECONDS * rate)]
    if not len(part) or not np.abs(part).max() > 0:
        return math.nan
    size = 2 ** math.ceil(math.log2(_SECONDS * rate))
    magnitude = np.abs(np.fft.rfft(np.hanning(len(part)) * part, size))
    midi, kernels = _kernels(rate, size)
    loudness = np.sqrt(magnitude[1 : 1 + kernels.shape[1]]).astype(np.float32)
    best = float(midi[int((kernels @ loudness).argmax())])
    fine = np.abs(np.fft.rfft(np.hanning(len(part)) * part, 4 * size))
    return tuned(fine, rate, best)


@lru_cache(maxsize=2)
def _kernels(rate: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(pitches [P], kernels [P, F]) over the bins from 1 on, up to 8 kHz."""
    hz = np.arange(1, int(min(_HEARD, 0.95 * rate / 2) * size / rate)) * rate / size
    midi = np.arange(_LOW, min(_HIGH, 69 + 12 * math.log2(hz[-1] / 2 / 440)), _STEP)
    # spectra are compared on the scale of equivalent rectangular bandwidths, where a Hz counts for 1 / (229 + f)
    density = 1 / (229 + hz)
    kernels = np.empty((len(midi), len(hz)), np.float32)
    for row, pitch in enumerate(midi):
        q = hz / hertz(pitch)
        lobes = np.zeros(len(hz))
        wave = np.cos(2 * np.pi * q)
        for k in [1, *_primes(int(q[-1] - 0.75))]:
            off = np.abs(q - k)
            lobes[off < 0.25] = wave[off < 0.25]
            valley = (off >= 0.25) & (off < 0.75)
            lobes[valley] += wave[valley] / 2
        lobes *= np.sqrt(1 / hz)
        weight = lobes * density
        kernels[row] = weight / np.sqrt((np.square(lobes.clip(0)) * density).sum())
    return midi, kernels


def _primes(most: int) -> list[int]:
    return [n for n in range(2, most + 1) if all(n % k for k in range(2, math.isqrt(n) + 1))]


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
    """Those of ``evaluate.pitch``, by name: ``swipe``, ``crepe``, or ``auto``, both where torchcrepe is installed.

    Raises ImportError for ``crepe`` where torchcrepe is missing.
    """
    there = all(importlib.util.find_spec(name) for name in ("torchcrepe", "librosa", "resampy"))
    if kind == "crepe" and not there:
        raise ImportError("torchcrepe")
    found: dict[str, Tracker] = {} if kind == "crepe" else {"SWIPE'": swipe}
    return found | ({"CREPE": crepe} if there and kind != "swipe" else {})


def right(tracker: Tracker, sounds: Sequence[np.ndarray], rate: int, midi: Sequence[float]) -> np.ndarray:
    """Whether each sound's pitch is within 50 cents of what it should be, float [n]; an octave off is wrong."""
    heard = np.array([tracker(sound, rate) for sound in sounds])
    return (np.abs(heard - np.asarray(midi)) < 0.5).astype(float)
