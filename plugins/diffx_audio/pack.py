"""Sounds prepared for training, in one file: silence at both ends cut, pitches as played, encoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffx.data import cache_key, is_held_out
from diffx.data.packed import pack_arrays, read_arrays
from diffx.errors import DataError
from diffx.io.cache import cache_path
from diffx.io.home import expanded

from .codec import Codec, codec_of
from .config import PLUGIN, AudioConfig
from .files import read_sound
from .manifest import Clip, read_manifest
from .pitch import tuned

__all__ = ["Sounds", "heard", "load_sounds", "prepared", "trimmed"]

KIND = "sounds 3"
_SILENT = 50.0  # dB below the loudest 10 ms: what is quieter at the ends is not part of the sound
_LONG = 16_384  # samples that a pitch is measured on
_TOLD = 5  # files left out that are named


@dataclass(frozen=True)
class Sounds:
    """``states`` [C, frames of all]: sound k has the frames from ``edges[k]`` to ``edges[k + 1]``, fp16.

    ``seconds``: length of each. ``midi``: pitch as played, NaN where there is none. ``classes``: one mapping a sound.
    """

    states: Tensor
    edges: np.ndarray
    seconds: np.ndarray
    midi: np.ndarray
    classes: list[dict[str, str]]
    captions: list[str]
    split: list[str]

    def __len__(self) -> int:
        return len(self.split)

    def state(self, k: int) -> Tensor:
        """[C, T] of sound k, fp32."""
        return self.states[:, int(self.edges[k]) : int(self.edges[k + 1])].float()

    def of(self, held_out: bool) -> list[int]:
        """Numbers of the sounds that are held out, or are not."""
        return [k for k, split in enumerate(self.split) if is_held_out(split) == held_out]

    def fields(self) -> list[str]:
        """All classes, as ``field:class|class``."""
        names = dict.fromkeys(name for own in self.classes for name in own)
        return [f"{name}:{'|'.join(sorted({c[name] for c in self.classes if name in c}))}" for name in names]


def load_sounds(cfg: AudioConfig, say: Callable[[str], None] = lambda line: None) -> Sounds:
    """The sounds of ``data.root``, prepared once and kept in the cache.

    A file that cannot be read, or has no pitch where the codec needs one, is told and left out, each time. DataError
    where none is left.
    """
    root, codec = expanded(cfg.data.root or ""), codec_of(cfg.codec)
    told = codec.to_json()
    if root.is_file():
        path = root
    else:
        clips = read_manifest(root, cfg.data.fields, cfg.data.holdout, cfg.seed)
        key = cache_key(KIND, told, cfg.data.fields, cfg.data.holdout, cfg.seed,
                        files=[root / "manifest.csv", *(clip.path for clip in clips)])  # fmt: skip
        path = cache_path(cfg.data.cache, f"sounds-{key}.safetensors", plugin=PLUGIN)
        if not path.is_file():
            say(f"preparing {len(clips)} sounds of {root}")
            path.parent.mkdir(parents=True, exist_ok=True)
            pack(clips, codec, path)
    found = read_arrays(path, KIND)
    arrays, index = found.arrays, found.index
    if index["codec"] != told:
        raise DataError(f"{root}: packed with another codec: {index['codec']}, not {told}")
    failures = index["failures"]
    for failure in failures[:_TOLD]:
        say(f"left out: {failure}")
    if len(failures) > _TOLD:
        say(f"left out: {len(failures) - _TOLD} more")
    edges, seconds, midi = (arrays[name].numpy() for name in ("edges", "seconds", "midi"))
    sounds = Sounds(arrays["states"], edges, seconds, midi, index["classes"], index["captions"], index["split"])
    if not len(sounds):
        raise DataError(f"{root}: none of its sounds could be used")
    return sounds


def pack(clips: Sequence[Clip], codec: Codec, path: Path) -> None:
    """Read, trim, tune and encode sounds, and write them as one file."""
    states, midi, seconds, kept, failures = [], [], [], [], []
    for clip in clips:
        try:
            wave, pitch = prepared(clip, codec)
            states.append(codec.encode(torch.from_numpy(wave), pitch).half())
        except DataError as error:
            failures.append(str(error))
        except ValueError as error:
            failures.append(f"{clip.path}: {error}")
        else:
            midi.append(float("nan") if pitch is None else pitch)
            seconds.append(len(wave) / codec.rate)
            kept.append(clip)
    arrays: dict[str, Tensor | np.ndarray] = {
        "states": torch.cat(states, dim=1) if states else torch.zeros(codec.channels, 0),
        "edges": np.cumsum([0, *(state.shape[1] for state in states)]).astype(np.int64),
        "seconds": np.array(seconds, np.float64),
        "midi": np.array(midi, np.float64),
    }
    index: dict[str, Any] = {
        "codec": codec.to_json(),
        "classes": [clip.classes for clip in kept],
        "captions": [clip.caption for clip in kept],
        "split": [clip.split for clip in kept],
        "failures": failures,
    }
    pack_arrays(path, KIND, arrays, index)


def prepared(clip: Clip, codec: Codec) -> tuple[np.ndarray, float | None]:
    """A sound as training sees it: mono [n] at the codec's rate without the silence at its ends, its pitch as played.

    Raises DataError where it cannot be read.
    """
    sound, _ = read_sound(clip.path, codec.rate)
    wave = trimmed(sound.mean(0), codec.rate)
    return wave, None if clip.midi is None else played(wave, codec.rate, clip.midi)


def trimmed(wave: np.ndarray, rate: int) -> np.ndarray:
    """Sound [n] without the silence at its ends."""
    first, last = heard(wave, rate)
    return np.ascontiguousarray(wave[first:last])


def heard(wave: np.ndarray, rate: int) -> tuple[int, int]:
    """From where to where a sound [n] is heard: its first and last 10 ms within 50 dB of the loudest, in samples."""
    size = max(rate // 100, 1)
    blocks = np.pad(wave, (0, -len(wave) % size)).reshape(-1, size)
    level = np.square(blocks, dtype=np.float64).mean(1)
    loud = np.flatnonzero(level > level.max() * 10 ** (-_SILENT / 10))
    return (int(loud[0]) * size, min((int(loud[-1]) + 1) * size, len(wave))) if len(loud) else (0, len(wave))


def played(wave: np.ndarray, rate: int, midi: float) -> float:
    """The pitch of a note as it was played, near its nominal one."""
    part = wave[len(wave) // 8 :][:_LONG]
    windowed = np.hanning(len(part)) * part
    return tuned(np.abs(np.fft.rfft(windowed, 4 * _LONG)), rate, midi)
