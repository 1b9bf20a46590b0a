"""A stretch of one sound put into a gap of another, without a click."""

from __future__ import annotations

import numpy as np

__all__ = ["eased", "joined"]

_EASE = 0.006  # s over which the sound's own course fades into what is put in
_LOOK = 0.03  # s of the sound on either side that its course is predicted from
_ORDER = 64
_DAMPING = 1e-6
_AROUND = 2  # spans beside the gap that are compared


def joined(whole: np.ndarray, sound: np.ndarray, first: int, last: int, span: int, rate: int) -> np.ndarray:
    """Samples ``first`` to ``last`` of ``whole``, shifted and scaled so that they continue ``sound`` on both sides.

    Each side has a shift of up to ``span`` samples, that of the largest correlation with what lies beside the gap;
    inside the gap one version fades into the other.

    Args:
        whole: [n].
        sound: [n]; what it holds in the gap is never looked at.
        first: sample.
        last: the first sample after the gap.
        span: samples, at least a period.
        rate: samples a second.
    """
    before = _aligned(whole, sound, max(first - _AROUND * span, 0), first, first, last, span)
    after = _aligned(whole, sound, last, min(last + _AROUND * span, len(sound)), first, last, span)
    versions = [v for v in (before, after) if v is not None]
    if not versions:
        inside = whole[first:last].copy()
    elif len(versions) == 1:
        inside = versions[0]
    else:
        share = 0.5 - 0.5 * np.cos(np.pi * (np.arange(last - first) + 0.5) / (last - first))
        inside = (1 - share) * versions[0] + share * versions[1]
    return eased(inside, sound, first, last, rate)


def _aligned(
    whole: np.ndarray, sound: np.ndarray, begin: int, end: int, first: int, last: int, span: int
) -> np.ndarray | None:
    """The gap's samples at the shift at which ``whole`` is most like ``sound`` beside it; None: silence there."""
    known = sound[begin:end]
    if len(known) < span // 2 or not np.abs(known).max() > 0:
        return None
    padded = np.pad(whole, span)
    best, shift = -np.inf, 0
    energy = float(np.sqrt(np.square(known).sum()))
    for move in range(-span, span + 1):
        part = padded[begin + span + move : end + span + move]
        size = float(np.sqrt(np.square(part).sum()))
        likeness = float(part @ known) / (size * energy) if size > 0 else -1.0
        if likeness > best:
            best, shift = likeness, move
    part = padded[begin + span + shift : end + span + shift]
    gain = energy / max(float(np.sqrt(np.square(part).sum())), 1e-9)
    return gain * padded[first + span + shift : last + span + shift]


def eased(inside: np.ndarray, sound: np.ndarray, first: int, last: int, rate: int) -> np.ndarray:
    """The gap's samples, whose first and last 6 ms fade from how the sound around goes on by itself.

    How it goes on is linear prediction from either side, which keeps its high frequencies.
    """
    out = inside.copy()
    length = min(round(_EASE * rate), len(out) // 2)
    if length < 2:
        return out
    fade = 0.5 + 0.5 * np.cos(np.pi * (np.arange(length) + 0.5) / length)
    reach = round(_LOOK * rate)
    for known, part, weight in (
        (sound[max(first - reach, 0) : first], slice(0, length), fade),
        (sound[last : last + reach][::-1], slice(len(out) - length, len(out)), fade[::-1]),
    ):
        further = _continued(known, length)
        if further is not None:
            further = further if part.start == 0 else further[::-1]
            out[part] = weight * further + (1 - weight) * out[part]
    return out


def _continued(known: np.ndarray, count: int) -> np.ndarray | None:
    """``count`` samples that follow by linear prediction; None where there is too little to predict from.

    The coefficients are those of least squares with a little damping, so that the prediction does not grow.
    """
    order = min(_ORDER, len(known) // 4)
    if order < 4 or not np.abs(known).max() > 0:
        return None
    rows = np.lib.stride_tricks.sliding_window_view(known[:-1], order)
    gram = rows.T @ rows
    gram[np.diag_indices(order)] *= 1 + _DAMPING
    weights = np.linalg.solve(gram, rows.T @ known[order:])
    memory = list(known[-order:])
    for _ in range(count):
        memory.append(float(weights @ memory[-order:]))
    return np.clip(memory[order:], -2 * np.abs(known).max(), 2 * np.abs(known).max())
