"""Figures of drawn sounds beside those of real ones and of the codec alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from diffx.evaluation import Baseline, Figure, Goal, compare, estimate
from diffx.metrics import Audit, frechet_distance

from .drawing import Drawn

__all__ = ["Classified", "Lengths", "accuracies", "diversity", "frechet", "lengths", "memorised", "pitches", "shares"]

CODEC = "codec alone"
ACCURATE, FAR, PITCH, LENGTH = 0.97, 1.5, 0.9, 50.0  # goals: at least, x the floor, x the real share, ms


@dataclass(frozen=True)
class Classified:
    """A field of classes: what each sound should be, what the probe hears in it, likewise of real sounds and of those
    through the codec; how often its classes occur in training."""

    asked: Sequence[str]
    heard: Sequence[str]
    real: Sequence[str]
    real_heard: Sequence[str]
    codec_heard: Sequence[str]
    training: Mapping[str, int]


@dataclass(frozen=True)
class Lengths:
    """Seconds that were asked, that sounds last, and that real ones last after the codec; all [n]."""

    asked: np.ndarray
    drawn: np.ndarray
    real: np.ndarray
    codec: np.ndarray


def _mean(values: torch.Tensor) -> float:
    return float(values.mean())


def _agree(first: Sequence[str], second: Sequence[str]) -> np.ndarray:
    return np.array([float(a == b) for a, b in zip(first, second, strict=True)])


def accuracies(name: str, field: str, found: Classified, goal: Goal | None = None) -> dict[str, Figure]:
    """``name`` and ``name_real``: share of sounds in which the probe hears the class that was asked.

    Args:
        name: of the figure.
        field: of classes, for its title.
        found: the classes.
        goal: of the drawn sounds.
    """
    real = estimate(
        _mean,
        _agree(found.real, found.real_heard),
        better="higher",
        title=f"{field} that the probe hears in real sounds",
    )
    usual = Counter(found.training).most_common(1)[0][0]
    others = [
        Baseline(f"always {usual}", float(_agree(found.asked, [usual] * len(found.asked)).mean())),
        Baseline(CODEC, float(_agree(found.real, found.codec_heard).mean())),
    ]
    drawn = estimate(
        _mean, _agree(found.asked, found.heard), real_vs_real=real.value, real_vs_real_interval=real.interval,
        baselines=others, n_real=len(found.real), better="higher", title=f"{field} that the probe hears", goal=goal,
    )  # fmt: skip
    return {name: drawn, f"{name}_real": real}


def frechet(
    drawn: np.ndarray, real: np.ndarray, training: np.ndarray, coded: np.ndarray, noise: np.ndarray, seed: int
) -> dict[str, Figure]:
    """``fad``, ``fad_floor``, ``codec_fad``, from embeddings [n, d].

    Args:
        drawn: of drawn sounds.
        real: of held-out ones, which all are compared with.
        training: of training sounds; the floor is the distance of n of them.
        coded: of the held-out ones through the codec.
        noise: of white noise of the same lengths.
        seed: of the choice of training sounds.
    """
    kept, made, learnt, hiss = (torch.from_numpy(np.ascontiguousarray(x)) for x in (real, drawn, training, noise))
    title, others = "Fréchet audio distance to held-out sounds", {"white noise": hiss}
    fad = compare(frechet_distance, kept, made, learnt, others, seed=seed, title=title, better="lower")
    floor = float(fad.real_vs_real or 0)
    goal = Goal(high=FAR * floor, wanted=f"at most {FAR} x the floor, {FAR * floor:.3g}")
    coded_distance = frechet_distance(real, coded)
    return {
        "fad": Figure(**{**vars(fad), "goal": goal}),
        "fad_floor": Figure(floor, fad.real_vs_real_interval, n=min(len(drawn), len(training)), n_real=len(real),
                            title="Fréchet audio distance of as many training sounds to held-out ones", better="lower"),
        "codec_fad": Figure(coded_distance, real_vs_real=floor, n=len(coded), n_real=len(real),
                            title="Fréchet audio distance of held-out sounds through the codec to themselves",
                            better="lower"),
    }  # fmt: skip


def pitches(
    drawn: np.ndarray,
    real: np.ndarray,
    coded: np.ndarray,
    unheard: np.ndarray,
    classes: Sequence[str],
    facts: Mapping[str, Any],
) -> dict[str, Figure]:
    """``pitch_within_50c``, ``.._real`` and, where there are any, ``.._unheard``.

    Args:
        drawn: whether each sound has the pitch that was asked, [n].
        real: whether each real one has its own.
        coded: of the real ones through the codec.
        unheard: of notes of pitch classes that training lacks.
        classes: these.
        facts: of the tracker.
    """
    own = estimate(_mean, real, better="higher", title="real notes whose pitch the tracker gets", facts=facts)
    share = float(own.value or 0)
    goal = Goal(low=PITCH * share, wanted=f"at least {PITCH} x the share of real notes, {PITCH * share:.3g}")
    common: dict[str, Any] = {
        "real_vs_real": share, "real_vs_real_interval": own.interval, "n_real": len(real),
        "better": "higher", "goal": goal,
    }  # fmt: skip
    others = [Baseline(CODEC, float(coded.mean()))]
    found = {
        "pitch_within_50c": estimate(_mean, drawn, baselines=others, title="notes within 50 cents", **common),
        "pitch_within_50c_real": own,
    }
    if len(unheard):
        title = f"notes within 50 cents, of pitch classes that training lacks ({', '.join(classes)})"
        found["pitch_within_50c_unheard"] = estimate(_mean, unheard, title=title, **common)
    return found


def lengths(found: Lengths) -> Figure:
    """``duration_mae_ms``: mean error of what sounds, before the cut at the length that was asked."""
    error, coded = (1000 * np.abs(a - b) for a, b in ((found.drawn, found.asked), (found.codec, found.real)))
    middle = float(np.median(found.real))
    return estimate(
        _mean, error, real_vs_real=float(coded.mean()), unit="ms", better="lower", goal=Goal(high=LENGTH),
        baselines=[Baseline("the median length", float(1000 * np.abs(found.asked - middle).mean()))],
        title="mean error of the sounding length", n_real=len(found.real),
    )  # fmt: skip


def shares(drawn: Sequence[Drawn]) -> dict[str, Figure]:
    """``silent_share``, ``clipped_share`` and ``seconds_per_audio_second``."""
    silent, clipped = (np.array([float(one.silent) for one in drawn]), np.array([float(one.clipped) for one in drawn]))
    took = float(sum(one.seconds for one in drawn))
    heard = float(sum(one.note.seconds for one in drawn))
    return {
        "silent_share": estimate(_mean, silent, better="lower", goal=Goal(high=0.0), title="silent sounds"),
        "clipped_share": estimate(_mean, clipped, better="lower", goal=Goal(high=0.0), title="sounds at full scale"),
        "seconds_per_audio_second": Figure(
            took / heard,
            n=len(drawn),
            unit="s",
            better="lower",
            goal=Goal(high=1.0),
            title="seconds for a second of sound",
        ),
    }


def diversity(drawn: np.ndarray, real: np.ndarray, labels: Sequence[str], real_labels: Sequence[str]) -> Figure:
    """Mean distance of embeddings [n, d] within a class, as a share of that of held-out sounds; 1 as they, 0 copies."""
    ours, theirs = _within(drawn, labels), _within(real, real_labels)
    both = sorted(set(ours) & set(theirs))
    value = float(np.mean([ours[k] for k in both]) / np.mean([theirs[k] for k in both])) if both else None
    return Figure(
        value, real_vs_real=1.0, n=len(drawn), n_real=len(real), title="distance within a class, of that of real sounds"
    )


def _within(rows: np.ndarray, labels: Sequence[str]) -> dict[str, float]:
    """Mean distance of two rows of a class, of each class with two."""
    own = np.array(labels)
    groups = {name: torch.from_numpy(rows[own == name]) for name in set(labels) if (own == name).sum() > 1}
    return {name: float(torch.pdist(group).mean()) for name, group in groups.items()}


def memorised(found: Audit) -> dict[str, Any]:
    """``memorisation``: how near sounds lie to training ones, beside how near held-out ones do."""
    return {
        "distance_ratio": Figure(
            found.distance_ratio, real_vs_real=1.0, n=found.synthetic, n_real=found.held_out,
            title="distance to the nearest training sound, of that of held-out sounds",
        ),
        "near_share": Figure(found.share, real_vs_real=found.expected, n=found.synthetic, n_real=found.held_out,
                             better="lower", facts={"p_value": found.p_value}),
        "copies": len(found.copies),
        "training_sounds": found.train,
    }  # fmt: skip
