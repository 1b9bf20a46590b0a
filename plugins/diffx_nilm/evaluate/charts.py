"""Methods beside one another, and how well calibrated the samples are, in pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from diffx.run.figures import FAINT, GREYS, INK, MUTED, coverage_diagram, reliability_diagram, sheet

from ..calibration import LEVELS
from ..pictures import WIDE, colours, titled
from .figures import TITLES
from .trials import OURS, Trial

_FEW = 10  # periods below which a share says nothing


def methods(trials: Mapping[str, Trial], figures: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Any:
    """Mean absolute error and F1 of every method, one column an appliance, with 95 % intervals.

    Args:
        trials: by appliance.
        figures: appliance -> method -> figure, of :meth:`.Trial.figures` with spans.
    """
    tint = colours([trial.appliance for trial in trials.values()])
    with sheet(max(2.9 * len(trials), 5.5), 4.6) as figure:
        grid = figure.subplots(2, len(trials), squeeze=False)
        for column, (key, trial) in enumerate(trials.items()):
            for axes, name in zip(grid[:, column], ("mae", "f1"), strict=True):
                _bars(axes, figures[key], name, tint[key])
                axes.grid(axis="y", color=FAINT, linewidth=0.6)
            grid[0, column].set_title(titled(trial.appliance))
            grid[1, column].set_ylim(0, 1)
        grid[0, 0].set_ylabel("MAE, W")
        grid[1, 0].set_ylabel("F1")
    return figure


def _bars(axes: Any, figures: Mapping[str, Mapping[str, Any]], name: str, tint: str) -> None:
    greys = iter(GREYS * len(figures))
    for i, (method, of) in enumerate(figures.items()):
        colour = tint if method == OURS else next(greys)
        value = of[name]
        if value is None or (method == "always_off" and name == "f1"):
            continue
        axes.bar(i, value, 0.74, color=colour, alpha=0.85)
        if ends := of.get(f"{name}_interval"):
            axes.plot([i, i], ends, color=INK, linewidth=1.1, solid_capstyle="butt")
        axes.annotate(f"{value:.3g}" if name == "mae" else f"{value:.2f}", (i, max(value, (ends or [0, 0])[1])), (0, 2),
                      textcoords="offset points", ha="center", va="bottom", fontsize=8.5, color=MUTED)  # fmt: skip
    axes.margins(y=0.16)
    axes.set_xlim(-0.6, len(figures) - 0.4)
    axes.set_xticks(range(len(figures)), [TITLES.get(method, method).replace(" ", "\n") for method in figures])
    axes.tick_params(axis="x", length=0, labelsize=8)


def calibration(trials: Sequence[Trial], figures: Sequence[Mapping[str, Any]]) -> Any:
    """Left the reliability diagram of being on, right the coverage of intervals of power.

    Args:
        trials: of appliances with meters.
        figures: of each, with ``coverage50`` and ``coverage90``, which the intervals of these weights hold.
    """
    from matplotlib.lines import Line2D

    tint = colours([trial.appliance for trial in trials])
    with sheet(WIDE, 4.6) as figure:
        left, right = figure.subplots(1, 2)
        reliability_diagram(left, "being on")
        coverage_diagram(right)
        for trial, of in zip(trials, figures, strict=True):
            colour = tint[trial.appliance.key]
            if trial.said.sum():
                bins = trial.reliability()
                shown = [i for i, count in enumerate(bins.count) if count >= _FEW]
                said, was, count = (np.array(v)[shown] for v in (bins.predicted, bins.observed, bins.count))
                left.plot(said, was, color=colour, linewidth=1.2, label=titled(trial.appliance))
                left.scatter(said, was, 12 + 10 * np.log10(np.maximum(count, 1)), color=colour, linewidth=0, zorder=3)
            raw = trial.coverage()
            right.plot(list(raw), list(raw.values()), color=colour, linewidth=1.1, marker="o", ms=3, alpha=0.75)
            own = [(level, of[f"coverage{round(100 * level)}"]) for level in LEVELS]
            held = [(level, share) for level, share in own if share is not None]
            right.scatter(*np.reshape(held, (-1, 2)).T, 46, color=colour, edgecolor="white", linewidth=0.8, zorder=4)
        left.legend(loc="upper left")
        marks = [
            Line2D([], [], color=MUTED, linewidth=1.1, marker="o", ms=3, label="the samples' own intervals"),
            Line2D([], [], color=MUTED, linewidth=0, marker="o", ms=7, mec="white", label="widened intervals"),
        ]
        right.legend(handles=marks, loc="lower right")
    return figure
