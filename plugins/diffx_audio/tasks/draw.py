"""`task=generate`, `inpaint`, `outpaint` and `variation`: sounds in files and on a page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from diffx.errors import UsageError

from .. import report
from ..face import AudioGenerator
from ..files import read_sound
from ..sound import Sound

DEFAULT = "oboe playing A4, piano, half a second"  # of the shipped weights of notes
_QUIET = 1e-4  # amplitude below which a sound counts as silent


def generate(run: Any) -> None:
    """Sounds for ``prompt`` and ``label``, or the melody of ``score``."""
    cfg = run.cfg
    face, said, prompt = _face(cfg), labels(cfg), cfg.prompt
    drawn: Iterator[Sound]
    if cfg.score:
        drawn = (face.melody(cfg.score, prompt, seed, cfg.lufs, cfg.sample, **said) for seed in _seeds(cfg))
    else:
        if not prompt and not said and not cfg.from_:
            prompt = DEFAULT
            run.flag(f'no prompt was given: this is "{DEFAULT}"')
        drawn = face.stream(prompt, cfg.duration, cfg.n, cfg.seed, cfg.lufs, cfg.sample, **said)
    _several(run, face, drawn)


def inpaint(run: Any) -> None:
    """``audio`` with what lies from ``start`` to ``end`` drawn anew."""
    cfg = run.cfg
    if cfg.start is None or cfg.end is None:
        raise UsageError("task=inpaint needs start= and end=, in seconds")
    face, said = _face(cfg), labels(cfg)
    drawn = (face.inpaint(cfg.audio, cfg.start, cfg.end, cfg.prompt, seed, cfg.sample, **said) for seed in _seeds(cfg))
    _several(run, face, drawn, Sound(*read_sound(cfg.audio)), (cfg.start, cfg.end))


def outpaint(run: Any) -> None:
    """``audio`` with ``before`` and ``after`` seconds drawn around it."""
    cfg = run.cfg
    face, said = _face(cfg), labels(cfg)
    drawn = (
        face.outpaint(cfg.audio, cfg.before, cfg.after, cfg.prompt, seed, cfg.sample, **said) for seed in _seeds(cfg)
    )
    original = Sound(*read_sound(cfg.audio))
    end = cfg.before + original.seconds
    _several(run, face, drawn, original, (end, end + cfg.after) if cfg.after else (0.0, cfg.before))


def variation(run: Any) -> None:
    """Sounds near ``audio``, as near as ``strength`` says."""
    cfg = run.cfg
    face, said = _face(cfg), labels(cfg)
    drawn = (
        face.variation(cfg.audio, cfg.strength, cfg.prompt, seed, cfg.lufs, cfg.sample, **said) for seed in _seeds(cfg)
    )
    _several(run, face, drawn)


def _face(cfg: Any) -> AudioGenerator:
    return AudioGenerator.load(cfg.from_, cfg.device, cfg.extensions)


def _seeds(cfg: Any) -> range:
    return range(cfg.seed, cfg.seed + cfg.n)


def labels(cfg: Any) -> dict[str, str]:
    """``label=[field=class, ...]`` as a mapping; a class without a field is one of the field ``label``."""
    said = {}
    for entry in cfg.label:
        name, equals, label = entry.partition("=")
        said.update({name: label} if equals else {"label": name})
    return said


def _several(
    run: Any,
    face: AudioGenerator,
    drawn: Iterator[Sound],
    original: Sound | None = None,
    span: tuple[float, float] | None = None,
) -> None:
    """Write ``n`` sounds with their sidecars as they are drawn, and report them.

    Args:
        run: that asks for them.
        face: that draws them.
        drawn: the sounds, in the order of their seeds.
        original: what was edited, to be shown before them.
        span: seconds in which they were drawn; None: all of them.
    """
    cfg = run.cfg
    sounds = [] if original is None else [("as it was", original)]
    shaded = [None] * len(sounds) + [span] * cfg.n
    seconds, began = 0.0, time.perf_counter()
    for seed, sound in zip(run.progress(_seeds(cfg), "drawing", unit="sound"), drawn, strict=True):
        if cfg.rate:
            sound = sound.at(cfg.rate)
        path = sound.save(run.samples / f"sound-{seed:04d}.{cfg.format}")
        judge(run, path.name, sound)
        seconds += sound.seconds
        sounds.append((f"seed {seed}", sound))
    spent = time.perf_counter() - began
    first = sounds[-1][1].facts
    run.metric("seconds_per_audio_second", spent / max(seconds, 1e-9))
    run.metric("sounds", cfg.n)
    words = {key: first[key] for key in ("prompt", "score", "pitch", "classes") if first.get(key)}
    if words.get("classes"):
        words["understood as"] = ", ".join(words.pop("classes").values())
    report.write(run, sounds, {**words, "sounds": cfg.n, "weights": face.name}, shaded)
    face.pipeline.announce(run.log, face.name)


def judge(run: Any, name: str, sound: Sound) -> None:
    """Flag a sound that is silent, constant, or stands at full scale."""
    size = np.abs(sound.samples)
    if float(size.max()) < _QUIET:
        run.flag(f"{name}: the sound is silent")
    elif float(np.ptp(sound.samples)) < _QUIET:
        run.flag(f"{name}: the sound is constant")
    elif float((size >= 0.9999).mean()) > 1e-3:
        run.flag(f"{name}: more than a thousandth of the samples stand at full scale")
