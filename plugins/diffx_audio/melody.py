"""Notes in time: written as text or as a MIDI file, played one by one and laid over each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffx.errors import DataError, UsageError
from diffx.io.home import expanded

from .pitch import midi_of

__all__ = ["Event", "mixed", "read_score"]

_REST = re.compile(r"(r|rest|-)\Z", re.IGNORECASE)
_MIDI = (".mid", ".midi")
_LOUDNESS = {"pianissimo": -15.0, "piano": -10.0, "mezzo-piano": -7.0, "mezzo-forte": -4.0, "forte": -2.0}  # dB
_RELEASE = 0.06  # s that a note rings on after its end


@dataclass(frozen=True)
class Event:
    """A note: its onset and length in seconds, its pitch as a MIDI number, its dynamics where they are said."""

    onset: float
    seconds: float
    midi: float
    dynamics: str | None = None


def read_score(score: str) -> list[Event]:
    """The notes of "A4 0.5, C5+E5 0.5 forte, r 0.25, E5 1" or of a MIDI file, in the order of their onsets.

    A note is a pitch, its seconds, and dynamics that hold from there on; + joins the pitches of a chord; r is a rest.

    Raises:
        UsageError: a note that cannot be read, or none at all.
        DataError: a MIDI file that is missing or damaged.
    """
    if score.lower().endswith(_MIDI):
        return _of_file(expanded(score))
    events: list[Event] = []
    now, dynamics = 0.0, None
    for part in filter(None, (part.strip() for part in re.split(r"[,;\n]", score))):
        words = part.split()
        try:
            pitches, seconds = words[0], float(words[1].removesuffix("s"))
            if not 0.02 <= seconds <= 60:
                raise ValueError("0.02 to 60 s")
            dynamics = " ".join(words[2:]).replace(" ", "-") or dynamics
            if not _REST.match(pitches):
                events += [Event(now, seconds, midi_of(name), dynamics) for name in pitches.split("+")]
        except (IndexError, ValueError) as error:
            reason = "" if isinstance(error, IndexError) else f" ({error})"
            raise UsageError(f"score: {part!r} is no note: write a pitch and seconds, as in A4 0.5{reason}") from None
        now += seconds
    if not events:
        raise UsageError("score: there is no note in it")
    return events


def _of_file(path: Path) -> list[Event]:
    import mido

    try:
        file = mido.MidiFile(path)
        messages = list(file)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except (OSError, EOFError, ValueError, KeyError, IndexError) as error:
        raise DataError(f"{path}: no MIDI file could be read ({error or type(error).__name__})") from None
    events: list[Event] = []
    open_: dict[tuple[int, int], tuple[float, int]] = {}
    now = 0.0
    for message in messages:
        now += message.time
        if message.type not in ("note_on", "note_off") or message.channel == 9:  # 9: percussion
            continue
        key = (message.channel, message.note)
        if key in open_:
            onset, velocity = open_.pop(key)
            events.append(Event(onset, max(now - onset, 0.02), float(message.note), _dynamics(velocity)))
        if message.type == "note_on" and message.velocity:
            open_[key] = (now, message.velocity)
    if not events:
        raise DataError(f"{path}: the MIDI file holds no notes")
    return sorted(events, key=lambda event: (event.onset, event.midi))


def _dynamics(velocity: int) -> str:
    """Dynamics of a MIDI velocity, as notation programs have them."""
    steps = ((33, "pianissimo"), (49, "piano"), (80, "mezzo-forte"), (96, "forte"))
    return next((name for most, name in steps if velocity <= most), "fortissimo")


def mixed(sounds: Sequence[np.ndarray], events: Sequence[Event], rate: int, dynamics: Sequence[str]) -> np.ndarray:
    """The notes [1, n] laid over each other at their onsets, each as loud as its dynamics.

    Args:
        sounds: [1, n] of each note, with what rings on after its end.
        events: the notes.
        rate: samples a second.
        dynamics: of each note.
    """
    length = max(round(e.onset * rate) + s.shape[1] for e, s in zip(events, sounds, strict=True))
    out = np.zeros((1, length), np.float32)
    for event, sound, loud in zip(events, sounds, dynamics, strict=True):
        level = float(np.sqrt(np.square(sound, dtype=np.float64).mean())) or 1.0
        first = round(event.onset * rate)
        fade = min(round(_RELEASE * rate), sound.shape[1] // 4)
        shaped = sound / level
        if fade:
            shaped[:, -fade:] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(fade) / fade)
        out[:, first : first + sound.shape[1]] += 0.1 * 10 ** (_LOUDNESS.get(loud, 0.0) / 20) * shaped
    return out
