"""What task=translate hands over to mri_translate."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import yaml

from diffx.errors import UsageError

from ..translate.config import SliceData, SliceSampling, TranslateConfig
from .config import BrainSampling, SynthConfig

_BRAINS_ALONE = {"autoguidance": 1.0, "weak": None}  # options of sample.* and what asks for none of it


def translate_config(cfg: SynthConfig, given: Collection[str] = ()) -> TranslateConfig:
    """The same request to mri_translate.

    ``n`` and ``sample.*`` are handed on where they were `given`, or differ from the defaults for brains; else the
    defaults of mri_translate count, which are others. Raises UsageError for guidance that translation does not have.
    """
    for name, nothing in _BRAINS_ALONE.items():
        value = getattr(cfg.sample, name)
        if value not in (nothing, getattr(BrainSampling(), name)):
            raise UsageError(f"sample.{name}={value}: task=translate has no guidance by weaker weights")
    known = {field.name for field in fields(SliceSampling)}
    usual, asked = asdict(BrainSampling()), asdict(cfg.sample)
    chosen = {k: v for k, v in asked.items() if k in known and (v != usual[k] or f"sample.{k}" in given)}
    return TranslateConfig(
        plugin="mri_translate",
        task="translate",
        from_=cfg.from_,
        seed=cfg.seed,
        n=cfg.n if "n" in given or cfg.n != SynthConfig().n else TranslateConfig().n,
        device=cfg.device,
        extensions=cfg.extensions,
        source=cfg.source,
        target=cfg.target,
        data=SliceData(root=cfg.data.root),
        sample=replace(SliceSampling(), **chosen),
    )


def given(argv: Iterable[str], file: str | None) -> set[str]:
    """The options that a command line and its configuration file set, by their full names."""
    typed = {word.partition("=")[0] for word in argv if "=" in word}
    tree = yaml.safe_load(Path(file).read_text(encoding="utf-8")) if file else None
    return typed | set(_keys(tree or {}))


def _keys(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _keys(value, f"{prefix}{key}.")
