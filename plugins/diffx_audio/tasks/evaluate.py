"""`task=evaluate`: figures of drawn sounds beside those of real ones."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from diffx.data import is_held_out
from diffx.errors import DataError, ExtraError
from diffx.io.home import expanded
from diffx.metrics import audit
from diffx.noise import derive

from ..evaluate import figures, report, seams
from ..evaluate.choice import Real, asked, lacking, pitch_class, read, spread, unheard
from ..evaluate.drawing import Drawn, draw, through_codec
from ..evaluate.embedding import Embedding, MelQuarters, embedding_of, thumbnail
from ..evaluate.figures import Classified, Lengths
from ..evaluate.probe import Probe
from ..evaluate.tracker import Tracker, right, trackers
from ..face import AudioGenerator
from ..manifest import Clip, read_manifest
from ..model import Note

_GAPS = 20  # real sounds that a gap is filled in, about


def evaluate(run: Any) -> None:
    """Draw a sound for each of ``evaluate.n`` held-out sounds of ``data.root``, with its classes, pitch and length.

    ``metrics.json``: ``class_accuracy`` of the first field of classes and ``<field>_accuracy`` of the others, ``fad``,
    ``fad_floor``, ``codec_fad``, ``fad_embedding``, ``pitch_within_50c``, ``pitch_within_50c_unheard``,
    ``duration_mae_ms``, ``seam_db``, ``minute_seam_db``, ``silent_share``, ``clipped_share``, ``diversity``,
    ``memorisation``, ``seconds_per_audio_second`` and ``n``; those ending in ``_real`` are of the held-out sounds
    themselves. Who is held out is what the manifest says, else what the training of the weights held out.
    """
    cfg = run.cfg
    face = AudioGenerator.load(cfg.from_, cfg.device, cfg.extensions)
    embedding, heard_by = _tools(run)
    trained = face.pipeline.config
    clips = read_manifest(
        expanded(cfg.data.root or ""), cfg.data.fields or trained.data.fields, trained.data.holdout, trained.seed
    )
    fields = [name for name in face.classes if any(name in clip.classes for clip in clips)]
    first = fields[0] if fields else None
    real, training = _recorded(run, face, clips, first)
    notes = [asked(face, one) for one in real]
    absent = lacking(clips) if face.model.codec.pitched else []
    known = {pitch_class(note.midi) for note in notes if note.midi is not None}
    compass = {k: face.compass(note.classes) for k, note in enumerate(notes)}
    further = unheard(notes, [name for name in absent if name not in known] or absent, compass, cfg.evaluate.unheard)
    drawn = _drawn(run, face, [*notes, *further])
    drawn, extra = drawn[: len(notes)], drawn[len(notes) :]
    coded = [through_codec(face, one.wave, note.midi, k) for k, (one, note) in enumerate(zip(real, notes, strict=True))]

    waves = {
        "drawn": [one.wave for one in drawn], "real": [one.wave for one in real], "coded": [wave for wave, _ in coded],
        "training": [one.wave for one in training], "noise": [_noise(len(one.wave), k) for k, one in enumerate(real)],
    }  # fmt: skip
    vectors = {name: embedding(sounds, face.rate) for name, sounds in waves.items()}
    classified = {name: found for name in fields if (found := _classified(name, notes, real, training, vectors))}
    for name, found in classified.items():
        goal = figures.Goal(low=figures.ACCURATE) if name == first else None
        figure = "class_accuracy" if name == first else f"{name}_accuracy"
        _all(run, figures.accuracies(figure, name, found, goal))
    beside = (vectors["real"], vectors["training"], vectors["coded"], vectors["noise"])
    _all(run, figures.frechet(vectors["drawn"], *beside, seed=cfg.seed))
    run.metric("fad_embedding", embedding.name)
    if face.model.codec.pitched:
        _pitches(run, face, heard_by, real, drawn, extra, waves["coded"])
    took = Lengths(
        *(np.array(x) for x in ([one.note.seconds for one in drawn], [one.sounding for one in drawn],
                                [len(one.wave) / face.rate for one in real], [seconds for _, seconds in coded]))
    )  # fmt: skip
    run.metric("duration_mae_ms", figures.lengths(took))
    _all(run, figures.shares([*drawn, *extra]))
    some = range(0, len(real), max(len(real) // _GAPS, 1))
    edited = [real[k].wave for k in some], [notes[k] for k in some]
    run.metric("seam_db", seams.gaps(face.model, *edited, cfg.seed, cfg.sample))
    if face.model.codec.pitched:
        run.metric("minute_seam_db", seams.long_note(face.model, notes[0], cfg.seed, cfg.sample))
    of = [note.classes.get(first or "", "") for note in notes]
    run.metric("diversity", figures.diversity(vectors["drawn"], vectors["real"], of, of))
    small = {name: np.stack([thumbnail(w, face.rate) for w in waves[name]]) for name in ("drawn", "training", "real")}
    found_audit = audit(small["drawn"], small["training"], small["real"])
    run.metric("memorisation", figures.memorised(found_audit))
    if found_audit.alarm:
        run.flag(f"sounds lie too near to training sounds: {found_audit}")
    run.metric("n", len(drawn))
    report.write(run, face.rate, real, drawn, extra, classified)


def _tools(run: Any) -> tuple[Embedding, dict[str, Tracker]]:
    """What sounds are compared by, and pitch trackers; ExtraError where one is asked for and not installed."""
    options = run.cfg.evaluate
    try:
        embedding, found = embedding_of(options.embedding), dict(trackers(options.pitch))
    except ImportError as error:
        raise ExtraError(f"{error}: not installed: pip install 'diffx-suite[audio-bench]'") from None
    if options.embedding == "auto" and isinstance(embedding, MelQuarters):
        run.flag(
            f"openwakeword is not installed: sounds are compared by their {embedding.name}; such figures "
            "cannot be compared with those of the speech network (pip install 'diffx-suite[audio-bench]')"
        )
    return embedding, found


def _recorded(run: Any, face: AudioGenerator, clips: list[Clip], first: str | None) -> tuple[list[Real], list[Real]]:
    """(held-out sounds, training sounds), as training sees them; DataError where there are too few."""
    options = run.cfg.evaluate
    found = []
    for held_out, most in ((True, options.n), (False, options.training)):
        own = [clip for clip in clips if is_held_out(clip.split) == held_out]
        if face.model.codec.pitched:  # before they are spread over classes, of which percussion has many
            own = [clip for clip in own if clip.midi is not None]
        sounds, failed = read(spread(own, most, run.cfg.seed, first), face.model.codec)
        for clip, error in failed:
            run.fail(clip.path, error)
        if len(sounds) < 3:
            raise DataError(
                f"{run.cfg.data.root}: {len(sounds)} {'held-out' if held_out else 'training'} sounds are too few"
            )
        found.append(sounds)
    return found[0], found[1]


def _drawn(run: Any, face: AudioGenerator, notes: list[Note]) -> list[Drawn]:
    found: dict[int, Drawn] = {}
    with run.progress(len(notes), "drawing", unit="sound") as bar:
        for k, one in draw(face, notes, run.cfg.seed, run.cfg.sample, run.cfg.lufs):
            found[k] = one
            bar.advance()
    return [found[k] for k in range(len(notes))]


def _classified(
    field: str, notes: list[Note], real: list[Real], training: list[Real], vectors: dict[str, np.ndarray]
) -> Classified | None:
    """What a probe trained on real training sounds hears; None where a field has one class, or no sound asks for it."""
    told = [k for k, one in enumerate(training) if field in one.clip.classes]
    labels = [training[k].clip.classes[field] for k in told]
    with_ = [k for k, note in enumerate(notes) if field in note.classes]
    if len(set(labels)) < 2 or not with_:
        return None
    probe = Probe(vectors["training"][told], labels)
    wanted = [notes[k].classes[field] for k in with_]
    drawn, own, coded = (probe(vectors[name][with_]) for name in ("drawn", "real", "coded"))
    return Classified(wanted, drawn, wanted, own, coded, Counter(labels))


def _pitches(
    run: Any, face: AudioGenerator, found: dict[str, Tracker], real: list[Real], drawn: list[Drawn], extra: list[Drawn],
    coded: list[np.ndarray],
) -> None:  # fmt: skip
    """The figures of pitch, by the tracker that gets more real notes right."""
    own, rate = [one.wave for one in real], face.rate
    nominal = [float(one.note.midi or 0) for one in drawn]
    rights = {name: right(tracker, own, rate, nominal) for name, tracker in found.items()}
    best = max(rights, key=lambda name: float(rights[name].mean()))
    facts = {"tracker": best, "trackers": {name: float(of.mean()) for name, of in rights.items()}}
    tracker = found[best]
    further = right(tracker, [one.wave for one in extra], rate, [float(one.note.midi or 0) for one in extra])
    names = sorted({pitch_class(float(one.note.midi or 0)) for one in extra})
    _all(run, figures.pitches(
        right(tracker, [one.wave for one in drawn], rate, nominal), rights[best],
        right(tracker, coded, rate, nominal), further, names, facts,
    ))  # fmt: skip


def _noise(samples: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(derive(seed, "white noise"))
    return rng.standard_normal(samples).astype(np.float32)


def _all(run: Any, found: dict[str, Any]) -> None:
    for name, figure in found.items():
        run.metric(name, figure)
