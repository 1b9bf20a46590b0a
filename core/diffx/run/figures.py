"""One style for every picture: colours that colour-blind people tell apart, type for small screens and for print."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = [
    "DIM", "DPI", "FAINT", "GREYS", "GROUND", "HEAT", "HELD_OUT", "INK", "LINE", "MUTED", "PALE", "PALETTE", "REAL",
    "SYNTHETIC", "coverage_diagram", "reliability_diagram", "sheet", "style",
]  # fmt: skip

# Okabe and Ito 2008, "Color universal design", and four more of other lightness
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9", "#6b4c9a", "#7a5c43", "#8a8f2a", "#5f6b7a")
INK, MUTED, LINE, FAINT = "#1b1d21", "#5a5f67", "#a3a7ad", "#e4e4e1"
GREYS = ("#c9ccd1", "#9aa0a8", "#6f757e", "#4b5058")
REAL, HELD_OUT, SYNTHETIC = "#9aa7b5", PALETTE[0], PALETTE[1]  # real and made things, wherever both are shown
GROUND, PALE, DIM = "#0a0a0a", "#d7d7d7", "#9b9b9b"  # of dark pictures: ground, words, marks
HEAT = "inferno"  # errors and uncertainties

DPI = 160  # of files; a page shows 96 to the inch


def style(dark: bool = False) -> dict[str, Any]:
    """Matplotlib settings; ``dark`` for scans, which are read on a dark ground."""
    words, ticks, ground = (PALE, DIM, GROUND) if dark else (INK, LINE, "white")
    return {
        "font.size": 10,
        "figure.facecolor": ground,
        "savefig.facecolor": ground,
        "axes.facecolor": ground,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": ticks,
        "axes.labelcolor": DIM if dark else MUTED,
        "axes.titlesize": 10.5,
        "axes.titlelocation": "center" if dark else "left",
        "axes.titlecolor": words,
        "axes.axisbelow": True,
        "xtick.color": ticks,
        "ytick.color": ticks,
        "xtick.labelcolor": DIM if dark else MUTED,
        "ytick.labelcolor": DIM if dark else MUTED,
        "text.color": words,
        "grid.color": ticks if dark else FAINT,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "legend.labelcolor": DIM if dark else MUTED,
        "hatch.linewidth": 0.6,
    }


@contextmanager
def sheet(width: float, height: float, dark: bool = False, layout: Any = "constrained") -> Iterator[Any]:
    """A Matplotlib figure of that many inches in the style; draw inside the ``with``. Nothing global changes."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(style(dark)):
        yield Figure(figsize=(width, height), layout=layout)


def reliability_diagram(axes: Any, event: str = "the event") -> None:
    """Make axes those of a reliability diagram: predicted against observed, and the diagonal of perfect calibration."""
    _square(axes)
    axes.set(xlabel=f"predicted probability of {event}", ylabel="observed frequency", title="Reliability diagram")


def coverage_diagram(axes: Any) -> None:
    """Make axes those of interval coverage: nominal against observed, and the diagonal of perfect calibration."""
    _square(axes)
    axes.set(xlabel="nominal level of the interval", ylabel="share of the truth inside", title="Interval coverage")


def _square(axes: Any) -> None:
    axes.plot([0, 1], [0, 1], color=LINE, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
    axes.grid()
