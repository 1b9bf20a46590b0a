"""The page of an evaluation of sounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..model import Note
from ..pitch import name_of
from ..report import players
from ..sound import Sound
from . import pictures
from .choice import Real
from .drawing import Drawn
from .embedding import levelled
from .figures import Classified

__all__ = ["words", "write"]

_SHOWN = 8
_LENGTHS = (
    "From the first to the last 10 ms within 50 dB of the loudest, before the sound is cut at its length; it is drawn "
    "for 60 ms more than was asked, so that it can be too long by that at most."
)
_ROWS = "Rows: what was asked; columns: what a linear probe, trained on real sounds alone, hears; numbers: sounds."


def words(note: Note) -> str:
    """What was asked, as in "oboe, F#4, forte"."""
    pitch = [] if note.midi is None else [name_of(note.midi)]
    return ", ".join([*note.classes.values(), *pitch]) or "a sound"


def write(
    run: Any, rate: int, real: Sequence[Real], drawn: Sequence[Drawn], unheard: Sequence[Drawn],
    classified: Mapping[str, Classified],
) -> None:  # fmt: skip
    """All sections: what the probe hears, real beside drawn, the longest errors.

    Args:
        run: whose report it is.
        rate: of the sounds.
        real: held-out sounds.
        drawn: sounds asked to be as they, in their order.
        unheard: further ones, of pitch classes that training lacks.
        classified: by field.
    """
    report = run.report
    pairs = [(words(one.note), r.wave, one.wave) for r, one in zip(real, drawn, strict=True)][:_SHOWN]
    caption = "The drawn sound was asked to have the classes, the pitch and the length of the real one."
    if pairs:
        played = [(told, [Sound(levelled(wave)[None], rate) for wave in waves]) for told, *waves in pairs]
        document, height = players(played, ("asked", "real", "drawn"))
        report.embed("Real and drawn, to listen to", document, height, f"{caption} At one loudness.")
        report.picture(
            "Real and drawn", pictures.spectrograms(pairs, rate), f"{caption} Mel spectrograms on one scale."
        )
    for field, found in classified.items():
        title = f"What the probe hears: {field}"
        report.picture(title, pictures.confusion(found.asked, found.heard), _ROWS)
    off = [one.sounding - one.note.seconds for one in drawn]
    rows = [
        {
            "asked": words(drawn[k].note),
            "s asked": round(drawn[k].note.seconds, 3),
            "s sounding": round(drawn[k].sounding, 3),
            "error (ms)": round(1000 * off[k]),
        }
        for k in np.argsort(-np.abs(off))[:_SHOWN]
    ]
    report.table("The worst lengths", rows, _LENGTHS)
    if unheard:
        rows = [{"asked": words(one.note), "s": round(one.note.seconds, 3)} for one in unheard[:_SHOWN]]
        report.table("Notes of pitch classes that training lacks", rows)
