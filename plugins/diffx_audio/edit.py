"""Changing a sound that is there: gaps filled, ends continued, variations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffx.errors import DataError, UsageError
from diffx.guide import keep
from diffx.noise import derive

from .config import AudioSampling
from .files import read_sound, resampled
from .model import Note, SoundModel
from .pack import heard
from .pitch import estimated
from .reader import Asked

__all__ = ["Edit", "extended", "filled", "opened", "varied"]


@dataclass(frozen=True)
class Edit:
    """A sound to change: ``samples`` [channels, n] as they are in the file, ``rate``, and mono at the model's rate."""

    samples: np.ndarray
    rate: int
    mono: Tensor

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.samples.shape[1] / self.rate


def opened(source: str | Path | tuple[np.ndarray, int], model: SoundModel) -> Edit:
    """A file, or (samples [n] or [channels, n], rate). DataError for what cannot be used."""
    if isinstance(source, tuple):
        samples, rate = np.atleast_2d(np.asarray(source[0], np.float32)), int(source[1])
        if not samples.size or not np.isfinite(samples).all():
            raise DataError("the sound is empty, or has samples that are NaN or infinite")
    else:
        samples, rate = read_sound(source)
    mono = resampled(samples.mean(0), rate, model.codec.rate)
    return Edit(samples, rate, torch.from_numpy(mono))


def extended(edit: Edit, seconds: float, front: bool, rate: int) -> Edit:
    """The sound with silence put before or after it; ``rate`` is the model's."""

    def padded(wave: np.ndarray, count: int) -> np.ndarray:
        return np.pad(wave, ((0, 0), (count, 0) if front else (0, count)))

    mono = padded(edit.mono.numpy()[None], round(seconds * rate))[0]
    return Edit(padded(edit.samples, round(seconds * edit.rate)), edit.rate, torch.from_numpy(mono))


def described(edit: Edit, asked: Asked, model: SoundModel, hole: tuple[int, int] | None = None) -> tuple[Note, slice]:
    """(what the sound is, where in the file it lies, in samples of the model): its pitch, if not said, as it is heard.

    The silence around it is no part of it, unless it belongs to the hole that is to be filled.
    """
    wave = edit.mono.numpy().copy()
    if hole is not None:
        wave[slice(*hole)] = 0
    first, last = heard(wave, model.codec.rate)
    midi = asked.midi
    if model.codec.pitched and midi is None:
        midi = estimated(wave[first:last], model.codec.rate)
        if midi is None:
            raise DataError('no pitch is heard in the sound: say it, as in prompt="oboe A4"')
    if hole is not None:
        first, last = min(first, hole[0]), max(last, hole[1])
    return Note((last - first) / model.codec.rate, dict(asked.classes), midi), slice(first, last)


def filled(
    model: SoundModel, edit: Edit, asked: Asked, start: float, end: float, seed: int, options: AudioSampling
) -> np.ndarray:
    """The samples [channels, n] with what lies from ``start`` to ``end`` drawn anew; all others are those of the file.

    The network sees the frames that do not reach into the gap (:func:`diffx.guide.keep`).

    Args:
        model: draws.
        edit: the sound.
        asked: what is known of it.
        start: s, where the gap begins.
        end: s, where it ends.
        seed: of the samples.
        options: of sampling.

    Raises:
        UsageError: the gap is empty, lies outside, or leaves nothing of the sound.
    """
    if not 0 <= start < end <= edit.seconds + 1e-9:
        raise UsageError(f"a gap lies inside the sound of {edit.seconds:.3f} s: start={start:g} end={end:g}")
    codec = model.codec
    first, last = round(start * codec.rate), min(round(end * codec.rate), len(edit.mono))
    around = edit.mono.clone()
    around[first:last] = 0
    if not float(around.abs().max()) > 0:
        raise UsageError("nothing of the sound would be left outside of the gap")
    whole, place = described(edit, asked, model, (first, last))
    known = codec.encode(around[place], whole.midi)
    reach = codec.reach(whole.midi)
    centres = place.start + torch.arange(known.shape[-1]) * codec.hop
    outside = (centres + reach <= first) | (centres - reach >= last)

    state = next(
        model.states(
            [whole], [seed], options, frames=known.shape[-1],
            wrap=lambda predict, batch: keep(predict, outside.to(batch.device), known.to(batch.device)),
        )
    )  # fmt: skip
    gap = first - place.start, last - place.start
    inside = codec.fill(state, edit.mono[place], *gap, derive(seed, "phase"), whole.midi).numpy()
    return _put(edit, inside, start, end, codec.rate)


def _put(edit: Edit, inside: np.ndarray, start: float, end: float, rate: int) -> np.ndarray:
    """The file's samples with a gap filled by mono sound at the model's rate, as loud in each channel as it is."""
    first, last = round(start * edit.rate), min(round(end * edit.rate), edit.samples.shape[1])
    if edit.rate != rate:
        # resampled with what lies around, whose edges the filter needs
        a, b = round(start * rate), min(round(end * rate), len(edit.mono))
        whole = edit.mono.numpy().copy()
        whole[a:b] = inside
        again = resampled(whole, rate, edit.rate)
        inside = np.pad(again, (0, max(edit.samples.shape[1] - len(again), 0)))[first:last]
    out = edit.samples.copy()
    mono = edit.samples.mean(0)
    power = float(np.square(mono, dtype=np.float64).sum()) or 1.0
    for channel in range(len(out)):
        share = float((out[channel].astype(np.float64) * mono).sum()) / power
        out[channel, first:last] = share * inside[: last - first]
    return out


def varied(
    model: SoundModel, edit: Edit, asked: Asked, strength: float, seed: int, options: AudioSampling
) -> np.ndarray:
    """Another sound [1, n] at the model's rate, near the given one (SDEdit; Meng et al. 2022).

    Args:
        model: draws.
        edit: the sound.
        asked: what it is to become.
        strength: 0 is the sound through the codec, 1 another sound.
        seed: of the samples.
        options: of sampling.
    """
    whole, place = described(edit, asked, model)
    sound = edit.mono[place]
    known = model.codec.encode(sound, whole.midi)
    if strength > 0:
        known = next(model.states([whole], [seed], options, frames=known.shape[-1], known=known, strength=strength))
    out = np.zeros((1, len(edit.mono)), np.float32)
    out[0, place] = model.sound(known, whole, len(sound), derive(seed, "phase"))
    return out
