"""What the network sees of a note: how loud its harmonics are, the noise between them, and how its pitch wanders.

A sinusoidal model with a noise residual (Serra and Smith 1990, "Spectral modeling synthesis"). Harmonics are counted,
not placed in Hz, so a note of a pitch that was never heard looks like its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.ndimage import median_filter, uniform_filter1d
from torch import Tensor

from .joined import eased
from .pitch import hertz

__all__ = ["Harmonic"]

_SINGLE = 24  # harmonics with a channel of their own; above them, one for each step of a tenth
_STEP = 1.1
_NOISE = 24  # bands of the residual, evenly spaced in log-frequency
_LOWEST = 60.0  # Hz of the lowest of them
_PERIODS = 4.0  # of the pitch in a window, so that neighbours fall on the zeros of a Hann window's spectrum
_SHORTEST = 2048  # samples of a window
_PADDED = 4  # times the window, for the place of a peak
_WANDER = 0.5  # semitones that are 1 in the state
_AUDIBLE = 50.0  # dB below the loudest frame down to which a frame's pitch is measured
_NOISE_WINDOW = 2048
_FAINT = 2e-5  # amplitude of a harmonic, of the loudest, below which it is not drawn


@dataclass(frozen=True)
class Harmonic:
    """Note [n] with its pitch <-> state [C, T]; nothing in it is learned.

    The first channels are amplitudes of harmonics 1 to 24 and of ever wider steps above, in dB below the loudest, cut
    at ``-depth`` and scaled to [-1, 1]; then the standard deviation of the noise in 24 bands, likewise; last, how many
    half semitones the pitch lies above the note's. The state does not tell how loud the note is.

    Args:
        rate: samples a second.
        hop: from frame to frame, in samples.
        depth: dB from the loudest harmonic down to silence.
    """

    rate: int
    hop: int
    depth: float = 80.0
    pitched: ClassVar[bool] = True

    @cached_property
    def orders(self) -> np.ndarray:
        """Number of the harmonic of each of the first channels; fractions are between two."""
        most = self.rate / 2 / 27.0
        above = _SINGLE * _STEP ** np.arange(1, math.ceil(math.log(most / _SINGLE, _STEP)) + 1)
        return np.concatenate([np.arange(1, _SINGLE + 1), above])

    @cached_property
    def bands(self) -> np.ndarray:
        """Hz of the middle of each band of noise."""
        return np.geomspace(_LOWEST, 0.95 * self.rate / 2, _NOISE)

    @property
    def channels(self) -> int:
        """C."""
        return len(self.orders) + _NOISE + 1

    @property
    def silence(self) -> Tensor:
        """State of a silent frame, [C]."""
        return torch.tensor([-1.0] * (self.channels - 1) + [0.0])

    def frames(self, samples: int) -> int:
        """T of so many samples."""
        return max(-(-samples // self.hop), 1)

    def encode(self, sound: Tensor, midi: float | None = None) -> Tensor:
        """State [C, T].

        Args:
            sound: [n].
            midi: pitch of the note. ValueError for None or NaN.
        """
        amplitude, noise, loudest, wander = self._measured(sound, midi)
        levels = np.concatenate([amplitude, noise], axis=1) / loudest
        decibels = (20 * np.log10(np.maximum(levels, 1e-12))).clip(-self.depth, 0)
        state = np.concatenate([1 + 2 * decibels / self.depth, wander[:, None] / _WANDER], axis=1)
        return torch.from_numpy(np.ascontiguousarray(state.T)).float()

    def _measured(self, sound: Tensor, midi: float | None) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
        """Amplitudes [T, orders], noise [T, bands], the largest amplitude, and semitones above the pitch [T]."""
        if midi is None or math.isnan(midi):
            raise ValueError("a sound without a pitch has no harmonics")
        base, window = hertz(midi), self._window(midi)
        hann = torch.hann_window(window)
        padded = torch.nn.functional.pad(sound.float(), (window // 2, window // 2 + self.hop))
        parts = padded.unfold(0, window, self.hop)[: self.frames(len(sound))]
        spectrum = torch.fft.rfft(parts * hann, _PADDED * window).abs().numpy().astype(np.float64)
        spacing = self.rate / (_PADDED * window)
        wander = self._wander(spectrum, base, spacing)
        own = base * 2 ** (wander / 12)
        amplitude = _at(spectrum, own[:, None] * self.orders / spacing) * 2 / float(hann.sum())
        amplitude[own[:, None] * self.orders >= self.rate / 2] = 0
        noise = self._noise(spectrum, own, spacing) / float(hann.square().sum().sqrt())
        return amplitude, noise, max(float(amplitude.max()), 1e-9), wander

    def _wander(self, spectrum: np.ndarray, base: float, spacing: float) -> np.ndarray:
        """Semitones of each frame above the pitch [T]: of the peaks near its first harmonics, the loudest most."""
        level = np.square(spectrum).sum(1)
        heard = level > level.max() * 10 ** (-_AUDIBLE / 10)
        number = max(min(6, int(0.9 * spectrum.shape[1] * spacing / base)), 1)
        total, weight = np.zeros(len(spectrum)), np.full(len(spectrum), 1e-12)
        for k in range(1, number + 1):
            low, high = (round(k * base * 2 ** (s / 12) / spacing) for s in (-_WANDER, _WANDER))
            near = spectrum[:, low : high + 1]
            peak = near.argmax(1)
            inside = (peak > 0) & (peak < near.shape[1] - 1)
            place = low + peak
            left, top, right = (np.log(spectrum[np.arange(len(place)), place + d] + 1e-12) for d in (-1, 0, 1))
            curve = left - 2 * top + right
            exact = place + np.where(curve < 0, 0.5 * (left - right) / np.where(curve < 0, curve, 1), 0)
            off = 12 * np.log2(np.maximum(exact, 1) * spacing / (k * base))
            much = np.where(inside & heard, np.exp(2 * top) * k**2, 0)
            total, weight = total + much * off, weight + much
        wander = np.where(weight > 1e-9, total / weight, np.nan)
        known = np.flatnonzero(np.isfinite(wander) & heard)
        if not len(known):
            return np.zeros(len(spectrum))
        # frames that are nearly silent take the pitch of their neighbours
        filled = np.interp(np.arange(len(wander)), known, wander[known])
        return median_filter(filled, size=5, mode="nearest").clip(-_WANDER, _WANDER)

    def _noise(self, spectrum: np.ndarray, own: np.ndarray, spacing: float) -> np.ndarray:
        """Magnitude between the harmonics [T, bands], averaged over neighbouring ones and over five frames."""
        most = int(self.rate / 2 / own.min() - 0.5)
        between = np.arange(max(most, 1)) + 0.5
        hz = own[:, None] * between
        power = np.square(_at(spectrum, hz / spacing))
        smooth = uniform_filter1d(power, 5, axis=0, mode="nearest")
        edges = np.sqrt(self.bands[1:] * self.bands[:-1])
        found = np.empty((len(own), _NOISE))
        middle = own.mean() * between
        which = np.searchsorted(edges, middle)
        for band in range(_NOISE):
            inside = which == band
            if inside.any():
                found[:, band] = smooth[:, inside].mean(1)
            else:  # narrower than the distance of two harmonics
                nearest = np.abs(np.log(middle / self.bands[band])).argmin()
                found[:, band] = smooth[:, nearest]
        return np.sqrt(np.maximum(found, 0))  # a running mean is a little below 0 in silence

    def decode(self, state: Tensor, samples: int | None = None, seed: int = 0, midi: float | None = None) -> Tensor:
        """Sound [samples] of state [C, T], its loudest harmonic at an amplitude of 0.5.

        Args:
            state: values beyond [-1, 1] are cut.
            samples: None: T hop.
            seed: of the phases and of the noise.
            midi: pitch of the note. ValueError for None or NaN.
        """
        samples = state.shape[-1] * self.hop if samples is None else samples
        rng = np.random.default_rng(seed)
        level, hertz_at = self._levels(state, samples, midi)
        turns = np.cumsum(hertz_at) / self.rate
        sound = np.zeros(samples)
        for k, amplitude in self._amplitudes(level, hertz_at):
            sound += amplitude * np.sin(2 * np.pi * (k * turns + rng.uniform()))
        return 0.5 * (torch.from_numpy(sound).float() + self._hiss(level[len(self.orders) :], samples, rng))

    def reach(self, midi: float | None = None) -> int:
        """Samples to either side that a frame looks at."""
        return self._window(69.0 if midi is None else midi) // 2

    def fill(
        self, state: Tensor, sound: Tensor, first: int, last: int, seed: int = 0, midi: float | None = None
    ) -> Tensor:
        """What lies from sample ``first`` to ``last`` [last - first], so that it continues the sound on both sides.

        Each harmonic begins with the phase that it has before the gap, and its frequency is changed by the fraction of
        a turn that brings it to the phase behind it. The first and last 6 ms fade from how the sound itself goes on.

        Args:
            state: [C, T] of the whole, as loud as :meth:`encode` of the sound without the gap would have it.
            sound: [n]; what it holds in the gap is never looked at.
            first: sample.
            last: the first sample after the gap.
            seed: of the noise, and of phases with nothing on either side.
            midi: pitch of the note. ValueError for None or NaN.
        """
        rng = np.random.default_rng(seed)
        wave = sound.double().numpy().copy()
        wave[first:last] = 0
        level, hertz_at = self._levels(state, len(wave), midi)
        loudest = self._loudest(torch.from_numpy(wave).float(), midi)
        turns = np.cumsum(hertz_at) / self.rate
        span = self.reach(midi)
        gap, share = slice(first, last), (np.arange(last - first) + 1) / (last - first + 1)
        out = np.zeros(last - first)
        for k, amplitude in self._amplitudes(level, hertz_at):
            before = _phase(wave[max(first - span, 0) : first], k * turns[max(first - span, 0) : first])
            after = _phase(wave[last : last + span], k * turns[last : last + span])
            begin = before if before is not None else after if after is not None else rng.uniform()
            drift = 0.0 if before is None or after is None else (after - before + 0.5) % 1 - 0.5
            out += amplitude[gap] * np.cos(2 * np.pi * (k * turns[gap] + begin + drift * share))
        out += self._hiss(level[len(self.orders) :], len(wave), rng)[gap].double().numpy()
        out *= loudest
        return torch.from_numpy(eased(out, wave, first, last, self.rate)).float()

    def _window(self, midi: float) -> int:
        return max(_SHORTEST, 1 << math.ceil(math.log2(_PERIODS * self.rate / hertz(midi))))

    def _loudest(self, sound: Tensor, midi: float | None) -> float:
        """Amplitude of the harmonic that :meth:`encode` counts as 0 dB."""
        return self._measured(sound, midi)[2]

    def _levels(self, state: Tensor, samples: int, midi: float | None) -> tuple[np.ndarray, np.ndarray]:
        """Amplitudes and noise [C - 1, T] with the loudest at 1, and the pitch at each sample in Hz [samples]."""
        if midi is None or math.isnan(midi):
            raise ValueError("a note has a pitch")
        values = state.double().numpy()
        decibels = (values[:-1].clip(-1, 1) - 1) * self.depth / 2
        level = np.where(decibels > -self.depth, 10 ** (decibels / 20), 0.0)
        wander = values[-1].clip(-2, 2) * _WANDER
        at = np.arange(samples) / self.hop
        return level, hertz(midi) * 2 ** (np.interp(at, np.arange(values.shape[1]), wander) / 12)

    def _amplitudes(self, level: np.ndarray, hertz_at: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """(k, amplitude at each sample) of the harmonics that are heard; between the steps, by log-interpolation."""
        count, frames = len(self.orders), np.arange(level.shape[1])
        at = np.arange(len(hertz_at)) / self.hop
        log = np.log(np.maximum(level[:count], 1e-9))
        for k in range(1, int(self.rate / 2 / hertz_at.min()) + 1):
            place = int(np.searchsorted(self.orders, k))
            if place >= count:
                return
            if self.orders[place] == k:
                amplitude = level[place]
            else:
                share = math.log(k / self.orders[place - 1]) / math.log(self.orders[place] / self.orders[place - 1])
                amplitude = np.exp((1 - share) * log[place - 1] + share * log[place])
            if amplitude.max() >= _FAINT:
                yield k, np.interp(at, frames, amplitude) * (k * hertz_at < self.rate / 2)

    def _hiss(self, level: np.ndarray, samples: int, rng: np.random.Generator) -> Tensor:
        """Noise of these standard deviations [bands, T] -> [samples]."""
        hann = torch.hann_window(_NOISE_WINDOW)
        white = torch.from_numpy(rng.standard_normal(samples)).float()
        spectrum = torch.stft(white, _NOISE_WINDOW, self.hop, window=hann, pad_mode="constant", return_complex=True)
        hz = np.maximum(np.arange(spectrum.shape[0]) * self.rate / _NOISE_WINDOW, 1.0)
        gain = np.stack([np.interp(np.log(hz), np.log(self.bands), frame) for frame in level.T], axis=1)
        frames = spectrum.shape[1]
        gain = np.pad(gain, ((0, 0), (0, max(frames - gain.shape[1], 0))))[:, :frames]
        shaped = spectrum * torch.from_numpy(gain).float()
        return torch.istft(shaped, _NOISE_WINDOW, self.hop, window=hann, length=samples)

    def to_json(self) -> dict[str, Any]:
        """The arguments of the class."""
        return asdict(self)


def _at(spectrum: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Magnitude [T, K] of rows [T, F] at fractional places [T, K], linearly between bins; 0 beyond the last."""
    last = spectrum.shape[1] - 1
    low = np.minimum(places.astype(np.int64), last - 1)
    share = places - low
    row = np.arange(len(spectrum))[:, None]
    between = (1 - share) * spectrum[row, low] + share * spectrum[row, low + 1]
    return np.where(places <= last, between, 0.0)


def _phase(wave: np.ndarray, turns: np.ndarray) -> float | None:
    """Phase in turns, of a cosine, that a wave [n] has against an oscillator [n] in turns; None for too short a one."""
    if len(wave) < 64 or not np.abs(wave).max() > 0:
        return None
    product = np.hanning(len(wave)) * wave * np.exp(-2j * np.pi * turns)
    return float(np.angle(product.sum()) / (2 * np.pi))
