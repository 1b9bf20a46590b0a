"""Waveforms and log-mel spectrograms, on scales that compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .mel import mel_levels

__all__ = ["sheet"]

_DEPTH = 70.0  # dB shown
_BANDS = 80
_STEP = 0.005  # s
_LEAST = 120.0  # dB below full scale, further down than any sound is shown


def sheet(
    sounds: Sequence[tuple[str, np.ndarray, int]], shaded: Sequence[tuple[float, float] | None] = (), columns: int = 4
) -> Figure:
    """A waveform above a log-mel spectrogram for each sound, all on one scale of time, amplitude and level.

    Args:
        sounds: (title, mono samples [n], rate).
        shaded: from and to in seconds of what was drawn, for each; None or missing: nothing is shaded.
        columns: sounds in a row.
    """
    columns = min(columns, len(sounds))
    rows = -(-len(sounds) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.9 * rows), layout="constrained")
    grid = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[1, 2] * rows)
    longest = max(len(samples) / rate for _, samples, rate in sounds)
    highest = max(float(np.abs(samples).max()) for _, samples, _ in sounds) or 1.0
    mels = [mel_levels(samples, rate, _BANDS, _STEP, _LEAST).numpy() for _, samples, rate in sounds]
    top = max(float(mel.max()) for mel in mels)
    for place in range(rows * columns):
        row, column = divmod(place, columns)
        wave, spectrum = grid[2 * row][column], grid[2 * row + 1][column]
        if place >= len(sounds):
            wave.axis("off")
            spectrum.axis("off")
            continue
        title, samples, rate = sounds[place]
        seconds = len(samples) / rate
        wave.plot(np.arange(len(samples)) / rate, samples, linewidth=0.4, color="#30506d")
        wave.set(xlim=(0, longest), ylim=(-1.05 * highest, 1.05 * highest), xticks=[], yticks=[])
        wave.set_title(title, fontsize=8)
        extent = (0, seconds, 0, _BANDS)
        spectrum.imshow(
            mels[place], origin="lower", aspect="auto", extent=extent, vmin=top - _DEPTH, vmax=top, cmap="magma"
        )
        spectrum.set(xlim=(0, longest), yticks=[])
        spectrum.set_facecolor("black")
        spectrum.tick_params(labelsize=7)
        span: Any = shaded[place] if place < len(shaded) else None
        if span is not None:
            wave.axvspan(*span, color="#d08a2e", alpha=0.3, linewidth=0)
            for edge in span:
                spectrum.axvline(edge, color="white", linewidth=0.8, linestyle="--")
        if row == rows - 1 or place + columns >= len(sounds):
            spectrum.set_xlabel("s", fontsize=7)
    return figure
