"""A trained model and its codec: from what is asked to sound."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffx.guide import cfg, interval_between
from diffx.noise import Noise
from diffx.pipeline import Batch, Pipeline
from diffx.plan import make_plan
from diffx.predict import Predict
from diffx.tiling.windows import windowed

from .codec import Codec, codec_of
from .config import AudioSampling
from .data import record

__all__ = ["OVERLAP", "Note", "SoundModel"]

_TAIL = 0.06  # s drawn after the end, for what rings on
OVERLAP = 0.4  # of a window, shared by neighbours
_MOST = 60.0  # sigma/alpha that a variation begins with, at most

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
        known: Tensor | None = None,
        strength: float = 1.0,
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
            known: state [C, T] to begin with in place of noise alone.
            strength: of the noise that is put over it, in (0, 1]; at 0.5 it is as large as the sound, 1 is noise alone.
        """
        lengths = [self.frames(note.seconds) if frames is None else frames for note in notes]
        first = 0
        while first < len(notes):
            last = first
            while last < len(notes) and lengths[last] == lengths[first]:
                last += 1
            yield from self._together(
                notes[first:last], seeds[first:last], options, lengths[first], wrap, known, strength
            )
            first = last

    def _together(
        self,
        notes: Sequence[Note],
        seeds: Sequence[int],
        options: AudioSampling,
        frames: int,
        wrap: Wrap | None,
        known: Tensor | None,
        strength: float,
    ) -> Iterator[Tensor]:
        records = [self.record(note, frames) for note in notes]
        interval = None
        if options.guidance_interval:
            interval = interval_between(options.guidance_interval, self.pipeline.process)

        def guide(predict: Predict, batch: Batch) -> Predict:
            if frames > self.window:
                predict = windowed(predict, self.window, round(OVERLAP * self.window), options.batch)
            unsaid = [{"frames": torch.full_like(torch.as_tensor(r["frames"]), math.nan)} for r in batch.records]
            null = self.pipeline.condition(unsaid, batch.seeds)
            predict = cfg(predict, options.guidance, null, interval, options.guidance_rescale)
            return predict if wrap is None else wrap(predict, batch)

        plain = replace(options, guidance=1.0, guidance_interval=[])
        changes: dict[str, Any] = {"shape": (self.codec.channels, frames)}
        if known is not None and strength < 1:
            start = _ratio(strength, self.pipeline.process.sigma_data)
            plan = make_plan(self.pipeline.process, options.sampler, options.steps, start=start)
            changes |= {"plan": plan, "start": partial(self._noised, known, float(plan.rows[0].t))}  # type: ignore[arg-type]
        for _, state in self.pipeline.batches(records, seeds, plain, guide, **changes):
            yield from state.cpu()

    def _noised(self, known: Tensor, time: float, batch: Batch) -> Tensor:
        """The state [C, T] for each sample of a batch, with the noise of a time."""
        same = known.to(batch.device).expand(len(batch), *known.shape)
        return self.pipeline.process.corrupt(
            same, np.full(len(batch), time), Noise(batch.seeds, batch.device)["start"]
        ).x

    def record(self, note: Note, frames: int) -> dict[str, Any]:
        """What the network is told of a note."""
        midi = (math.nan if note.midi is None else note.midi) if self.codec.pitched else None
        return record(self.codec, frames, note.seconds, dict(note.classes), midi)

    def sound(self, state: Tensor, note: Note, samples: int, seed: int) -> np.ndarray:
        """Sound [samples] of a state [C, T], silent where the state ends before."""
        long = min(samples, state.shape[-1] * self.codec.hop)
        wave = self.codec.decode(state, long, seed, note.midi).numpy()
        return np.pad(wave, (0, samples - long))


def _ratio(strength: float, sigma_data: float) -> float:
    """sigma/alpha at which the state is cos(a) of the sound and sin(a) of noise as large, a = strength pi / 2."""
    return min(sigma_data * math.tan(strength * math.pi / 2), _MOST)
