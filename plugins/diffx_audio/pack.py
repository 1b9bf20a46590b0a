"""Sounds prepared for training, in one file: at the model's rate, silence at both ends cut, pitches as played."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffx.data import cache_key, is_held_out
from diffx.data.packed import pack_arrays, read_arrays
from diffx.errors import DataError
from diffx.io.cache import cache_path
from diffx.io.home import expanded

from .codec import Codec
from .config import PLUGIN, AudioConfig
from .files import read_sound
from .manifest import Clip, read_manifest
from .pitch import tuned

__all__ = ["Sounds", "codec_of", "load_sounds", "trimmed"]

KIND = "sounds 1"
_SILENT = 50.0  # dB below the loudest 10 ms: what is quieter at the ends is not part of the sound
_LONG = 16_384  # samples that a pitch is measured on


@dataclass(frozen=True)
class Sounds:
    """``waves``: mono, int16, one after the other; sound k lies from ``edges[k]`` to ``edges[k + 1]``.

    ``midi``: pitch as played, NaN where there is none. ``classes``: one mapping a sound. ``split``: of each.
    """

    rate: int
    waves: np.ndarray
    edges: np.ndarray
    midi: np.ndarray
    classes: list[dict[str, str]]
    captions: list[str]
    split: list[str]

    def __len__(self) -> int:
        return len(self.split)

    def wave(self, k: int) -> np.ndarray:
        """Sound k [n], float32."""
        return self.waves[self.edges[k] : self.edges[k + 1]].astype(np.float32) / 32_767

    def seconds(self, k: int) -> float:
        """Its length."""
        return float(self.edges[k + 1] - self.edges[k]) / self.rate

    def of(self, held_out: bool) -> list[int]:
        """Numbers of the sounds that are held out, or are not."""
        return [k for k, split in enumerate(self.split) if is_held_out(split) == held_out]

    def fields(self) -> list[str]:
        """All classes, as ``field:class|class``."""
        names = dict.fromkeys(name for own in self.classes for name in own)
        return [f"{name}:{'|'.join(sorted({c[name] for c in self.classes if name in c}))}" for name in names]


def codec_of(cfg: AudioConfig) -> Codec:
    """The codec that ``codec.*`` describes."""
    own = cfg.codec
    return Codec(own.rate, own.window, own.hop, own.depth, own.refine)


def load_sounds(cfg: AudioConfig, say: Callable[[str], None] = lambda line: None) -> Sounds:
    """The sounds of ``data.root``, prepared once and kept in the cache.

    A file that cannot be read is told and left out, each time. DataError where none is left.
    """
    root = expanded(cfg.data.root or "")
    if root.is_file():
        sounds, failures = _read(root)
        if sounds.rate != cfg.codec.rate:
            raise DataError(f"{root}: packed at {sounds.rate} Hz, not {cfg.codec.rate}")
    else:
        clips = read_manifest(root, cfg.data.fields, cfg.data.holdout, cfg.seed)
        key = cache_key(KIND, cfg.codec.rate, cfg.data.fields, cfg.data.holdout, cfg.seed,
                        files=[root / "manifest.csv", *(clip.path for clip in clips)])  # fmt: skip
        path = cache_path(cfg.data.cache, f"sounds-{key}.safetensors", plugin=PLUGIN)
        if not path.is_file():
            say(f"preparing {len(clips)} sounds of {root}")
            path.parent.mkdir(parents=True, exist_ok=True)
            pack(clips, cfg.codec.rate, path)
        sounds, failures = _read(path)
    for failure in failures:
        say(f"left out: {failure}")
    if not len(sounds):
        raise DataError(f"{root}: none of its sounds could be read")
    return sounds


def pack(clips: Sequence[Clip], rate: int, path: Path) -> None:
    """Read, trim and tune sounds, and write them as one file."""
    waves, midi, kept, failures = [], [], [], []
    for clip in clips:
        try:
            sound, _ = read_sound(clip.path, rate)
        except DataError as error:
            failures.append(str(error))
            continue
        wave = trimmed(sound.mean(0), rate)
        waves.append(np.rint(wave / max(float(np.abs(wave).max()), 1e-9) * 32_767).astype(np.int16))
        midi.append(float("nan") if clip.midi is None else played(wave, rate, clip.midi))
        kept.append(clip)
    edges = np.cumsum([0, *(len(wave) for wave in waves)])
    arrays = {
        "waves": np.concatenate(waves) if waves else np.zeros(0, np.int16),
        "edges": edges.astype(np.int64),
        "midi": np.array(midi, np.float64),
    }
    index: dict[str, Any] = {
        "rate": rate,
        "classes": [clip.classes for clip in kept],
        "captions": [clip.caption for clip in kept],
        "split": [clip.split for clip in kept],
        "failures": failures,
    }
    pack_arrays(path, KIND, arrays, index)


def _read(path: Path) -> tuple[Sounds, list[str]]:
    found = read_arrays(path, KIND)
    arrays, index = found.arrays, found.index
    own = (index[name] for name in ("classes", "captions", "split"))
    sounds = Sounds(index["rate"], *(arrays[name].numpy() for name in ("waves", "edges", "midi")), *own)
    return sounds, index["failures"]


def trimmed(wave: np.ndarray, rate: int) -> np.ndarray:
    """Sound [n] from its first to its last 10 ms that are within 50 dB of the loudest."""
    size = max(rate // 100, 1)
    blocks = np.pad(wave, (0, -len(wave) % size)).reshape(-1, size)
    level = np.square(blocks, dtype=np.float64).mean(1)
    loud = np.flatnonzero(level > level.max() * 10 ** (-_SILENT / 10))
    return wave[loud[0] * size : (loud[-1] + 1) * size] if len(loud) else wave


def played(wave: np.ndarray, rate: int, midi: float) -> float:
    """The pitch of a note as it was played, near its nominal one."""
    part = wave[len(wave) // 8 :][:_LONG]
    windowed = np.hanning(len(part)) * part
    return tuned(np.abs(np.fft.rfft(windowed, 4 * _LONG)), rate, midi)


def as_tensor(wave: np.ndarray) -> torch.Tensor:
    """Sound [n] as a tensor of its own."""
    return torch.from_numpy(np.ascontiguousarray(wave))
