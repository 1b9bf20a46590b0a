"""What every format is read as: rows of meters, on the way to a household."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from diffx.errors import DataError

from ..household import DAY, Household
from .grid import Block, Rows, resample
from .options import Notes, Options
from .times import SECOND
from .values import Drawn

MAINS = "mains"


@dataclass(frozen=True)
class Feed:
    """Meters that are read together: ``columns`` ("mains" or an appliance's key) and their rows, piece by piece."""

    where: str
    columns: tuple[str, ...]
    rows: Iterator[Rows]


@dataclass(frozen=True)
class Recording:
    """A household that has not been read yet. Columns of one name in several feeds are added.

    ``timezone`` and ``power`` are asked for once the first rows have been read.
    """

    name: str
    feeds: tuple[Feed, ...]
    timezone: Callable[[], str | None]
    power: Callable[[], str]


def households(recording: Recording, options: Options, note: Notes, days: float) -> Iterator[Household]:
    """Consecutive households of at most ``days`` days. DataError where the mains are never known."""
    keys = list(dict.fromkeys(column for feed in recording.feeds for column in feed.columns))
    length = max(round(days * DAY / options.period), 1) if np.isfinite(days) else None
    waiting: list[np.ndarray] = []
    first = phase = told = 0
    known = False

    def made(values: np.ndarray) -> Household:
        nonlocal told
        lines, told = tuple(note.lines[told:]), len(note.lines)
        start = pd.Timestamp((first * round(options.period * SECOND)) + phase, unit="ns").as_unit("us")
        timezone = recording.timezone()
        if timezone:
            start = start.tz_localize("UTC").tz_convert(timezone)
        parts = {key: np.ascontiguousarray(values[:, i]) for i, key in enumerate(keys) if key != MAINS}
        mains = np.ascontiguousarray(values[:, keys.index(MAINS)])
        return Household(recording.name, start, options.period, mains, parts, recording.power(), lines)

    for block in _joined(recording, options, note, keys):
        if not waiting:
            first, phase = block.first, block.phase
        waiting.append(block.values)
        known = known or bool(np.isfinite(block.values[:, keys.index(MAINS)]).any())
        while length is not None and sum(map(len, waiting)) >= length:
            values = np.concatenate(waiting)
            yield made(values[:length])
            first, waiting = first + length, [values[length:]]
    if not known:
        raise DataError(f"{recording.name}: the mains are never known: every row is empty")
    values = np.concatenate(waiting)
    if len(values):
        yield made(values)


def _joined(recording: Recording, options: Options, note: Notes, keys: list[str]) -> Iterator[Block]:
    """The blocks of all feeds side by side; a meter that has not begun, or has ended, is not known."""
    several = len(recording.feeds) > 1
    drawn = Drawn(recording.name, note) if sum(MAINS in feed.columns for feed in recording.feeds) > 1 else None
    streams = [resample(feed.rows, feed.where, options, note, several) for feed in recording.feeds]
    if not several and len(set(recording.feeds[0].columns)) == len(keys):
        yield from streams[0]
        return
    twice = _Twice(recording.name, options)
    held: list[list[Block]] = [[next(stream)] for stream in streams]
    at = min(blocks[0].first for blocks in held)
    ended = [False] * len(streams)
    while True:
        for i, stream in enumerate(streams):
            if not held[i] and not ended[i]:
                more = next(stream, None)
                held[i], ended[i] = ([more], False) if more else ([], True)
        if all(ended):
            return
        stop = min(blocks[0].first + len(blocks[0].values) for blocks in held if blocks)
        sums: dict[str, np.ndarray] = {}
        twice.begin()
        for feed, blocks in zip(recording.feeds, held, strict=True):
            part = np.full((stop - at, len(feed.columns)), np.nan, np.float32)
            if blocks:
                block = blocks[0]
                begin = min(max(block.first, at), stop)
                part[begin - at :] = block.values[begin - block.first : stop - block.first]
                if stop == block.first + len(block.values):
                    blocks.clear()
            for column, values in zip(feed.columns, part.T, strict=True):
                if column == MAINS and drawn is not None and options.mains is None:
                    twice.look(feed.where, values)
                sums[column] = sums[column] + values if column in sums else values
        if drawn is not None:
            sums[MAINS] = drawn(sums[MAINS])
        yield Block(at, np.stack([sums[key] for key in keys], axis=1))
        at = stop


class _Twice:
    """Refuses to add two meters of the mains that measure the same, which phases never do."""

    def __init__(self, where: str, options: Options):
        self.where, self.options = where, options
        self._seen: dict[str, np.ndarray] = {}

    def begin(self) -> None:
        self._seen = {}

    def look(self, where: str, values: np.ndarray) -> None:
        for other, theirs in self._seen.items():
            if _alike(values, theirs):
                raise DataError(
                    f"{self.where}: {where.rpartition('/')[2]} and {other.rpartition('/')[2]} measure the same, so "
                    f"they are not added; {self.options.spelt('mains')} takes the number of one of them"
                )
        self._seen[where] = values


def _alike(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether two meters rise and fall together and by as much."""
    both = np.isfinite(x) & np.isfinite(y)
    x, y = (np.diff(values[both].astype(np.float64)) for values in (x, y))
    if len(x) < 100 or min(np.count_nonzero(x), np.count_nonzero(y)) < 20:
        return False
    size = float(np.sqrt((x**2).sum() * (y**2).sum()))
    ratio = float(np.sqrt((x**2).sum() / (y**2).sum()))
    return float((x * y).sum()) > 0.97 * size and 0.8 < ratio < 1.25
