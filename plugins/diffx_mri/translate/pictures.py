"""Rows of axial slices: source, synthetic, truth, error, uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

_GROUND, _TEXT, _FAINT = "#0a0a0a", "#d7d7d7", "#9b9b9b"
_TILE = 1.55  # inches
_SIGNED_OFF = ("error", "uncertainty")  # shown as heat, on one scale, since the one claims to foresee the other
_MARGIN = 4  # pixels around the head


@dataclass(frozen=True)
class Row:
    """One slice. ``columns``: title -> [X, Y] in RAS order, in the order shown; ``note``: what stands beside it."""

    note: str
    columns: Mapping[str, np.ndarray]


def sheet(rows: Sequence[Row]) -> Figure:
    """A picture of the rows, in neurological convention: the patient's left on the viewer's left, the nose up.

    Each image in its own grey window, from 0 to its 99.8th percentile, but all synthetic ones in that of the truth;
    ``error`` and ``uncertainty`` of a row share one scale. Raises ValueError without rows.
    """
    if not rows:
        raise ValueError("a picture needs at least one row")
    titles = list(rows[0].columns)
    figure = Figure(figsize=(_TILE * len(titles), (_TILE + 0.16) * len(rows) + 0.45), facecolor=_GROUND)
    axes = figure.subplots(len(rows), len(titles), squeeze=False)
    for line, row in zip(axes, rows, strict=True):
        box = _around(next(iter(row.columns.values())))
        heat = max([float(np.percentile(row.columns[t][box], 99.5)) for t in _SIGNED_OFF if t in row.columns] or [1.0])
        own = {title: float(np.percentile(image[box], 99.8)) for title, image in row.columns.items()}
        common = own.get("truth", max(own.get(title, 0.0) for title in titles if title.startswith("synthetic")))
        for axis, title in zip(line, titles, strict=True):
            image = row.columns[title][box].T
            if title in _SIGNED_OFF:
                norm: dict[str, Any] = {"cmap": "inferno", "norm": PowerNorm(0.8, 0, heat or 1.0)}
            else:
                norm = {"cmap": "gray", "vmin": 0, "vmax": (own[title] if title == "source" else common) or 1.0}
            axis.imshow(image, origin="lower", interpolation="bicubic", **norm)
            axis.set_axis_off()
        line[0].set_title(row.note, color=_FAINT, fontsize=7, loc="left", pad=2)
        line[0].text(0.02, 0.98, "L", transform=line[0].transAxes, color=_FAINT, fontsize=7, va="top")
    for axis, title in zip(axes[0], titles, strict=True):
        axis.annotate(title, (0.5, 1.13), xycoords="axes fraction", ha="center", color=_TEXT, fontsize=8)
    figure.subplots_adjust(0.01, 0.01, 0.99, 1 - 0.45 / figure.get_figheight(), 0.03, 0.12)
    return figure


def _around(image: np.ndarray) -> tuple[slice, slice]:
    """The square about what is not air."""
    filled = image > 0.1 * image.max()
    if not filled.any():
        return slice(None), slice(None)
    ends = [np.flatnonzero(filled.any(1 - axis))[[0, -1]] for axis in (0, 1)]
    half = max(int(high - low) for low, high in ends) // 2 + _MARGIN
    middles = [int(low + high) // 2 for low, high in ends]
    x, y = (slice(max(0, m - half), m + half + 1) for m in middles)
    return x, y
