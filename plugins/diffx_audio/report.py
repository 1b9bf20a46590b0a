"""The page on sounds that were drawn: players, pictures, and what was asked."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from .pictures import sheet
from .sound import Sound

__all__ = ["players", "write"]

_SHOWN = 12  # sounds that the page holds
_LONGEST = 30.0  # s of a sound that is played on the page
_PAGE = (
    "<!doctype html><meta charset=utf-8><style>body{{margin:0;font:14px system-ui,sans-serif}}"
    "td,th{{padding:4px 12px 4px 0;text-align:left;white-space:nowrap}}"
    "audio{{height:36px;width:260px;vertical-align:middle}}</style><table>{rows}</table>"
)


def players(rows: Sequence[tuple[str, Sequence[Sound]]], heads: Sequence[str] = ()) -> tuple[str, int]:
    """(a document with players, its height in pixels); it needs no network.

    Args:
        rows: a title and its sounds, side by side.
        heads: of the columns; none for no line of heads.
    """
    lines = ["<tr>" + "".join(f"<th>{html.escape(head)}</th>" for head in heads) + "</tr>"] if heads else []
    for title, sounds in rows:
        cells = "".join(f"<td>{_first(sound).player()} {sound.seconds:.2f} s</td>" for sound in sounds)
        lines.append(f"<tr><td>{html.escape(title)}</td>{cells}</tr>")
    return _PAGE.format(rows="".join(lines)), 20 + 46 * len(lines)


def write(run: Any, sounds: Sequence[tuple[str, Sound]], facts: Mapping[str, Any], shaded: Sequence[Any] = ()) -> None:
    """Players, waveforms and log-mel spectrograms of titled sounds; ``shaded``: the seconds that were drawn."""
    shown = list(sounds[:_SHOWN])
    run.report.facts(facts)
    document, height = players([(title, [sound]) for title, sound in shown])
    note = f"The first {len(shown)} of {len(sounds)}." if len(sounds) > len(shown) else ""
    run.report.embed("Listen", document, height, note)
    figure = sheet([(title, sound.samples.mean(0), sound.rate) for title, sound in shown], list(shaded[:_SHOWN]))
    caption = "Waveform, and log-mel spectrogram from 30 Hz to half the rate, 70 dB deep; one scale for all."
    if any(shaded):
        caption += " Between the lines: what was drawn."
    run.report.picture("Sounds", figure, caption)


def _first(sound: Sound) -> Sound:
    """No more of a sound than a page should hold."""
    most = round(_LONGEST * sound.rate)
    return sound if sound.samples.shape[1] <= most else Sound(sound.samples[:, :most], sound.rate, sound.facts)
