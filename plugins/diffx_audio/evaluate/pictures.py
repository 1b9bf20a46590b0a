"""Pictures of an evaluation: what the probe hears, and real beside drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from diffx.run.figures import INK, sheet

from .embedding import log_mel

__all__ = ["confusion", "spectrograms"]

_MOST = 24  # classes whose counts are written
Pair = tuple[str, np.ndarray, np.ndarray]  # words, real sound [n], drawn one [n]


def confusion(asked: Sequence[str], heard: Sequence[str]) -> Any:
    """Which class the probe hears (columns) in sounds of each class that was asked (rows), as shares of the row."""
    names = sorted({*asked, *heard})
    counts = np.zeros((len(names), len(names)), int)
    for a, h in zip(asked, heard, strict=True):
        counts[names.index(a), names.index(h)] += 1
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    edge = max(3.6, 1.8 + 0.42 * len(names))
    with sheet(edge + 0.8, edge) as figure:
        axes = figure.subplots()
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        ticks = range(len(names))
        axes.set_xticks(
            ticks, names, rotation=40 if max(map(len, names)) > 4 else 0, ha="right", rotation_mode="anchor"
        )
        axes.set_yticks(ticks, names)
        axes.set(xlabel="heard", ylabel="asked")
        axes.tick_params(length=0)
        for i, j in np.argwhere(counts) if len(names) <= _MOST else ():
            ink = "white" if share[i, j] > 0.55 else INK
            axes.text(j, i, str(counts[i, j]), ha="center", va="center", fontsize=8.5, color=ink)
        figure.colorbar(image, ax=axes, label="share of the class that was asked", shrink=0.8)
    return figure


def spectrograms(pairs: Sequence[Pair], rate: int) -> Any:
    """Mel spectrograms of real sounds and of drawn ones that were asked to be as they, all on one scale."""
    mels = [[log_mel(sound, rate).numpy() for sound in (real, drawn)] for _, real, drawn in pairs]
    top = max(float(mel.max()) for row in mels for mel in row)
    longest = max(mel.shape[1] for row in mels for mel in row)
    with sheet(9.0, 0.7 + 1.5 * len(pairs)) as figure:
        grid = figure.subplots(len(pairs), 2, squeeze=False, sharex=True, sharey=True)
        for (words, _, _), row, line in zip(pairs, mels, grid, strict=True):
            for mel, axes, name in zip(row, line, ("real", "drawn"), strict=True):
                image = axes.imshow(mel, origin="lower", aspect="auto", cmap="magma", vmin=top - 70, vmax=top,
                                    extent=(0, mel.shape[1] / 100, 0, len(mel)))  # fmt: skip
                axes.set(xlim=(0, longest / 100), title=f"{words}: {name}")
                axes.set_facecolor("black")
            line[0].set_ylabel("mel band")
        for axes in grid[-1]:
            axes.set_xlabel("s")
        figure.colorbar(image, ax=grid, label="dB", shrink=0.6)
    return figure
