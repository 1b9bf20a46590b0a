"""A trained model and its codec: from what is asked to sound."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffx.guide import cfg, interval_between
from diffx.pipeline import Batch, Pipeline
from diffx.predict import Predict
from diffx.tiling.windows import windowed

from .codec import Codec, codec_of
from .config import AudioSampling
from .data import record

__all__ = ["Note", "SoundModel"]

_TAIL = 0.06  # s drawn after the end, for what rings on
_OVERLAP = 0.4  # of a window, shared by neighbours

Wrap = Callable[[Predict, Batch], Predict]


@dataclass(frozen=True)
class Note:
    """One sound that is asked for: its length in seconds, classes by field, pitch as a MIDI number."""

    seconds: float
    classes: Mapping[str, str] = field(default_factory=dict)
    midi: float | None = None


class SoundModel:
    """Draws states of a pipeline and turns them into sound.

    Args:
        pipeline: of weights that ``task=train`` made.
    """

    def __init__(self, pipeline: Pipeline):
        self.pipeline = pipeline
        self.codec: Codec = codec_of(pipeline.config.codec)
        self.window = int(pipeline.spec.size[0])

    def frames(self, seconds: float) -> int:
        """Frames that hold a sound and what rings on after it."""
        return self.codec.frames(round((seconds + _TAIL) * self.codec.rate))

    def states(
        self,
        notes: Sequence[Note],
        seeds: Sequence[int],
        options: AudioSampling,
        frames: int | None = None,
        wrap: Wrap | None = None,
        start: Callable[[Batch], Tensor] | None = None,
    ) -> Iterator[Tensor]:
        """State [C, T] of each note; T is its own, or ``frames`` for all. Each depends on its note and seed alone.

        What is longer than the window of training is drawn by overlapped windows. Neighbours of one length are drawn
        together.

        Args:
            notes: what is asked.
            seeds: of each.
            options: of sampling.
            frames: T.
            wrap: makes the guided prediction another one, as :func:`diffx.guide.keep` does.
            start: from a batch to the state that sampling begins with.
        """
        lengths = [self.frames(note.seconds) if frames is None else frames for note in notes]
        first = 0
        while first < len(notes):
            last = first
            while last < len(notes) and lengths[last] == lengths[first]:
                last += 1
            yield from self._together(notes[first:last], seeds[first:last], options, lengths[first], wrap, start)
            first = last

    def _together(
        self,
        notes: Sequence[Note],
        seeds: Sequence[int],
        options: AudioSampling,
        frames: int,
        wrap: Wrap | None,
        start: Callable[[Batch], Tensor] | None,
    ) -> Iterator[Tensor]:
        records = [self.record(note, frames) for note in notes]
        interval = interval_between(options.guidance_interval, self.pipeline.process) if options.guidance_interval else None  # fmt: skip

        def guide(predict: Predict, batch: Batch) -> Predict:
            if frames > self.window:
                predict = windowed(predict, self.window, round(_OVERLAP * self.window), options.batch)
            unsaid = [{"frames": torch.full_like(torch.as_tensor(r["frames"]), math.nan)} for r in batch.records]
            null = self.pipeline.condition(unsaid, batch.seeds)
            predict = cfg(predict, options.guidance, null, interval, options.guidance_rescale)
            return predict if wrap is None else wrap(predict, batch)

        plain = replace(options, guidance=1.0, guidance_interval=[])
        shape = (self.codec.channels, frames)
        for _, state in self.pipeline.batches(records, seeds, plain, guide, shape=shape, start=start):
            yield from state.cpu()

    def record(self, note: Note, frames: int) -> dict[str, Any]:
        """What the network is told of a note."""
        midi = (math.nan if note.midi is None else note.midi) if self.codec.pitched else None
        return record(self.codec, frames, note.seconds, dict(note.classes), midi)

    def sound(self, state: Tensor, note: Note, samples: int, seed: int) -> np.ndarray:
        """Sound [samples] of a state [C, T], silent where the state ends before."""
        long = min(samples, state.shape[-1] * self.codec.hop)
        wave = self.codec.decode(state, long, seed, note.midi).numpy()
        return np.pad(wave, (0, samples - long))
