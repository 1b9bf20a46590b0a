"""Days of a household in pictures: what it drew, and what is believed of the parts.

What is estimated stands above the line; what was metered, if anything was, hangs below it on the same scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from diffx.run.figures import FAINT, INK, LINE, MUTED, PALETTE, sheet

from .activations import segments
from .appliances import Appliance
from .evaluate.days import telling
from .household import Household
from .result import Piece

MAINS, MAINS_EDGE = "#e3e5e8", "#b4b9c0"
WIDE = 9.0  # inches, of most pictures
_KNOWN = ("dishwasher", "kettle", "washing_machine", "microwave")  # these have the first colours, always


def colours(appliances: Sequence[Appliance]) -> dict[str, str]:
    """Key -> colour: always the same for the usual ones, and no two alike up to ten."""
    own = dict(zip(_KNOWN, PALETTE, strict=False))
    more = PALETTE[len(own) :]
    others = [a.key for a in appliances if a.key not in own]
    return {a.key: own.get(a.key) or more[others.index(a.key) % len(more)] for a in appliances}


def spoken(appliance: Appliance) -> str:
    """Its name as people write it: "washing machine"."""
    return appliance.key.replace("_", " ")


def titled(appliance: Appliance) -> str:
    """The same at the beginning of a line."""
    return spoken(appliance)[:1].upper() + spoken(appliance)[1:]


def days(pieces: Sequence[Piece]) -> Any:
    """One row a day: mains in grey, the median parts stacked in front, darkened from 5 to 95 % of their sum."""
    appliances = pieces[0].appliances
    keys = [a.key for a in appliances]
    metered = [a for a in appliances if all(a.key in piece.household.parts for piece in pieces)]
    with sheet(WIDE, 0.75 + (2.5 if metered else 1.85) * len(pieces)) as figure:
        rows = figure.subplots(len(pieces), 1, sharey=True, squeeze=False)[:, 0]
        for axes, piece in zip(rows, pieces, strict=True):
            house = piece.household
            _mains(axes, house)
            _stack(axes, house, dict(zip(keys, piece.median, strict=True)), appliances)
            low, high = np.quantile(piece.members.sum(1), [0.05, 0.95], axis=0)
            _fill(axes, house, low, high, facecolor=INK, alpha=0.3, linewidth=0, label="5–95 % of their sum")
            _stack(axes, house, house.parts, metered, sign=-1)
            _frame(axes, house, f"{house.start:%A} {house.start.day} {house.start:%B %Y}", bool(metered))
        rows[-1].set_xlabel(_clock(pieces[0].household))
        figure.legend(*_legend(rows), loc="outside upper left", ncols=4)
    return figure


def closeup(piece: Piece) -> Any:
    """A stretch appliance by appliance: median, 50 and 90 % band, and the metered power below."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    tint = colours(piece.appliances)
    house = piece.household
    metered = any(a.key in house.parts for a in piece.appliances)
    with sheet(WIDE, 0.9 + (1.5 if metered else 1.3) * (1 + len(piece.appliances))) as figure:
        rows = figure.subplots(1 + len(piece.appliances), 1, sharex=True)
        _mains(rows[0], house)
        _frame(rows[0], house, "Household", False)
        for a, (axes, appliance) in enumerate(zip(rows[1:], piece.appliances, strict=True)):
            colour = tint[appliance.key]
            for level, alpha in ((0.9, 0.22), (0.5, 0.4)):
                low, high = piece.bounds[level]
                _fill(axes, house, low[a], high[a], facecolor=colour, alpha=alpha, linewidth=0)
            axes.plot(*_corners(house, piece.median[a] / 1000), color=colour, linewidth=1.3)
            truth = house.parts.get(appliance.key)
            if truth is not None:
                _fill(axes, house, -truth, 0 * truth, facecolor=MUTED, linewidth=0)
            _frame(axes, house, titled(appliance), truth is not None)
            axes.set_ylim(top=max(axes.get_ylim()[1], 0.1))
        rows[-1].set_xlabel(_clock(house))
        legend = [
            Line2D([], [], color=INK, linewidth=1.3, label="median"),
            Patch(facecolor=INK, alpha=0.55, label="50 % band"),
            Patch(facecolor=INK, alpha=0.22, label="90 % band"),
        ]
        figure.legend(handles=legend, loc="outside upper left", ncols=3)
    return figure


def parts(houses: Sequence[Household], appliances: Sequence[Appliance]) -> Any:
    """One row a day: mains in grey, and its parts stacked in front."""
    with sheet(WIDE, 0.75 + 1.85 * len(houses)) as figure:
        rows = figure.subplots(len(houses), 1, sharey=True, squeeze=False)[:, 0]
        for axes, house in zip(rows, houses, strict=True):
            _mains(axes, house)
            _stack(axes, house, house.parts, appliances)
            _frame(axes, house, f"{house.start:%A} {house.start.day} {house.start:%B %Y}", False)
        rows[-1].set_xlabel(_clock(houses[0]))
        figure.legend(*_legend(rows), loc="outside upper left", ncols=4)
    return figure


def busiest(day: Piece, hours: float = 6.0) -> Piece:
    """The hours of a day in which most appliances use energy."""
    length = round(hours * 3600 / day.household.period)
    starts = range(0, max(len(day.household) - length, 0) + 1, max(length // 12, 1))
    return max((day.cut(first, first + length) for first in starts), key=telling)


def _mains(axes: Any, house: Household) -> None:
    """What the household drew, and dots where that is not known."""
    grey = {"facecolor": MAINS, "edgecolor": MAINS_EDGE, "linewidth": 0.4, "label": "household"}
    _fill(axes, house, 0 * house.mains, house.mains, **grey)
    dots = {"facecolor": "none", "edgecolor": MAINS_EDGE, "hatch": "....", "linewidth": 0, "label": "not known"}
    for first, stop in segments(np.isnan(house.mains)) * house.period / 3600:
        axes.axvspan(first, stop, **dots)


def _stack(
    axes: Any, house: Household, power: Mapping[str, np.ndarray], appliances: Sequence[Appliance], sign: int = 1
) -> None:
    """Powers on one another, upwards or downwards."""
    tint = colours(appliances)
    base = np.zeros(len(house))
    for appliance in appliances:
        own = np.nan_to_num(power[appliance.key])
        name = {"color": tint[appliance.key], "label": spoken(appliance)}
        # the line makes half a minute visible; where there is nothing it would be a frame of what lies below
        _fill(axes, house, base, base + sign * own, where=np.repeat(own > 1, 2), linewidth=0.4, **name)
        base = base + sign * own


def _fill(axes: Any, house: Household, low: np.ndarray, high: np.ndarray, **how: Any) -> None:
    """Between two powers, W."""
    hours, bottom = _corners(house, low / 1000)
    axes.fill_between(hours, bottom, _corners(house, high / 1000)[1], **how)


def _corners(house: Household, power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hours since the first period, and the power, as the corners of steps."""
    edges = np.arange(len(power) + 1) * house.period / 3600
    return np.repeat(edges, 2)[1:-1], np.repeat(power, 2)


def _frame(axes: Any, house: Household, title: str, metered: bool) -> None:
    """kW over local hours; where the clock is changed, a day has 23 or 25 of them."""
    hour, hours = house.index.hour.to_numpy(), house.period / 3600
    every = 3 if len(house) * hours > 12 else 1
    at = [i for i in np.flatnonzero(np.diff(hour, prepend=hour[0] - (house.start.minute == 0))) if hour[i] % every == 0]
    end = len(house) * hours
    ends = [(end, "24:00")] if hour[-1] == 23 else []
    ticks = [(i * hours, f"{hour[i]:02d}:00") for i in at] + ends
    axes.set_xticks([tick for tick, _ in ticks], [name for _, name in ticks])
    axes.set_xlim(0, end)
    axes.set_title(title)
    axes.set_ylabel("kW")
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.yaxis.set_major_formatter(lambda value, place: f"{abs(value):g}")
    if metered:
        axes.axhline(0, color=LINE, linewidth=0.8)
        bottom, top = axes.get_ylim()
        axes.set_ylim(bottom=min(bottom, -top / 2))  # room for the words, where nothing hangs
        for text, side in (("estimate", "bottom"), ("metered", "top")):
            axes.annotate(text, (1, 0), (4, 3 if side == "bottom" else -3), ("axes fraction", "data"), "offset points",
                          color=MUTED, fontsize=8, rotation=270, va=side)  # fmt: skip
    else:
        axes.set_ylim(bottom=0)


def _clock(house: Household) -> str:
    return "time of day" + (f", {house.start.tz}" if house.start.tz is not None else "")


def _legend(rows: Sequence[Any]) -> tuple[list[Any], list[str]]:
    """Handles and labels of all rows, each once."""
    found: dict[str, Any] = {}
    for axes in rows:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)
