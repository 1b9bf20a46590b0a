"""How rough sounds are where something was put in, and where windows meet."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from diffx.evaluation import Figure, Goal
from diffx.tiling.blend import edges
from diffx.tiling.windows import seam

from ..config import AudioSampling
from ..edit import Edit, filled
from ..model import OVERLAP, Note, SoundModel
from ..reader import Asked

__all__ = ["gaps", "long_note"]

_GAP = (0.4, 0.6)  # of a sound's length
_LOUDER = 3.0  # dB above real sounds that a seam may be
_MINUTE = 60.0


def gaps(
    model: SoundModel, sounds: Sequence[np.ndarray], notes: Sequence[Note], seed: int, options: AudioSampling
) -> Figure:
    """Seams of real sounds whose middle fifth was drawn anew: median in dB, beside the same places as they were.

    The measure is the mean square of the second difference across both edges over that of the rest of the sound
    (:func:`diffx.tiling.windows.seam`); a click stands out of it.

    Args:
        model: fills the gaps.
        sounds: mono [n] at the model's rate.
        notes: what each is.
        seed: of the samples.
        options: of sampling.
    """
    rate = model.codec.rate
    made: list[float] = []
    real: list[float] = []
    for sound, note in zip(sounds, notes, strict=True):
        start, end = (share * len(sound) / rate for share in _GAP)
        edit = Edit(sound[None], rate, torch.from_numpy(np.ascontiguousarray(sound)))
        edited = filled(model, edit, Asked(note.classes, note.midi), start, end, seed, options)
        places = [round(start * rate), round(end * rate)]
        for found, whole in ((made, edited[0]), (real, sound)):
            found.append(10 * math.log10(max(seam(torch.from_numpy(whole), places, order=2), 1e-12)))
    own = float(np.median(real))
    wanted = Goal(high=own + _LOUDER, wanted=f"at most {_LOUDER:g} dB above real sounds")
    return Figure(float(np.median(made)), real_vs_real=own, n=len(made), unit="dB", better="lower", goal=wanted,
                  title="roughness at the edges of a filled gap", facts={"worst": float(np.max(made))})  # fmt: skip


def long_note(model: SoundModel, note: Note, seed: int, options: AudioSampling) -> Figure:
    """Seams of a minute of one note where its windows meet, in dB beside the rest of the note: 0 is none."""
    minute = Note(_MINUTE, note.classes, note.midi)
    state = next(model.states([minute], [seed], options))
    window = model.window
    ends = 2 * window  # the onset and the end are not steady
    places = [
        p - ends
        for p in edges(state.shape[1], window, round(OVERLAP * window))
        if ends + 2 < p < state.shape[1] - ends - 2
    ]
    ratio = seam(state[:, ends:-ends], places, order=1)
    return Figure(10 * math.log10(ratio), real_vs_real=0.0, n=len(places), unit="dB", better="lower",
                  goal=Goal(high=1.0), title="roughness where the windows of a minute meet")  # fmt: skip
