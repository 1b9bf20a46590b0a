"""The phase of a spectrogram from its magnitude.

Phase gradient heap integration (Prusa, Balazs and Sondergaard 2017, "A noniterative method for reconstruction of phase
from STFT magnitude") starts fast Griffin-Lim (Perraudin, Balazs and Sondergaard 2013). The gradient of the phase
follows from that of the log-magnitude exactly for a Gaussian window, and nearly for a Hann window.
"""

from __future__ import annotations

import heapq
import math

import numpy as np
import torch
from torch import Tensor

__all__ = ["integrated", "refined"]

_HANN = 0.25645  # gamma / length^2 of the Gaussian nearest to a Hann window (Prusa et al. 2017, table I)
_LEAST = 1e-9  # magnitude that stands for silence in the logarithm


def integrated(magnitude: np.ndarray, window: int, hop: int, seed: int, tolerance: float = 1e-3) -> np.ndarray:
    """Phase [F, T] in radians, of frames whose time counts from their first sample, as ``torch.stft`` has it.

    Args:
        magnitude: [F, T], of a Hann window as long as the transform, F = window / 2 + 1.
        window: its length in samples.
        hop: samples from frame to frame.
        seed: of the phases below the tolerance, which are random.
        tolerance: share of the largest magnitude below which a bin's phase does not matter.
    """
    bins, frames = magnitude.shape
    gamma = _HANN * window**2
    log = np.log(np.maximum(magnitude, _LEAST))
    along = hop * window / gamma * np.gradient(log, axis=0) + (2 * math.pi * hop / window * np.arange(bins))[:, None]
    across = -gamma / (hop * window) * np.gradient(log, axis=1) - math.pi if frames > 1 else np.full_like(log, -math.pi)
    phase = np.random.default_rng(seed).uniform(0, 2 * math.pi, magnitude.shape)
    least = tolerance * float(magnitude.max())
    if least == 0:
        return phase
    _integrate(phase, magnitude, along, across, magnitude > least)
    return phase


def _integrate(
    phase: np.ndarray, magnitude: np.ndarray, along: np.ndarray, across: np.ndarray, todo: np.ndarray
) -> None:
    """From the loudest bin outwards, the loudest neighbour first; once for each island of bins to do. In place."""
    bins, frames = phase.shape
    order = np.flatnonzero(todo)
    order = order[np.argsort(-magnitude.ravel()[order], kind="stable")]
    # plain lists: each element is looked at by itself, which arrays are slow at
    loud, dt, df, open_ = (v.ravel().tolist() for v in (magnitude, along, across, todo))
    found = phase.ravel().tolist()
    for first in order.tolist():
        if not open_[first]:
            continue
        open_[first] = False
        heap = [(-loud[first], first)]
        while heap:
            _, here = heapq.heappop(heap)
            row, column = divmod(here, frames)
            steps = []
            if column + 1 < frames:
                steps.append((here + 1, dt, 1))
            if column:
                steps.append((here - 1, dt, -1))
            if row + 1 < bins:
                steps.append((here + frames, df, 1))
            if row:
                steps.append((here - frames, df, -1))
            for there, slope, sign in steps:
                if open_[there]:
                    open_[there] = False
                    found[there] = found[here] + sign * (slope[here] + slope[there]) / 2
                    heapq.heappush(heap, (-loud[there], there))
    phase[:] = np.asarray(found).reshape(phase.shape)


def refined(
    magnitude: Tensor,
    phase: Tensor,
    window: Tensor,
    hop: int,
    length: int,
    steps: int,
    momentum: float = 0.99,
    known: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """The signal [length] whose spectrogram comes near to a magnitude, from a first phase (fast Griffin-Lim).

    Args:
        magnitude: [F, T].
        phase: [F, T], radians.
        window: [2 (F - 1)].
        hop: samples from frame to frame; frames are centred on multiples of it.
        length: samples.
        steps: number of projections.
        momentum: of the acceleration; 0: Griffin and Lim 1984.
        known: where [length], bool, the signal is that of [length]; None: nowhere.
    """
    n = len(window)
    spectrum = torch.polar(magnitude, phase)
    last = torch.zeros_like(spectrum)
    for _ in range(steps):
        signal = torch.istft(spectrum, n, hop, window=window, length=length)
        if known is not None:
            signal = torch.where(known[0], known[1], signal)
        now = torch.stft(signal, n, hop, window=window, pad_mode="constant", return_complex=True)
        spectrum = torch.polar(magnitude, (now + momentum * (now - last)).angle())
        last = now
    return torch.istft(spectrum, n, hop, window=window, length=length)
