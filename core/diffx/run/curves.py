"""The curves of a training run, drawn from metrics.jsonl as SVG that takes its colours from the page."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from diffx.run.figures import PALETTE, style

FAINT, INK = "#010203", "#010204"  # stand-ins that become colours of the page


def series(records: Sequence[dict[str, Any]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """name -> (steps, values), sorted by step, of every number in the records but `step`.

    Where a step was recorded twice (a run resumed from an earlier checkpoint) the later record counts.
    Null, written for what was not finite, leaves a gap.
    """
    found: dict[str, dict[float, float]] = {}
    for record in records:
        step = record.get("step")
        if isinstance(step, int | float):
            for name, value in record.items():
                if name != "step" and isinstance(value, int | float) and not isinstance(value, bool):
                    found.setdefault(name, {})[step] = float(value)
    return {name: (np.array(sorted(at)), np.array([at[step] for step in sorted(at)])) for name, at in found.items()}


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Centred running mean over `window` points (an odd number counts; an even one means the next).

    At the beginning, where a loss falls fast, the window shrinks on both sides alike, so that the first point stays
    where it is; at the end, which is flat, only what is missing on the right is left out.
    """
    total = np.concatenate([[0.0], np.cumsum(values)])
    i = np.arange(len(values))
    low = i - np.minimum(window // 2, i)
    high = np.minimum(2 * i - low, len(values) - 1)
    return (total[high + 1] - total[low]) / (high + 1 - low)


def loss_curve(records: Sequence[dict[str, Any]]) -> str:
    """All series that have "loss" in their name, on one pair of axes; '' when there are fewer than two points."""
    chosen = {name: xy for name, xy in series(records).items() if "loss" in name and len(xy[0]) > 1}
    return _draw(chosen, (8.6, 3.1)) if chosen else ""


def other_curves(records: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """(name, SVG) of every other series that changes at all."""
    others = {name: xy for name, xy in series(records).items() if "loss" not in name and len(xy[0]) > 1}
    return [(name, _draw({name: xy}, (4.1, 1.9))) for name, xy in others.items() if np.ptp(xy[1]) > 0]


def _draw(chosen: dict[str, tuple[np.ndarray, np.ndarray]], inches: tuple[float, float]) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    own = {
        "svg.fonttype": "none",
        "svg.hashsalt": "diffx",
        "font.size": 9,
        **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color", "grid.color"), FAINT),
        **dict.fromkeys(
            ("xtick.labelcolor", "ytick.labelcolor", "axes.labelcolor", "text.color", "legend.labelcolor"), INK
        ),
    }
    with rc_context(style() | own):
        sheet = Figure(figsize=inches, layout="constrained")
        sheet.patch.set_alpha(0)
        axes = sheet.add_subplot()
        axes.patch.set_alpha(0)
        for (name, (steps, values)), ink in zip(chosen.items(), PALETTE * len(chosen), strict=False):
            window = max(1, len(values) // 25)
            if window > 2:
                axes.plot(*_thin(steps, values), color=ink, alpha=0.22, linewidth=0.8)
                axes.plot(*_thin(steps, smooth(values, window)), color=ink, linewidth=1.6, label=name)
            else:
                axes.plot(steps, values, color=ink, linewidth=1.6, marker="o", markersize=2.5, label=name)
        every = np.concatenate([values for _, values in chosen.values()])
        if every.min() > 0 and every.max() / every.min() > 8:
            axes.set_yscale("log")
        axes.margins(x=0.01)
        axes.set_xlabel("step")
        axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.6)
        if len(chosen) > 1:
            axes.legend(loc="upper right")
        buffer = io.StringIO()
        sheet.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    return _for_page(buffer.getvalue())


def _thin(steps: np.ndarray, values: np.ndarray, most: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Every k-th point, so that a long training does not make a heavy page."""
    stride = max(1, math.ceil(len(steps) / most))
    return steps[::stride], values[::stride]


def _for_page(svg: str) -> str:
    """Matplotlib's SVG made fit to stand inside HTML: no prologue, no outside names, the page's font and colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r"font(-family)?: ([\d.]+px) [^;\"]*", r"font-size: \2; font-family: inherit", svg)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1 role="img"', svg, count=1)
    return svg.replace(FAINT, "var(--line-strong)").replace(INK, "var(--muted)")
