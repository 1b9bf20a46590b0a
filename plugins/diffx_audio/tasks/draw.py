"""`task=generate`, `inpaint`, `outpaint` and `variation`: sounds in files and on a page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
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
    face = AudioGenerator.load(cfg.from_, cfg.device, cfg.extensions)
    said = labels(cfg)
    prompt = cfg.prompt
    if cfg.score:

        def drawn(seed: int) -> Sound:
            return face.melody(cfg.score, prompt, seed, cfg.lufs, cfg.sample, **said)
    else:
        if not prompt and not said and not cfg.from_:
            prompt = DEFAULT
            run.flag(f'no prompt was given: this is "{DEFAULT}"')
        face.note(face.understand(prompt, **said), cfg.duration)  # refused before anything is drawn

        def drawn(seed: int) -> Sound:
            return face.generate(prompt, cfg.duration, 1, seed, cfg.lufs, cfg.sample, **said)

    _several(run, face, drawn)


def inpaint(run: Any) -> None:
    """``audio`` with what lies from ``start`` to ``end`` drawn anew."""
    cfg = run.cfg
    if cfg.start is None or cfg.end is None:
        raise UsageError("task=inpaint needs start= and end=, in seconds")
    face = AudioGenerator.load(cfg.from_, cfg.device, cfg.extensions)

    def drawn(seed: int) -> Sound:
        return face.inpaint(cfg.audio, cfg.start, cfg.end, cfg.prompt, seed, cfg.sample, **labels(cfg))

    _several(run, face, drawn, (cfg.start, cfg.end), edited=True)


def outpaint(run: Any) -> None:
    """``audio`` with ``before`` and ``after`` seconds drawn around it."""
    cfg = run.cfg
    face = AudioGenerator.load(cfg.from_, cfg.device, cfg.extensions)

    def drawn(seed: int) -> Sound:
        return face.outpaint(cfg.audio, cfg.before, cfg.after, cfg.prompt, seed, cfg.sample, **labels(cfg))

    own, rate = read_sound(cfg.audio)
    end = cfg.before + own.shape[1] / rate
    span = (end, end + cfg.after) if cfg.after else (0.0, cfg.before)
    _several(run, face, drawn, span, edited=True)


def variation(run: Any) -> None:
    """Sounds near ``audio``, as near as ``strength`` says."""
    cfg = run.cfg
    face = AudioGenerator.load(cfg.from_, cfg.device, cfg.extensions)

    def drawn(seed: int) -> Sound:
        return face.variation(cfg.audio, cfg.strength, cfg.prompt, seed, cfg.lufs, cfg.sample, **labels(cfg))

    _several(run, face, drawn)


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
    drawn: Callable[[int], Sound],
    span: tuple[float, float] | None = None,
    edited: bool = False,
) -> None:
    """Draw ``n`` sounds, write them with their sidecars, and report them; an edited one keeps its rate and loudness."""
    cfg = run.cfg
    sounds, seconds = [], 0.0
    began = time.perf_counter()
    if edited:
        original, rate = read_sound(cfg.audio)
        sounds.append(("as it was", Sound(original, rate)))
    for seed, sound in _progress(run, drawn):
        seconds += sound.seconds
        sounds.append((f"seed {seed}", sound))
    spent = time.perf_counter() - began
    first = sounds[-1][1].facts
    run.metric("seconds_per_audio_second", spent / max(seconds, 1e-9))
    run.metric("sounds", cfg.n)
    words = {key: first[key] for key in ("prompt", "score", "pitch", "classes") if first.get(key)}
    if words.get("classes"):
        words["understood as"] = ", ".join(words.pop("classes").values())
    report.write(run, sounds, {**words, "sounds": cfg.n, "weights": face.name}, [None, *[span] * cfg.n] if span else [])
    face.pipeline.announce(run.log, face.name)


def _progress(run: Any, drawn: Callable[[int], Sound]) -> Iterator[tuple[int, Sound]]:
    cfg = run.cfg
    for seed in run.progress(range(cfg.seed, cfg.seed + cfg.n), "drawing", unit="sound"):
        sound = drawn(seed)
        if cfg.rate:
            sound = sound.at(cfg.rate)
        path = sound.save(run.samples / f"sound-{seed:04d}.{cfg.format}")
        judge(run, path.name, sound)
        yield seed, sound


def judge(run: Any, name: str, sound: Sound) -> None:
    """Flag a sound that is silent, constant, or stands at full scale."""
    size = np.abs(sound.samples)
    if float(size.max()) < _QUIET:
        run.flag(f"{name}: the sound is silent")
    elif float(np.ptp(sound.samples)) < _QUIET:
        run.flag(f"{name}: the sound is constant")
    elif float((size >= 0.9999).mean()) > 1e-3:
        run.flag(f"{name}: more than a thousandth of the samples stand at full scale")
