"""Vectors that stand for sounds: of a speech network where it is installed, else of mel spectrograms."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..files import resampled
from ..mel import mel_levels

__all__ = ["Embedding", "MelQuarters", "SpeechNetwork", "embedding_of", "levelled", "log_mel", "thumbnail"]

_LEVEL = 0.05  # root mean square that sounds are brought to, so that loudness does not count


class Embedding(Protocol):
    """Sounds -> vectors; ``name`` as it stands in metrics.json."""

    @property
    def name(self) -> str:
        """As metrics.json has it."""

    def __call__(self, sounds: Sequence[np.ndarray], rate: int) -> np.ndarray:
        """[n, d] of mono sounds [samples]."""


def levelled(sound: np.ndarray) -> np.ndarray:
    """A sound at one root mean square, cut at full scale; silence stays silence."""
    level = float(np.sqrt(np.square(sound, dtype=np.float64).mean()))
    return (sound * (_LEVEL / level)).clip(-1, 1).astype(np.float32) if level > 0 else sound.astype(np.float32)


def log_mel(sound: np.ndarray, rate: int, mels: int = 64) -> Tensor:
    """Mel spectrogram [mels, T] in dB of a :func:`levelled` sound (:func:`diffx_audio.mel.mel_levels`)."""
    return mel_levels(levelled(sound), rate, mels)


def thumbnail(sound: np.ndarray, rate: int) -> np.ndarray:
    """[24 * 16] mel spectrogram in dB, 24 bands and 16 parts of the sound: what sounds are compared by as copies."""
    return F.adaptive_avg_pool1d(log_mel(sound, rate, 24)[None], 16).flatten().numpy()


@dataclass(frozen=True)
class MelQuarters:
    """Mean mel spectrogram in dB of each quarter of the sound, 32 bands: [n, 128]. Needs no other package."""

    name: str = "mean log-mel spectrogram of each quarter, 32 bands"

    def __call__(self, sounds: Sequence[np.ndarray], rate: int) -> np.ndarray:
        """[n, 128]."""
        rows = [F.adaptive_avg_pool1d(log_mel(sound, rate, 32)[None], 4).flatten() for sound in sounds]
        return torch.stack(rows).double().numpy()


class SpeechNetwork:
    """Google's speech embedding (Lin et al. 2020) as openwakeword ships it, mean over windows of 0.76 s: [n, 96].

    It hears up to 8 kHz. Shorter sounds lie in the middle of a second of silence.

    Args:
        folder: with melspectrogram.onnx and embedding_model.onnx.
    """

    name = "speech_embedding (openwakeword 0.4.0), mean over windows"
    _rate, _window, _step = 16_000, 76, 8

    def __init__(self, folder: Path):
        self.folder = folder

    @cached_property
    def _networks(self) -> tuple[Any, Any]:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        return tuple(
            onnxruntime.InferenceSession(str(self.folder / name), options, providers=["CPUExecutionProvider"])
            for name in ("melspectrogram.onnx", "embedding_model.onnx")
        )  # type: ignore[return-value]

    def __call__(self, sounds: Sequence[np.ndarray], rate: int) -> np.ndarray:
        """[n, 96]."""
        return np.stack([self._one(levelled(sound), rate) for sound in sounds]).astype(np.float64)

    def _one(self, sound: np.ndarray, rate: int) -> np.ndarray:
        spectrum, network = self._networks
        wave = resampled(sound, rate, self._rate) if rate != self._rate else sound
        lacking = max(self._rate - len(wave), 0)
        wave = np.pad(wave, (lacking // 2, lacking - lacking // 2)) * 32767
        mel = np.squeeze(spectrum.run(None, {"input": wave[None].astype(np.float32)})[0]) / 10 + 2
        firsts = range(0, len(mel) - self._window + 1, self._step)
        windows = np.stack([mel[i : i + self._window] for i in firsts])[..., None].astype(np.float32)
        return network.run(None, {"input_1": windows})[0].reshape(len(windows), -1).mean(0)


def embedding_of(kind: str = "auto") -> Embedding:
    """The embedding of ``evaluate.embedding``: ``speech``, ``mel``, or ``auto``, speech where it is installed.

    Raises ImportError for ``speech`` where openwakeword or onnxruntime is missing.
    """
    found = importlib.util.find_spec("openwakeword")
    folder = Path(next(iter(found.submodule_search_locations or [""]))) / "resources" / "models" if found else None
    there = folder is not None and (folder / "embedding_model.onnx").is_file()
    usable = there and importlib.util.find_spec("onnxruntime") is not None
    if kind == "speech" and not usable:
        raise ImportError("openwakeword 0.4.0 and onnxruntime")
    return SpeechNetwork(folder) if kind != "mel" and usable and folder is not None else MelQuarters()
