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


def players(sounds: Sequence[tuple[str, Sound]]) -> tuple[str, int]:
    """(a document with a player for each titled sound, its height in pixels); it needs no network."""
    rows = "".join(
        f"<tr><td>{html.escape(title)}</td><td>{_first(sound).player()}</td><td>{sound.seconds:.2f} s</td></tr>"
        for title, sound in sounds
    )
    style = "body{margin:0;font:14px sans-serif}td{padding:4px 12px 4px 0;vertical-align:middle}audio{height:36px}"
    return f"<!doctype html><meta charset=utf-8><style>{style}</style><table>{rows}</table>", 20 + 46 * len(sounds)


def write(run: Any, sounds: Sequence[tuple[str, Sound]], facts: Mapping[str, Any], shaded: Sequence[Any] = ()) -> None:
    """Players, waveforms and log-mel spectrograms of titled sounds; ``shaded``: the seconds that were drawn."""
    shown = list(sounds[:_SHOWN])
    run.report.facts(facts)
    document, height = players(shown)
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
