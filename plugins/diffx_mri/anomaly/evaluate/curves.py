"""Precision against recall, and what a threshold gives and costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from diffx.run.figures import INK, LINE, MUTED, PALETTE, sheet

from ..calibrate import Calibration
from .ranking import Pool
from .scores import OWN, Counted, of_odds

_POINTS = 400  # of a curve: more cannot be seen


def written(counted: Sequence[Counted]) -> tuple[float, float]:
    """(recall, precision) of the masks as they are written, over the voxels of all patients."""
    both, true, marked = (sum(getattr(one, name) for one in counted) for name in ("both", "true", "marked"))
    return both / max(true, 1), both / max(marked, 1)


def precision_recall(
    found: Mapping[str, Pool], areas: Mapping[str, float], prevalence: float, masks: tuple[float, float]
) -> Any:
    """A Matplotlib figure: one curve a method with its area, the prevalence as what chance gives, and the masks
    (recall, precision) as a point."""
    with sheet(6.4, 4.6) as figure:
        axes = figure.add_subplot()
        order = sorted(found, key=lambda name: (name != OWN, -areas[name]))
        for k, name in enumerate(order):
            true, false = found[name].curve()
            some = _spread(true)
            recall, precision = true[some] / true[-1], true[some] / np.maximum(true[some] + false[some], 1)
            label = f"{name}: {areas[name]:.3f}"
            axes.plot(
                recall, precision, color=PALETTE[k % len(PALETTE)], linewidth=2.0 if name == OWN else 1.2, label=label
            )
        axes.plot(*masks, "o", color=INK, markersize=6, label="masks as they are written")
        axes.axhline(
            prevalence, color=LINE, linestyle=(0, (4, 3)), linewidth=1.0, label=f"prevalence: {prevalence:.3f}"
        )
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall (share of ill voxels that are found)",
                 ylabel="precision (share of found voxels that are ill)")  # fmt: skip
        axes.grid()
        axes.legend(loc="upper right", fontsize=9)
    return figure


def sweep(own: Pool, calibration: Calibration, thresholds: Mapping[str, float]) -> Any:
    """A Matplotlib figure: Dice of these patients and the share of healthy voxels that is marked, over the threshold.

    ``thresholds``: name -> value, drawn as vertical lines.
    """
    with sheet(6.4, 4.6) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True)
        some = _spread(np.arange(len(own.levels)))
        scores = np.array([of_odds(own.threshold(k)) for k in some])
        good = (scores > 0) & (scores < 1)
        upper.plot(scores[good], own.dice()[some][good], color=PALETTE[0], linewidth=1.8)
        upper.set(ylabel="Dice", ylim=(0, 1))
        rates = np.array(calibration.fpr)
        lower.plot(np.array(calibration.thresholds)[rates > 0], rates[rates > 0], color=PALETTE[1], linewidth=1.8)
        lower.set(xlabel="threshold of the anomaly score", ylabel="share of healthy\nvoxels marked", yscale="log")
        low = min(0.05, *(value / 4 for value in thresholds.values()))
        upper.set(xscale="logit", xlim=(low, max(0.99, *((3 + value) / 4 for value in thresholds.values()))))
        lower.xaxis.set_major_formatter(_plain)
        lower.xaxis.set_minor_formatter("")
        for k, (name, value) in enumerate(thresholds.items()):
            for axes in (upper, lower):
                axes.axvline(value, color=MUTED, linewidth=1.0, linestyle=((0, (4, 3)), (0, (1, 2)), "-.")[k % 3],
                             label=name)  # fmt: skip
        for axes in (upper, lower):
            axes.grid()
        upper.legend(loc="upper left", fontsize=9)
    return figure


def _plain(value: float, position: int) -> str:
    """A threshold in as many digits as it takes."""
    return f"{value:.4g}"


def _spread(values: np.ndarray) -> np.ndarray:
    """Indices of some of the values, evenly by value, ends included."""
    wanted = np.linspace(values[0], values[-1], _POINTS)
    return np.unique(np.searchsorted(values, wanted, side="left"))
