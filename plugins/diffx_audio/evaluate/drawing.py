"""Sounds as the user gets them, with what is measured before they are cut to length."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from diffx.noise import derive

from ..config import AudioSampling
from ..face import AudioGenerator
from ..model import Note
from ..pack import trimmed

__all__ = ["Drawn", "draw", "sounding", "through_codec"]

_QUIET = 1e-3  # root mean square below which a sound is silent
_FULL = 0.999


@dataclass(frozen=True)
class Drawn:
    """``wave`` [n] finished; ``sounding``: seconds from its first to its last audible 10 ms, before the cut at its
    length; ``silent``, ``clipped``: of the finished sound; ``seconds``: that drawing and decoding took."""

    note: Note
    wave: np.ndarray
    sounding: float
    silent: bool
    clipped: bool
    seconds: float


def draw(
    face: AudioGenerator, notes: Sequence[Note], seed: int, options: AudioSampling, lufs: float | None
) -> Iterator[tuple[int, Drawn]]:
    """(number of the note, its sound); those of one length are drawn together, so the order is by length."""
    order = sorted(range(len(notes)), key=lambda k: face.model.frames(notes[k].seconds))
    seeds = [derive(seed, "evaluate", k) for k in order]
    face.pipeline.plan(options)
    states = face.model.states([notes[k] for k in order], seeds, options)
    began = time.perf_counter()
    for k, one, state in zip(order, seeds, states, strict=True):
        note = notes[k]
        whole = face.model.sound(state, note, state.shape[-1] * face.model.codec.hop, derive(one, "phase"))
        spent = time.perf_counter() - began
        cut = whole[: max(round(note.seconds * face.rate), 1)]
        finished = face.finished(cut[None], lufs, {}).samples[0]
        silent = not float(np.sqrt(np.square(cut, dtype=np.float64).mean())) > _QUIET
        clipped = bool(np.abs(finished).max() >= _FULL)
        yield k, Drawn(note, finished, sounding(whole, face.rate), silent, clipped, spent)
        began = time.perf_counter()


def sounding(wave: np.ndarray, rate: int) -> float:
    """Seconds from the first to the last 10 ms within 50 dB of the loudest; 0 for silence."""
    return len(trimmed(wave, rate)) / rate if np.abs(wave).max() > 0 else 0.0


def through_codec(face: AudioGenerator, wave: np.ndarray, midi: float | None, seed: int) -> tuple[np.ndarray, float]:
    """(a real sound [n] encoded and decoded, seconds that it sounds before the cut at its length)."""
    codec = face.model.codec
    silence = np.zeros(round(0.06 * codec.rate), np.float32)  # as after sounds that are drawn
    state = codec.encode(torch.from_numpy(np.concatenate([wave, silence])), midi)
    whole = codec.decode(state, state.shape[-1] * codec.hop, seed, midi).numpy()
    return whole[: len(wave)], sounding(whole, codec.rate)
