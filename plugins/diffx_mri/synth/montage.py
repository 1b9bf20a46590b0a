"""Slices of one scan side by side through one point: what was given, what was made, and where."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from ..pictures import sides, window
from ..volume import Volume

_GROUND, _TEXT, _FAINT = "#0a0a0a", "#d7d7d7", "#9b9b9b"
_PLANES = (("axial", 2), ("coronal", 1), ("sagittal", 0))
_TILE = 2.1  # inches


def montage(
    columns: Mapping[str, Volume],
    through: np.ndarray,
    outline: Volume | None = None,
    heat: str | None = None,
    radius: float = 85.0,
) -> Figure:
    """Axial, coronal and sagittal slices, one column a volume (RAS; grids may differ), through the world point
    `through` (mm), `radius` mm to each side of it. Neurological convention: the patient's left on the viewer's left.

    All in the grey window of the first; the column named `heat` in its own colours. `outline`: a mask drawn as a line.
    """
    figure = Figure(figsize=(_TILE * len(columns), _TILE * 3 + 0.3), facecolor=_GROUND)
    axes = figure.subplots(3, len(columns), squeeze=False)
    white = window(next(iter(columns.values())).data)
    for row, (plane, axis) in enumerate(_PLANES):
        across, up = [i for i in range(3) if i != axis]
        for line, (title, volume) in zip(axes[row], columns.items(), strict=True):
            cut, extent = _slice(volume, through, axis)
            look = (
                {"cmap": "inferno", "vmax": window(volume.data)} if title == heat else {"cmap": "gray", "vmax": white}
            )
            line.imshow(cut.T, origin="lower", extent=extent, vmin=0, interpolation="nearest", **look)
            if outline is not None:
                mask, where = _slice(outline, through, axis)
                if 0 < mask.mean() < 1:
                    line.contour(mask.T, [0.5], extent=where, origin="lower", colors="#ffb000", linewidths=0.8)
            line.set_xlim(through[across] - radius, through[across] + radius)
            line.set_ylim(through[up] - radius, through[up] + radius)
            line.set_facecolor(_GROUND)
            line.set_xticks([])
            line.set_yticks([])
            for spine in line.spines.values():
                spine.set_visible(False)
            for mark, x in zip(sides(plane), (0.02, 0.94), strict=True):  # type: ignore[arg-type]
                line.text(x, 0.92, mark, color=_FAINT, fontsize=7, transform=line.transAxes)
            if row == 0:
                line.set_title(title, color=_TEXT, fontsize=9)
    figure.subplots_adjust(left=0.005, right=0.995, bottom=0.005, top=0.95, wspace=0.02, hspace=0.02)
    return figure


def _slice(volume: Volume, through: np.ndarray, axis: int) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """The slice nearest to a world point, and where its edges lie in the world; axes taken to be the nearest."""
    index = np.rint((np.linalg.inv(volume.affine) @ [*through, 1])[:3]).astype(int)
    index = np.clip(index, 0, np.array(volume.data.shape) - 1)
    across, up = [i for i in range(3) if i != axis]
    corner = index.astype(float)
    edges = []
    for i in (across, up):
        corner[i] = 0
        low = volume.world(corner)[i] - volume.spacing[i] / 2
        edges += [low, low + volume.spacing[i] * volume.data.shape[i]]
        corner[i] = index[i]
    return np.take(volume.data, index[axis], axis), (edges[0], edges[1], edges[2], edges[3])
