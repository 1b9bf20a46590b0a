"""Events in the mains: something is switched on, and minutes later something of the same power is switched off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_STIR = 60.0  # W that a change between two periods has at least to belong to an edge
_LONGEST_EDGE = 2  # periods: a switch falls into one, and a mean over it takes two
_NEARLY, _CLOSE = 0.15, 0.05  # shares that a side which hides another one, and one that stands alone, may be off by
_ALIKE, _SPARE = 0.12, 60.0  # share and W by which rise and fall of one thing may differ


@dataclass(frozen=True)
class Event:
    """``first`` to ``stop`` (exclusive): periods in which it draws something; ``power``: W while it is on; ``base``:
    W of everything else before and after it."""

    first: int
    stop: int
    power: float
    base: tuple[float, float]

    def profile(self, mains: np.ndarray) -> np.ndarray:
        """Its power in each of its periods [stop - first], W: what of the mains [T] lies above the line between the
        bases, and not more than its power."""
        line = np.linspace(*self.base, self.stop - self.first)
        return np.clip(mains[self.first : self.stop] - line, 0, self.power).astype(np.float32)

    @property
    def periods(self) -> int:
        return self.stop - self.first


def edges(mains: np.ndarray) -> list[tuple[int, int, float]]:
    """(last period before, first period after, change in W) of each rise and fall of the mains [T], in order.

    Changes of one sign in neighbouring periods are one edge where there are at most two of them.
    """
    change = np.diff(mains)
    found: list[tuple[int, int, float]] = []
    for i in np.flatnonzero(np.abs(np.nan_to_num(change)) > _STIR).tolist():
        last = found[-1] if found else None
        if last and last[1] == i and (last[2] > 0) == (change[i] > 0) and last[1] - last[0] < _LONGEST_EDGE:
            found[-1] = (last[0], i + 1, last[2] + float(change[i]))
        else:
            found.append((i, i + 1, float(change[i])))
    return found


def events(mains: np.ndarray, least: float, most: float, longest: int) -> list[Event]:
    """Events of ``least`` to ``most`` W and of at most ``longest`` periods in mains [T], W, which may hold NaN.

    A rise is paired with the first fall that is as large; in between the mains stay above half of it.
    """
    found = []
    every = edges(mains)
    for number, (before, top, rise) in enumerate(every):
        if not least <= rise <= most:
            continue
        half = mains[before] + rise / 2
        for start, stop, fall in every[number + 1 :]:
            if stop - before - 1 > longest or np.nanmin(mains[top : start + 1], initial=np.inf) < half:
                break
            if fall < 0 and abs(rise + fall) <= _ALIKE * rise + _SPARE:
                power = (rise - fall) / 2
                if np.isfinite(mains[before : stop + 1]).all():
                    found.append(Event(before + 1, stop, power, (float(mains[before]), float(mains[stop]))))
                break
    return found


def one_sided(mains: np.ndarray, power: float, longest: int, besides: list[Event]) -> list[Event]:
    """Events of a known power of which only the begin or only the end stands alone.

    Something else is switched in the same period as the other side, which is as large or larger.

    Args:
        mains: [T], W, which may hold NaN.
        power: W.
        longest: periods of an event.
        besides: events that are found already; none of these overlaps them.
    """
    taken = np.zeros(len(mains), bool)
    for event in besides:
        taken[event.first : event.stop] = True
    every = edges(mains)
    rises = [edge for edge in every if edge[2] >= (1 - _NEARLY) * power]
    falls = [edge for edge in every if -edge[2] >= (1 - _NEARLY) * power]
    found = []
    for up, down in _next_to(rises, falls, longest):
        alone = [abs(abs(edge[2]) - power) <= _CLOSE * power for edge in (up, down)]
        if not any(alone):
            continue
        first, stop = up[0] + 1, down[1]
        base = float(mains[up[0]] if alone[0] else mains[down[1]])
        inside = mains[up[1] : down[0] + 1]
        if taken[first:stop].any() or not np.isfinite(inside).all() or (inside < base + power / 2).any():
            continue
        found.append(Event(first, stop, power, (base, base)))
        taken[first:stop] = True
    return found


def _next_to(
    rises: list[tuple[int, int, float]], falls: list[tuple[int, int, float]], longest: int
) -> list[tuple[tuple[int, int, float], tuple[int, int, float]]]:
    """Each rise with the first fall after it, up to ``longest`` periods later."""
    pairs = []
    for up in rises:
        down = next((fall for fall in falls if fall[0] >= up[1]), None)
        if down is not None and down[1] - up[0] - 1 <= longest:
            pairs.append((up, down))
    return pairs
