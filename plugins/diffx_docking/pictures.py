"""Pictures of docking: score against RMSD, distributions of RMSD, reliability of the confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from diffx.metrics import Reliability
from diffx.run.figures import HELD_OUT, INK, LINE, MUTED, PALETTE, REAL, reliability_diagram, sheet

_RIGHT = 2.0  # Å


def distribution(curves: Mapping[str, Sequence[float]]) -> Any:
    """Share of complexes whose first-ranked pose is at most so far off, for each method."""
    with sheet(6.4, 3.9) as figure:
        axes = figure.subplots()
        for (name, off), colour in zip(curves.items(), (PALETTE[1], PALETTE[0], REAL, PALETTE[2]), strict=False):
            x = np.sort(np.asarray(off))
            axes.step(
                np.r_[0, x, 12], np.r_[0, np.arange(1, len(x) + 1) / len(x), 1], where="post", color=colour, label=name
            )
        axes.axvline(_RIGHT, color=LINE, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.set(xlim=(0, 10), ylim=(0, 1.02), xlabel="RMSD of the first-ranked pose (Å)", ylabel="share of complexes")
        axes.grid()
        axes.legend(loc="lower right")
    return figure


def score_against_rmsd(score: np.ndarray, off: np.ndarray, first: np.ndarray, label: str) -> Any:
    """Every pose: how far off it is and what was said of it; ``first`` marks the first-ranked ones."""
    with sheet(6.4, 3.9) as figure:
        axes = figure.subplots()
        off = np.minimum(off, 12)
        axes.scatter(off[~first], score[~first], s=7, color=REAL, alpha=0.5, linewidth=0, label="other poses")
        axes.scatter(
            off[first], score[first], s=20, color=PALETTE[1], edgecolor="white", linewidth=0.4, label="first-ranked"
        )
        axes.axvline(_RIGHT, color=LINE, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.set(xlabel="RMSD (Å; beyond 12 at 12)", ylabel=label)
        axes.grid()
        axes.legend(loc="upper right")
    return figure


def reliability_picture(known: Reliability) -> Any:
    """Confidence against how often a pose is right; the area of a dot is the number of cases."""
    with sheet(4.2, 4.2) as figure:
        axes = figure.subplots()
        reliability_diagram(axes, "less than 2 Å")
        count = np.array(known.count)
        axes.plot(known.predicted, known.observed, color=HELD_OUT, linewidth=1)
        axes.scatter(known.predicted, known.observed, s=18 + 160 * count / count.max(), color=HELD_OUT, alpha=0.7)
        for x, y, n in zip(known.predicted, known.observed, count, strict=True):
            axes.annotate(str(n), (x, y), textcoords="offset points", xytext=(8, -3), fontsize=8, color=MUTED)
        axes.title.set_color(INK)
    return figure
