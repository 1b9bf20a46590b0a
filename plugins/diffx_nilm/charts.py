"""Energy, habits and honesty of the estimate in pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .appliances import Appliance
from .digest import Metered
from .pictures import FAINT, INK, LINE, MUTED, STYLE, colours, sheet, titled

_FEW = 10  # periods of which no share is told
_SPANS = ((62, "D", "day"), (430, "W-MON", "week"), (100_000, "MS", "month"))  # at most so many days


def spans(table: pd.DataFrame, metered: Mapping[str, Mapping[np.datetime64, float]]) -> tuple[pd.DataFrame, str]:
    """Days, weeks or months of :meth:`.Energies.table`, so that there are never more than about sixty; and which.

    Energies and both ends of the intervals are summed. The column ``metered`` is in kWh, NaN where a day has none.
    """
    table = table.copy()
    known = {(key, pd.Timestamp(day)): wh / 1000 for key, days in metered.items() for day, wh in days.items()}
    table["metered"] = [known.get(pair, np.nan) for pair in zip(table["appliance"], table["Date"], strict=True)]
    length = (table["Date"].max() - table["Date"].min()).days + 1
    _, rule, name = next(span for span in _SPANS if length <= span[0])
    if name == "day":
        return table, name
    by = [pd.Grouper(key="Date", freq=rule, closed="left", label="left"), "appliance"]
    sums = table.groupby(by, sort=False)[["kWh", "kWh_low", "kWh_high", "mains_kWh", "metered"]]
    out = sums.sum(min_count=1)
    out["known"] = table.groupby(by, sort=False)["known"].mean()
    return out.reset_index(), name


def energy(
    table: pd.DataFrame, appliances: Sequence[Appliance], metered: Mapping[str, Mapping[np.datetime64, float]]
) -> Any:
    """Bars of energy in time, one row an appliance, with 90 % intervals and a dot where it was metered.

    Args:
        table: of :class:`.Energies`. metered: appliance -> day -> Wh.
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    table, span = spans(table, metered)
    tint = colours(appliances)
    width = {"day": 1.0, "week": 7.0, "month": 30.0}[span]
    with sheet(11, 0.7 + 1.35 * len(appliances)) as figure:
        rows = figure.subplots(len(appliances), 1, sharex=True, squeeze=False)[:, 0]
        for axes, appliance in zip(rows, appliances, strict=True):
            own = table[table["appliance"] == appliance.key]
            middle = own["Date"] + pd.Timedelta(days=width / 2)
            axes.bar(middle, own["kWh"], width * 0.72, color=tint[appliance.key], alpha=0.75, label="estimate")
            reach = [own["kWh"] - own["kWh_low"], own["kWh_high"] - own["kWh"]]
            axes.errorbar(middle, own["kWh"], reach, fmt="none", ecolor=INK, elinewidth=0.9, capsize=2.5, capthick=0.9,
                          label="90 % interval")  # fmt: skip
            if appliance.key in metered:
                axes.plot(middle, own["metered"], "o", ms=4.2, mfc="white", mec=INK, mew=1.0, label="metered")
            for date in own["Date"][own["known"] < 0.5]:  # more is not known of it than is
                axes.axvspan(
                    date, date + pd.Timedelta(days=width), facecolor="none", edgecolor=FAINT, hatch="////", lw=0
                )
            axes.set_title(titled(appliance))
            axes.set_ylabel(f"kWh a {span}")
            axes.set_ylim(0, max(1.06 * axes.get_ylim()[1], 0.05))
            axes.grid(axis="y", color=FAINT, linewidth=0.6)
        first, last = table["Date"].min(), table["Date"].max()
        rows[-1].set_xlim(first, last + pd.Timedelta(days=width))
        if span == "day" and (last - first).days < 14:
            middle = pd.date_range(first, last) + pd.Timedelta(hours=12)
            rows[-1].set_xticks(middle, [f"{day:%a} {day.day}" for day in middle])
            rows[-1].set_xlabel(f"{last:%B %Y}" if first.month == last.month else f"{first:%B} and {last:%B %Y}")
        else:
            locator = AutoDateLocator(minticks=3, maxticks=12)
            rows[-1].xaxis.set_major_locator(locator)
            rows[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator))
        handles, labels = rows[0].get_legend_handles_labels()
        shown = dict(zip(labels, handles, strict=True))
        order = [name for name in ("estimate", "90 % interval", "metered") if name in shown]
        figure.legend([shown[name] for name in order], order, loc="outside upper left", ncols=3)
    return figure


def habits(hours: np.ndarray, appliances: Sequence[Appliance], metered: Mapping[str, np.ndarray]) -> Any:
    """Expected minutes on in each hour of the day, from shares [A, 24]; ``metered``: of the meters, each [24]."""
    tint = colours(appliances)
    columns = min(len(appliances), 4)
    deep = -(-len(appliances) // columns)
    with sheet(11, 0.7 + 2.1 * deep) as figure:
        grid = figure.subplots(deep, columns, sharex=True, squeeze=False).ravel()
        for axes, appliance, share in zip(grid, appliances, hours, strict=False):
            axes.bar(np.arange(24) + 0.5, 60 * share, 0.86, color=tint[appliance.key], alpha=0.75)
            if appliance.key in metered:
                axes.stairs(60 * metered[appliance.key], np.arange(25), color=INK, linewidth=0.9, label="metered")
            axes.set_xticks(range(0, 25, 6))
            axes.set_xlim(0, 24)
            axes.set_ylim(0, max(axes.get_ylim()[1] * 1.1, 0.1))
            axes.set_title(titled(appliance))
            axes.grid(axis="y", color=FAINT, linewidth=0.6)
        for axes in grid[len(appliances) :]:
            axes.set_visible(False)
        for axes in grid[::columns]:
            axes.set_ylabel("minutes an hour")
        figure.supxlabel("hour of the day", fontsize=STYLE["font.size"], color=MUTED)
        if metered:
            shown = next(axes for axes in grid if axes.get_legend_handles_labels()[0])
            figure.legend(*shown.get_legend_handles_labels(), loc="outside upper left")
    return figure


def honesty(metered: Sequence[Metered], figures: Sequence[Mapping[str, float]], bins: int = 8) -> Any:
    """Left, said against observed shares of being on; right, how much of the truth the bands hold.

    Args:
        metered: appliances with meters. figures: of each, with ``coverage50``, ``coverage90``, ``energy_coverage90``.
    """
    appliances = [one.appliance for one in metered]
    tint = colours(appliances)
    with sheet(11, 4.1) as figure:
        left, right = figure.subplots(1, 2)
        left.plot([0, 1], [0, 1], color=LINE, linewidth=0.9, linestyle=(0, (4, 3)))
        for one in metered:
            points = np.stack(curve(one, bins))
            said, was, count = points[:, points[2] >= _FEW]
            size = 12 + 10 * np.log10(np.maximum(count, 1))
            left.plot(said, was, color=tint[one.appliance.key], linewidth=1.2, label=titled(one.appliance))
            left.scatter(said, was, size, color=tint[one.appliance.key], linewidth=0, zorder=3)
        left.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="said: probability of being on")
        left.set(ylabel="observed: share of time on", title="Is what is called likely, likely?")
        left.legend(loc="upper left")
        names = ["power, 50 %", "power, 90 %", "day's energy, 90 %"]
        keys, levels = ["coverage50", "coverage90", "energy_coverage90"], [0.5, 0.9, 0.9]
        for place, level in enumerate(levels):
            right.plot([place - 0.42, place + 0.42], [level, level], color=INK, linewidth=1.1)
        width = 0.76 / len(appliances)
        for i, (appliance, figure_of) in enumerate(zip(appliances, figures, strict=True)):
            at = np.arange(3) - 0.38 + width * (i + 0.5)
            right.bar(at, [figure_of[key] for key in keys], width * 0.9, color=tint[appliance.key], alpha=0.75)
        right.set_xticks(range(3), names)
        right.set(ylim=(0, 1.02), ylabel="share of the truth inside", title="Do intervals hold what they promise?")
        right.tick_params(axis="x", length=0, labelcolor=MUTED)
        for axes in (left, right):
            axes.grid(axis="y", color=FAINT, linewidth=0.6)
    return figure


def curve(one: Metered, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean probability said, share observed and count of each bin of probabilities that holds any."""
    said = np.arange(len(one.said)) / (len(one.said) - 1)
    index = np.minimum((said * bins).astype(int), bins - 1)
    count, hits, sums = (np.bincount(index, w, bins) for w in (one.said, one.was, one.said * said))
    full = count > 0
    return sums[full] / count[full], hits[full] / count[full], count[full]
