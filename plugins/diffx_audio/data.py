"""What the network learns from: stretches of spectrograms, and what is said of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from diffx.noise import derive

from .codec import Codec
from .files import resampled
from .pack import Sounds
from .timing import timing

__all__ = ["Stretches", "record"]


def record(
    codec: Codec, frames: int, seconds: float, classes: dict[str, str], midi: float | None, start: float = 0.0
) -> dict[str, Any]:
    """What the network is told of ``frames`` of a sound, ``start`` seconds after its onset.

    Args:
        codec: of the state.
        frames: T.
        seconds: length of the whole sound.
        classes: by field.
        midi: pitch; NaN: this sound has none, None: no sound of the model has one.
        start: seconds.
    """
    return {
        "frames": timing(frames, codec.hop / codec.rate, seconds, start),
        "seconds": math.log(max(seconds, 0.05)),
        **({} if midi is None else {"pitch": midi}),
        **classes,
    }


class Stretches:
    """Item number -> state ``x`` [C, T] and its record; a function of (seed, number).

    A sound shorter than the stretch is followed by silence, as it is when it is drawn; of a longer one any part is
    taken, and the network is told which. A note is transposed by resampling, and the network is told its new pitch.

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
        self.pitched = bool(np.isfinite(sounds.midi).any())

    def __len__(self) -> int:
        return len(self.which) if self.count is None else self.count

    def __getitem__(self, number: int) -> dict[str, Any]:
        k = self.which[number % len(self.which)]
        rng = None if self.count is None else np.random.default_rng(derive(self.seed, "stretch", number))
        wave, midi = self.sounds.wave(k), float(self.sounds.midi[k])
        if rng is not None and self.transpose and not math.isnan(midi):
            shift = float(rng.uniform(-self.transpose, self.transpose))
            # played back at the same rate, fewer samples sound higher
            wave, midi = resampled(wave, self.sounds.rate * 2 ** (shift / 12), self.sounds.rate), midi + shift
        seconds = len(wave) / self.sounds.rate
        state = self.codec.encode(torch.from_numpy(wave))
        spare = state.shape[-1] - self.frames
        first = 0 if rng is None or spare <= 0 else int(rng.integers(spare + 1))
        part = state[..., first : first + self.frames]
        x = torch.nn.functional.pad(part, (0, self.frames - part.shape[-1]), value=-1.0)
        start = first * self.codec.hop / self.codec.rate
        return {"x": x, **record(self.codec, self.frames, seconds, self.sounds.classes[k], midi if self.pitched else None, start)}
