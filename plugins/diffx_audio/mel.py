"""Mel spectrograms in dB."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchaudio.transforms import MelSpectrogram

__all__ = ["mel_levels"]

_PADDING = 4  # length of the transform over that of the window
_HANN = 1.5  # equivalent noise bandwidth of the Hann window, bins


def mel_levels(sound: np.ndarray, rate: int, bands: int = 64, step: float = 0.01, depth: float = 80.0) -> Tensor:
    """Levels [bands, T] in dB from 30 Hz to half the rate; the bands of a sine of amplitude 1 add up to 0 dB.

    Args:
        sound: mono [n].
        rate: samples a second.
        bands: evenly spaced in mel.
        step: seconds from frame to frame.
        depth: dB below 0 at which levels are cut.
    """
    size = 2 ** round(np.log2(0.032 * rate))
    whole = _PADDING * size  # bins so narrow that no band is without one
    hop = max(int(rate * step), 1)
    mel = MelSpectrogram(rate, whole, size, hop, n_mels=bands, f_min=30.0, norm=None, power=2.0, pad_mode="constant")
    power = mel(torch.from_numpy(sound.astype(np.float32))) / ((size / 4) ** 2 * _HANN * _PADDING)
    return 10 * power.clamp_min(10 ** (-depth / 10)).log10()
