"""Energy and habits in pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from diffx.run.figures import FAINT, INK, MUTED, sheet

from .appliances import Appliance
from .pictures import WIDE, colours, titled
from .result import start_of

_SPANS = ((62, "day"), (430, "week"), (100_000, "month"))  # at most so many days


def span_of(table: pd.DataFrame) -> str:
    """Day, week or month, so that a time never has more than about sixty of them; ``table``: by day."""
    length = (table["Date"].max() - table["Date"].min()).days + 1
    return next(name for most, name in _SPANS if length <= most)


def metered_by(metered: Mapping[np.datetime64, float], span: str) -> dict[pd.Timestamp, float]:
    """First day of each day, week or month -> kWh, of Wh by day."""
    found: dict[pd.Timestamp, float] = {}
    for day, wh in metered.items():
        first = pd.Timestamp(start_of(day, span))
        found[first] = found.get(first, 0.0) + wh / 1000
    return found


def energy(
    table: pd.DataFrame,
    appliances: Sequence[Appliance],
    metered: Mapping[str, Mapping[np.datetime64, float]],
    span: str = "day",
) -> Any:
    """Bars of energy in time, one row an appliance, with 90 % intervals and a dot where it was metered.

    Args:
        table: of :meth:`.Energies.table` by ``span``.
        appliances: in the order of the rows.
        metered: appliance -> day -> Wh.
        span: "day", "week" or "month".
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    tint = colours(appliances)
    width = {"day": 1.0, "week": 7.0, "month": 30.0}[span]
    with sheet(WIDE, 0.7 + 1.35 * len(appliances)) as figure:
        rows = figure.subplots(len(appliances), 1, sharex=True, squeeze=False)[:, 0]
        for axes, appliance in zip(rows, appliances, strict=True):
            own = table[table["appliance"] == appliance.key]
            middle = own["Date"] + pd.Timedelta(days=width / 2)
            axes.bar(middle, own["kWh"], width * 0.72, color=tint[appliance.key], alpha=0.75, label="estimate")
            reach = [own["kWh"] - own["kWh_low"], own["kWh_high"] - own["kWh"]]
            axes.errorbar(middle, own["kWh"], reach, fmt="none", ecolor=INK, elinewidth=0.9, capsize=2.5, capthick=0.9,
                          label="90 % interval")  # fmt: skip
            if appliance.key in metered:
                known = metered_by(metered[appliance.key], span)
                axes.plot(
                    middle,
                    [known.get(date, np.nan) for date in own["Date"]],
                    "o",
                    ms=4.2,
                    mfc="white",
                    mec=INK,
                    mew=1.0,
                    label="metered",
                )
            for date in own["Date"][own["known"] < 0.5]:  # less than half of it is known
                axes.axvspan(
                    date, date + pd.Timedelta(days=width), facecolor="none", edgecolor=FAINT, hatch="////", lw=0
                )
            axes.set_title(titled(appliance))
            axes.set_ylabel(f"kWh per {span}")
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
    with sheet(WIDE, 0.7 + 2.1 * deep) as figure:
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
            axes.set_ylabel("minutes per hour")
        figure.supxlabel("hour of the day", fontsize=10, color=MUTED)
        if metered:
            shown = next(axes for axes in grid if axes.get_legend_handles_labels()[0])
            figure.legend(*shown.get_legend_handles_labels(), loc="outside upper left")
    return figure
