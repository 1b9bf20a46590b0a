"""A stretch of one sound put into a gap of another, without a click."""

from __future__ import annotations

import numpy as np

__all__ = ["joined", "without_jump"]

_JUMP = 0.004  # s in which what is left of a jump at the edge of a gap fades
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
    return without_jump(inside, sound, first, last, rate)


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


def without_jump(inside: np.ndarray, sound: np.ndarray, first: int, last: int, rate: int) -> np.ndarray:
    """The gap's samples with the jump at either edge, against the sound's own course, faded out within 4 ms."""
    out = inside.copy()
    length = min(round(_JUMP * rate), len(out))
    fade = np.zeros(len(out))
    fade[:length] = 0.5 + 0.5 * np.cos(np.pi * np.arange(length) / length)
    if first:
        out += (2 * sound[first - 1] - sound[max(first - 2, 0)] - inside[0]) * fade
    if last < len(sound):
        out += (2 * sound[last] - sound[min(last + 1, len(sound) - 1)] - inside[-1]) * fade[::-1]
    return out
