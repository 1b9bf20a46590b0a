"""Names of pitches, and the pitch that a note really has."""

from __future__ import annotations

import math
import re

import numpy as np

__all__ = ["cents", "estimated", "hertz", "midi_of", "name_of", "tuned"]

_NAME = re.compile(r"([A-Ga-g])(#|♯|b|♭)?(-?\d)\Z")
_STEP = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def midi_of(name: str) -> float:
    """MIDI number of a pitch such as "A4" (69), "C#3" or "Eb5". ValueError for anything else."""
    match = _NAME.match(name.strip())
    if not match:
        raise ValueError(f"{name!r} is no pitch: a letter A to G, # or b where needed, and an octave, as in A4 or C#3")
    letter, accidental, octave = match.groups()
    shift = {"#": 1, "♯": 1, "b": -1, "♭": -1}.get(accidental or "", 0)
    return 12.0 * (int(octave) + 1) + _STEP[letter.upper()] + shift


def name_of(midi: float) -> str:
    """The pitch nearest to a MIDI number, with a sharp where it needs one."""
    number = round(midi)
    return f"{_NAMES[number % 12]}{number // 12 - 1}"


def hertz(midi: float) -> float:
    """Frequency of a MIDI number; A4 = 440 Hz."""
    return 440.0 * 2 ** ((midi - 69) / 12)


def tuned(spectrum: np.ndarray, rate: int, midi: float, most: float = 0.6, harmonics: int = 12) -> float:
    """The pitch of a note whose nominal pitch is known, to about 3 cents: that whose harmonics are the loudest.

    Args:
        spectrum: magnitude [F] from 0 Hz to rate / 2, of a long window.
        rate: samples a second.
        midi: nominal pitch.
        most: semitones that it may be off.
        harmonics: that are looked at, as far as they lie below half the rate.

    Returns:
        MIDI number, ``midi`` where nothing sounds.
    """
    spacing = rate / 2 / (len(spectrum) - 1)
    log = np.log(np.maximum(spectrum, 1e-4 * spectrum.max() + 1e-12))
    offsets = np.linspace(-most, most, 2 * round(most / 0.03) + 1)
    number = min(harmonics, int(rate / 2 / hertz(midi + most)))
    if number < 1 or not spectrum.max() > 0:
        return midi
    multiples = np.arange(1, number + 1)
    places = np.array([hertz(midi + o) for o in offsets])[:, None] * multiples / spacing
    scores = np.interp(places.ravel(), np.arange(len(log)), log).reshape(places.shape).sum(1)
    best = int(scores.argmax())
    if 0 < best < len(scores) - 1:  # the top of the parabola through three
        left, top, right = scores[best - 1 : best + 2]
        curve = left - 2 * top + right
        best_offset = offsets[best] + (offsets[1] - offsets[0]) * (0.5 * (left - right) / curve if curve else 0.0)
    else:
        best_offset = offsets[best]
    return midi + float(best_offset)


def cents(hz: float, midi: float) -> float:
    """How far a frequency lies above a pitch, in hundredths of a semitone."""
    return 1200 * math.log2(hz / hertz(midi))


def estimated(wave: np.ndarray, rate: int, low: float = 22.0, high: float = 98.0) -> float | None:
    """The pitch of a single note [n] as a MIDI number, None where there is none: subharmonic summation (Hermes 1988).

    Each candidate's harmonics are summed, every one with 0.84 of the weight of the one before, over the square root of
    the spectrum, so that a missing fundamental is heard all the same.

    Args:
        wave: mono.
        rate: samples a second.
        low: lowest pitch that is looked for.
        high: highest.
    """
    size = 1 << 16
    middle = len(wave) // 3
    part = wave[middle : middle + size // 4]
    if len(part) < rate // 20 or not np.abs(part).max() > 0:
        return None
    spectrum = np.sqrt(np.abs(np.fft.rfft(np.hanning(len(part)) * part, size)))
    spectrum /= spectrum.max()
    candidates = np.arange(low, high, 0.05)
    base = 440.0 * 2 ** ((candidates - 69) / 12) * size / rate
    score = np.zeros(len(candidates))
    places = np.arange(len(spectrum))
    for k in range(1, 16):
        score += 0.84 ** (k - 1) * np.interp(k * base, places, spectrum, right=0.0)
    best = candidates[int(score.argmax())]
    return tuned(np.square(spectrum), rate, float(best), most=0.3)
