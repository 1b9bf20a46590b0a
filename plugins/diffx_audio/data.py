"""What the network learns from: stretches of spectrograms, and what is said of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from diffx.noise import derive

from .codec import Codec
from .pack import Sounds
from .timing import timing

__all__ = ["LONGEST", "SHORTEST", "Stretches", "record"]

SHORTEST, LONGEST = 0.05, 20.0  # s that a length is told as


def record(
    codec: Codec, frames: int, seconds: float, classes: dict[str, str], midi: float | None, start: float = 0.0
) -> dict[str, Any]:
    """What the network is told of ``frames`` of a sound, ``start`` seconds after its onset.

    Args:
        codec: of the state.
        frames: T.
        seconds: length of the whole sound.
        classes: by field.
        midi: pitch; None: where the codec needs none.
        start: seconds.
    """
    return {
        "frames": timing(frames, codec.hop / codec.rate, seconds, start),
        "seconds": math.log(min(max(seconds, SHORTEST), LONGEST)),
        **({} if midi is None else {"pitch": midi}),
        **classes,
    }


class Stretches:
    """Item number -> state ``x`` [C, T] and its record; a function of (seed, number).

    A sound shorter than the stretch is followed by silence, as it is when it is drawn; of a longer one any part is
    taken, and the network is told which. A note is transposed by telling another pitch: its harmonics, which are
    counted and not placed in Hz, stay the same, as they do when a sound is played back faster.

    Args:
        sounds: all of a folder.
        which: numbers of those that are used.
        codec: of the state.
        frames: T.
        transpose: semitones, at most.
        seed: of the stretches.
        count: items of the set; None: each sound once, from its onset and as it is.
    """

    def __init__(
        self,
        sounds: Sounds,
        which: Sequence[int],
        codec: Codec,
        frames: int,
        transpose: float = 0.0,
        seed: int = 0,
        count: int | None = 1_000_000,
    ):
        self.sounds, self.which, self.codec, self.frames = sounds, list(which), codec, frames
        self.transpose, self.seed, self.count = transpose, seed, count

    def __len__(self) -> int:
        return len(self.which) if self.count is None else self.count

    def __getitem__(self, number: int) -> dict[str, Any]:
        k = self.which[number % len(self.which)]
        state, midi = self.sounds.state(k), float(self.sounds.midi[k])
        first = 0
        if self.count is not None:
            rng = np.random.default_rng(derive(self.seed, "stretch", number))
            midi += float(rng.uniform(-self.transpose, self.transpose))
            first = int(rng.integers(max(state.shape[-1] - self.frames, 0) + 1))
        part = state[..., first : first + self.frames]
        rest = self.codec.silence[:, None].expand(-1, self.frames - part.shape[-1])
        x = torch.cat([part, rest], dim=-1)
        start, seconds = first * self.codec.hop / self.codec.rate, float(self.sounds.seconds[k])
        pitch = midi if self.codec.pitched else None
        return {"x": x, **record(self.codec, self.frames, seconds, self.sounds.classes[k], pitch, start)}
