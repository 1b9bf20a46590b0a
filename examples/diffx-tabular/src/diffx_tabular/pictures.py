"""Pictures of the report."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from diffx.run.figures import REAL, SYNTHETIC, sheet
from diffx_tabular.fidelity import rank_correlation
from diffx_tabular.reader import Columns
from diffx_tabular.table import Category, Table

SHOWN = 16


def marginals(table: Table, real: Columns, new: Columns) -> Any:
    """Distribution functions of the first numbers, frequencies of the first categories."""
    columns = table.columns[:SHOWN]
    rows = math.ceil(len(columns) / 4)
    with sheet(9, 2.2 * rows) as figure:
        for place, column in enumerate(columns, 1):
            axes = figure.add_subplot(rows, 4, place)
            axes.set_title(column.name)
            axes.tick_params(labelsize=8)
            for shift, colour, label, values in ((-0.2, REAL, "held out", real), (0.2, SYNTHETIC, "new", new)):
                texts = values[column.name]
                if isinstance(column, Category):
                    share = [texts.count(level) / len(texts) for level in column.levels]
                    axes.bar(np.arange(len(share)) + shift, share, 0.4, color=colour, label=label)
                    axes.set_xticks(range(len(share)), [level or "missing" for level in column.levels])
                else:
                    known = np.sort([float(v) for v in texts if v])
                    axes.step(known, np.arange(1, len(known) + 1) / max(len(known), 1), color=colour, label=label)
            if place == 1:
                axes.legend(fontsize=8)
    return figure


def correlations(table: Table, real: Columns, new: Columns) -> Any:
    """Spearman's, side by side."""
    with sheet(9, 4.4) as figure:
        names = [c.name for c in table.numbers]
        for place, (title, values) in enumerate((("held out", real), ("new", new)), 1):
            axes = figure.add_subplot(1, 2, place)
            drawn = axes.imshow(rank_correlation(table.values(values)), vmin=-1, vmax=1, cmap="RdBu_r")
            axes.set_title(title)
            axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
            axes.set_yticks(range(len(names)), names, fontsize=8)
        figure.colorbar(drawn, ax=figure.axes, shrink=0.8)
    return figure
