"""Methods beside one another, and said against observed, in pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .calibration import LEVELS
from .compare import OURS, Trial
from .pictures import FAINT, INK, LINE, MUTED, colours, sheet, titled

_GREYS = ("#c9ccd1", "#9aa0a8", "#6f757e", "#4b5058")


def methods(
    trials: Mapping[str, Trial], figures: Mapping[str, Mapping[str, Mapping[str, Any]]], titles: Mapping[str, str]
) -> Any:
    """Mean absolute error and F1 of every method, one column an appliance, with 95 % intervals.

    Args:
        figures: appliance -> method -> figure, of :meth:`.Trial.figures` with spans. titles: method -> how it is said.
    """
    tint = colours([trial.appliance for trial in trials.values()])
    with sheet(max(2.75 * len(trials), 5.5), 4.6) as figure:
        grid = figure.subplots(2, len(trials), squeeze=False)
        for column, (key, trial) in enumerate(trials.items()):
            for axes, name in zip(grid[:, column], ("mae", "f1"), strict=True):
                _bars(axes, figures[key], name, tint[key], titles)
                axes.grid(axis="y", color=FAINT, linewidth=0.6)
            grid[0, column].set_title(titled(trial.appliance))
            grid[1, column].set_ylim(0, 1)
        grid[0, 0].set_ylabel("MAE, W")
        grid[1, 0].set_ylabel("F1")
    return figure


def _bars(axes: Any, figures: Mapping[str, Mapping[str, Any]], name: str, tint: str, titles: Mapping[str, str]) -> None:
    greys = iter(_GREYS * len(figures))
    for i, (method, of) in enumerate(figures.items()):
        colour = tint if method == OURS else next(greys)
        value = of[name]
        if value is None or (method == "always_off" and name == "f1"):
            continue
        axes.bar(i, value, 0.74, color=colour, alpha=0.85)
        if ends := of.get(f"{name}_interval"):
            axes.plot([i, i], ends, color=INK, linewidth=1.1, solid_capstyle="butt")
        axes.annotate(f"{value:.3g}" if name == "mae" else f"{value:.2f}", (i, max(value, (ends or [0, 0])[1])), (0, 2),
                      textcoords="offset points", ha="center", va="bottom", fontsize=8, color=MUTED)  # fmt: skip
    axes.margins(y=0.16)
    axes.set_xlim(-0.6, len(figures) - 0.4)
    axes.set_xticks(range(len(figures)), [titles.get(method, method).replace(" ", "\n") for method in figures])
    axes.tick_params(axis="x", length=0, labelsize=7.5)


def honesty(trials: Sequence[Trial], figures: Sequence[Mapping[str, Any]]) -> Any:
    """Left, said against observed shares of being on; right, asked against held shares of intervals.

    Args:
        figures: of each, with ``coverage50`` and ``coverage90``, which the calibrated intervals hold.
    """
    from matplotlib.lines import Line2D

    tint = colours([trial.appliance for trial in trials])
    with sheet(11, 4.6) as figure:
        left, right = figure.subplots(1, 2)
        for axes in (left, right):
            axes.plot([0, 1], [0, 1], color=LINE, linewidth=0.9, linestyle=(0, (4, 3)))
            axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
            axes.grid(color=FAINT, linewidth=0.6)
        for trial, of in zip(trials, figures, strict=True):
            colour = tint[trial.appliance.key]
            said, was, count = trial.curve()
            left.plot(said, was, color=colour, linewidth=1.2, label=titled(trial.appliance))
            left.scatter(said, was, 12 + 10 * np.log10(np.maximum(count, 1)), color=colour, linewidth=0, zorder=3)
            raw = trial.coverage()
            right.plot(list(raw), list(raw.values()), color=colour, linewidth=1.1, marker="o", ms=3, alpha=0.75)
            calibrated = [of[f"coverage{round(100 * level)}"] for level in LEVELS]
            shown = [(level, held) for level, held in zip(LEVELS, calibrated, strict=True) if held is not None]
            right.scatter(*np.reshape(shown, (-1, 2)).T, 46, color=colour, edgecolor="white", linewidth=0.8, zorder=4)
        left.set(xlabel="said: probability of being on", ylabel="observed: share of time on")
        left.set_title("Is what is called likely, likely?")
        left.legend(loc="upper left")
        right.set(xlabel="asked: level of the interval", ylabel="held: share of the truth inside")
        right.set_title("Do intervals hold what they promise?")
        marks = [
            Line2D([], [], color=MUTED, linewidth=1.1, marker="o", ms=3, label="of the samples themselves"),
            Line2D([], [], color=MUTED, linewidth=0, marker="o", ms=7, mec="white", label="calibrated"),
        ]
        right.legend(handles=marks, loc="lower right")
    return figure
