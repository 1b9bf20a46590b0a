"""What the network sees of a voice: its spectral envelope, its pitch, and how noisy it is.

The WORLD vocoder (Morise, Yokomori and Ozawa 2016): Harvest finds the pitch, CheapTrick the envelope, D4C the share of
noise; the states are smooth, so that little data and little training make words that can be understood.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import soxr
import torch
from torch import Tensor

from .joined import joined

__all__ = ["Vocoder"]

_BANDS = 48  # of the envelope, evenly spaced in mel
_NOISY = 4  # bands of the share of noise
_LOW, _HIGH = 55.0, 500.0  # Hz, of the pitch
_MIDDLE = 150.0  # Hz that is 0 in the state; an octave is 1
_PEAK = 0.5  # of what is decoded
_LEAST_RATE = 16_000  # samples a second below which D4C does not work
_REST = 1e-16  # power that stands for silence


@dataclass(frozen=True)
class Vocoder:
    """Sound [n] <-> state [C, T]; nothing in it is learned.

    The first 48 channels are the envelope in dB below its loudest point, cut at ``-depth`` and scaled to [-1, 1]; then
    the pitch in octaves above 150 Hz, drawn through where there is none; whether there is one, 1 or -1; and the share
    of noise in four bands, from -1 to 1. The state does not tell how loud the sound is.

    Args:
        rate: samples a second.
        hop: from frame to frame, in samples.
        depth: dB from the loudest point of the envelope down to silence.
    """

    rate: int
    hop: int
    depth: float = 70.0
    pitched: ClassVar[bool] = False

    @property
    def channels(self) -> int:
        """C."""
        return _BANDS + 2 + _NOISY

    @property
    def silence(self) -> Tensor:
        """State of a silent frame, [C]."""
        return torch.tensor([-1.0] * _BANDS + [0.0, -1.0] + [1.0] * _NOISY)

    def frames(self, samples: int) -> int:
        """T of so many samples."""
        return max(-(-samples // self.hop), 1)

    def encode(self, sound: Tensor, midi: float | None = None) -> Tensor:
        """State [C, T] of sound [n]; its pitch is found."""
        import pyworld

        wave = sound.double().numpy()
        frames = self.frames(len(wave))
        period = 1000.0 * self.hop / self.rate
        padded = np.pad(wave, (0, max(frames * self.hop - len(wave), 0) + self.hop))
        hz, at = pyworld.harvest(padded, self.rate, f0_floor=_LOW, f0_ceil=_HIGH, frame_period=period)
        envelope = pyworld.cheaptrick(padded, hz, at, self.rate, fft_size=self._size)
        noise = self.noise(padded, hz, at)
        hz, envelope, noise = (v[:frames] for v in (hz, envelope, noise))
        levels = np.stack([np.interp(self._bands, self._hertz, row) for row in np.log(envelope + _REST)])
        decibels = 10 / math.log(10) * (levels - levels.max())
        state = [1 + 2 * decibels.clip(-self.depth, 0) / self.depth]
        voiced = hz > 0
        pitch = np.full(frames, _MIDDLE)
        if voiced.any():
            pitch = np.interp(np.arange(frames), np.flatnonzero(voiced), hz[voiced])
        state += [np.log2(pitch / _MIDDLE)[:, None], np.where(voiced, 1.0, -1.0)[:, None]]
        state.append(2 * noise - 1)
        return torch.from_numpy(np.ascontiguousarray(np.concatenate(state, axis=1).T)).float()

    def noise(self, wave: np.ndarray, hz: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Share of noise in each band [T, 4], 0 to 1, of a wave with this pitch at these seconds.

        D4C looks at bands 3 kHz apart from 3 kHz on, and at 8 kHz to tell voice from none: below a rate of 16 kHz it
        calls everything noise. So the wave is brought to twice the rate as often as that takes.
        """
        import pyworld

        times = 1
        while self.rate * times < _LEAST_RATE:
            times *= 2
        faster = soxr.resample(wave, self.rate, self.rate * times) if times > 1 else wave
        found = pyworld.d4c(faster, hz, at, self.rate * times, fft_size=self._size * times)[:, : len(self._hertz)]
        return np.stack([band.mean(1) for band in np.array_split(found, _NOISY, axis=1)], axis=1)

    def decode(self, state: Tensor, samples: int | None = None, seed: int = 0, midi: float | None = None) -> Tensor:
        """Sound [samples] of state [C, T], its largest sample at 0.5.

        Args:
            state: values out of range are cut.
            samples: None: T hop.
            seed: does not matter: WORLD's noise is always the same.
            midi: does not matter.
        """
        import pyworld

        samples = state.shape[-1] * self.hop if samples is None else samples
        values = state.double().numpy().T
        decibels = (values[:, :_BANDS].clip(-1, 1) - 1) * self.depth / 2
        logs = np.stack([np.interp(self._hertz, self._bands, row) for row in decibels]) * math.log(10) / 10
        envelope = np.where(logs > -0.995 * self.depth * math.log(10) / 10, np.exp(logs), 0.0) + _REST
        pitch = _MIDDLE * 2 ** values[:, _BANDS].clip(math.log2(_LOW / _MIDDLE), math.log2(_HIGH / _MIDDLE))
        hz = np.where(values[:, _BANDS + 1] > 0, pitch, 0.0)
        shares = ((values[:, _BANDS + 2 :] + 1) / 2).clip(0, 1)
        bins = len(self._hertz)
        widths = [len(part) for part in np.array_split(np.arange(bins), _NOISY)]
        noise = np.repeat(shares, widths, axis=1).clip(1e-3, 1 - 1e-12)
        last = samples // self.hop + 2 - len(hz)  # frames beyond the end, so that the last sample is made
        if last > 0:
            hz, envelope, noise = (np.concatenate([v, np.repeat(v[-1:], last, axis=0)]) for v in (hz, envelope, noise))
        wave = pyworld.synthesize(hz, envelope, noise, self.rate, 1000.0 * self.hop / self.rate)
        wave = np.pad(wave, (0, max(samples - len(wave), 0)))[:samples]
        return torch.from_numpy(wave * (_PEAK / max(float(np.abs(wave).max()), 1e-9))).float()

    def reach(self, midi: float | None = None) -> int:
        """Samples to either side that a frame looks at."""
        return round(1.5 * self.rate / _LOW)

    def fill(
        self, state: Tensor, sound: Tensor, first: int, last: int, seed: int = 0, midi: float | None = None
    ) -> Tensor:
        """What lies from sample ``first`` to ``last`` [last - first], so that it continues the sound on both sides.

        The decoded sound is shifted by up to one period at either end, to where it is most like the sound there, and
        brought to its level (:func:`diffx_audio.joined.joined`).

        Args:
            state: [C, T] of the whole.
            sound: [n]; what it holds in the gap is never looked at.
            first: sample.
            last: the first sample after the gap.
            seed: as of :meth:`decode`.
            midi: does not matter.
        """
        whole = self.decode(state, len(sound), seed).double().numpy()
        span = round(self.rate / _LOW)
        return torch.from_numpy(joined(whole, sound.double().numpy(), first, last, span, self.rate)).float()

    @cached_property
    def _size(self) -> int:
        return 1 << math.ceil(math.log2(3 * self.rate / _LOW + 1))

    @cached_property
    def _hertz(self) -> np.ndarray:
        return np.arange(self._size // 2 + 1) * self.rate / self._size

    @cached_property
    def _bands(self) -> np.ndarray:
        mel = np.linspace(0, 1127 * math.log1p(self.rate / 2 / 700), _BANDS)
        return 700 * np.expm1(mel / 1127)

    def to_json(self) -> dict[str, Any]:
        """The arguments of the class."""
        return asdict(self)
