"""task=translate: mri_translate does it, a plugin of its own because its weights say nothing of age, sex or a codec."""

from __future__ import annotations

from dataclasses import asdict, replace

from diffx.run import Run

from ..translate import tasks as translation
from ..translate.config import SliceData, SliceSampling, TranslateConfig
from .config import BrainSampling, SynthConfig


def translate(run: Run) -> None:
    """``target`` from ``source`` for each subject of ``data.root``, ``n`` samples each, by mri_translate."""
    asked = run.cfg
    run.cfg = translate_config(asked)
    try:
        translation.translate(run)
    finally:
        run.cfg = asked


def translate_config(cfg: SynthConfig) -> TranslateConfig:
    """The same request to mri_translate. Of ``sample.*`` what differs from the defaults for brains is handed on."""
    usual = asdict(BrainSampling())
    chosen = {name: value for name, value in asdict(cfg.sample).items() if value != usual[name]}
    return TranslateConfig(
        plugin="mri_translate",
        task="translate",
        from_=cfg.from_,
        seed=cfg.seed,
        n=cfg.n,
        device=cfg.device,
        extensions=cfg.extensions,
        source=cfg.source,
        target=cfg.target,
        data=SliceData(root=cfg.data.root),
        sample=replace(SliceSampling(), **chosen),
    )
