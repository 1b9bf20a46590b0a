"""Loudness, true peak and fades."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pyloudnorm

from .files import resampled

__all__ = ["CEILING", "faded", "loudness", "true_peak", "with_loudness"]

CEILING = -1.0  # dBTP
_BLOCK = 0.4  # s, of the gating of ITU-R BS.1770-4
_SILENCE = -70.0  # LUFS, the absolute gate


def loudness(sound: np.ndarray, rate: int) -> float | None:
    """Integrated loudness of sound [channels, n] in LUFS (ITU-R BS.1770-4); None for silence.

    What is shorter than a gating block of 0.4 s is measured as if silence followed, and then without it.
    """
    length = sound.shape[1]
    needed = math.ceil(_BLOCK * rate) + 1
    padded = np.pad(sound, ((0, 0), (0, max(needed - length, 0))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        level = float(pyloudnorm.Meter(rate).integrated_loudness(padded.T.astype(np.float64)))
    if not math.isfinite(level) or level < _SILENCE:
        return None
    return level + 10 * math.log10(max(needed / length, 1.0))


def true_peak(sound: np.ndarray, rate: int) -> float | None:
    """Largest magnitude of the signal between its samples too, by fourfold oversampling, in dBTP; None for silence."""
    peak = max(float(np.abs(resampled(sound, rate, 4 * rate)).max()), float(np.abs(sound).max()))
    return 20 * math.log10(peak) if peak > 0 else None


def with_loudness(sound: np.ndarray, rate: int, lufs: float | None) -> np.ndarray:
    """The sound [channels, n] at a loudness, or as loud as true peaks of -1 dBTP allow. Silence stays silence."""
    level = loudness(sound, rate) if lufs is not None else None
    gain = 0.0 if level is None or lufs is None else lufs - level
    peak = true_peak(sound, rate)
    if peak is not None:
        gain = min(gain, CEILING - peak)
    return (sound * 10 ** (gain / 20)).astype(np.float32)


def faded(sound: np.ndarray, samples: int) -> np.ndarray:
    """The sound [channels, n] with raised-cosine fades of so many samples at both ends, of a tenth of it at most."""
    count = min(samples, sound.shape[1] // 10)
    if count < 1:
        return sound
    rise = (0.5 - 0.5 * np.cos(np.pi * (np.arange(count) + 0.5) / count)).astype(np.float32)
    out = sound.copy()
    out[:, :count] *= rise
    out[:, -count:] *= rise[::-1]
    return out
