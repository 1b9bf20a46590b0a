"""What is drawn: the sounds that were held out, and notes of pitch classes that training lacked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from diffx.data import is_held_out
from diffx.errors import DataError
from diffx.noise import derive

from ..codec import Codec
from ..face import AudioGenerator
from ..manifest import Clip
from ..model import Note
from ..pack import prepared
from ..pitch import name_of

__all__ = ["Real", "asked", "lacking", "pitch_class", "read", "spread", "unheard"]


@dataclass(frozen=True)
class Real:
    """A recorded sound as training sees it: mono ``wave`` [n] at the codec's rate; its clip."""

    wave: np.ndarray
    clip: Clip


def spread(clips: Sequence[Clip], n: int, seed: int, field: str | None) -> list[Clip]:
    """At most n clips by seed, as evenly as possible over the classes of a field."""
    order = sorted(clips, key=lambda clip: derive(seed, "evaluate", clip.path.name))
    groups: dict[str, list[Clip]] = {}
    for clip in order:
        groups.setdefault(clip.classes.get(field or "", ""), []).append(clip)
    turns = [(turn, clip) for own in groups.values() for turn, clip in enumerate(own)]
    return [clip for _, clip in sorted(turns, key=lambda pair: pair[0])][:n]


def read(clips: Sequence[Clip], codec: Codec) -> tuple[list[Real], list[tuple[Clip, DataError]]]:
    """(sounds, clips that cannot be read and why); where the codec needs a pitch, clips without one are left out."""
    found, failed = [], []
    for clip in clips:
        if codec.pitched and clip.midi is None:
            continue
        try:
            found.append(Real(prepared(clip, codec)[0], clip))
        except DataError as error:
            failed.append((clip, error))
    return found, failed


def asked(face: AudioGenerator, real: Real) -> Note:
    """The note that stands for a real sound: its length, its classes as far as the weights know them, its pitch."""
    known = {f: label for f, label in real.clip.classes.items() if label in face.classes.get(f, ())}
    midi = real.clip.midi if face.model.codec.pitched else None
    return Note(len(real.wave) / face.rate, known, midi)


def pitch_class(midi: float) -> str:
    """As "A" or "D#", of the nearest pitch."""
    return name_of(midi).rstrip("-0123456789")


def lacking(clips: Sequence[Clip]) -> list[str]:
    """Pitch classes, as "A" or "D#", that no clip for training has; none where clips have no pitches."""
    heard = {pitch_class(clip.midi) for clip in clips if clip.midi is not None and not is_held_out(clip.split)}
    return [name for name in map(pitch_class, range(60, 72)) if name not in heard] if heard else []


def unheard(
    notes: Sequence[Note], classes: Sequence[str], compass: Mapping[int, tuple[float, float]], n: int
) -> list[Note]:
    """At most n of the notes, each moved to the nearest pitch of these pitch classes in turn, where one is in compass.

    Args:
        notes: with pitches.
        classes: pitch classes, as "A" or "D#".
        compass: lowest and highest pitch of each note by its number.
        n: most.
    """
    found: list[Note] = []
    for number, note in enumerate(notes):
        if len(found) == n or not classes or note.midi is None:
            break
        low, high = compass[number]
        name = classes[len(found) % len(classes)]
        pitches = [k for k in range(int(np.ceil(low)), int(high) + 1) if pitch_class(k) == name]
        if pitches:
            nearest = min(pitches, key=lambda k: abs(k - float(note.midi or 0)))
            found.append(Note(note.seconds, note.classes, float(nearest)))
    return found
