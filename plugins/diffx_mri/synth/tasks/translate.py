"""task=translate: mri_translate does it, a plugin of its own because its weights say nothing of age, sex or a codec."""

from __future__ import annotations

from diffx.run import Run

from ...translate.tasks import translate as translation
from ..handover import given, translate_config


def translate(run: Run) -> None:
    """``target`` from ``source`` for each subject of ``data.root``, ``n`` samples each, by mri_translate."""
    asked = run.cfg
    run.cfg = translate_config(asked, given(run.argv, asked.config))
    try:
        translation.translate(run)
    finally:
        run.cfg = asked
