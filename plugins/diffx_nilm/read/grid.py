"""From rows at any times to an even grid: the time-weighted mean of each period."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from diffx.errors import DataError

from .options import Notes, Options
from .times import SECOND

_LATE = 2 * 3600 * SECOND  # how late a row may come: clocks are turned back by an hour
_SHARED, _APART = 0.2, 0.5  # share of rows at the time of another, and how far their power is apart, of the larger
_YEAR = 366 * 86_400 * SECOND

Rows = tuple[np.ndarray, np.ndarray]  # ns int64 [n], values float64 [n, C]


@dataclass(frozen=True)
class Block:
    """Consecutive periods: ``first`` counts them from 1970, ``values`` [n, C], ``phase`` ns shifts the grid."""

    first: int
    values: np.ndarray
    phase: int = 0


def resample(rows: Iterable[Rows], where: str, options: Options, note: Notes, common: bool = False) -> Iterator[Block]:
    """Rows in pieces -> blocks of the grid, as soon as they are complete; memory is that of a piece.

    A value holds until the next row, for ``options.gap`` seconds at most; one that no row follows in time holds for the
    usual time between rows. A period is the mean over the part of it that is covered, and NaN where that is less than
    half. An explicit NaN covers nothing. Rows of the same time are averaged; rows may be up to two hours late. The grid
    begins at whole periods since 1970, or where the first row lies if rows come once a period and the grid is not to be
    ``common`` to several meters.

    Raises DataError where rows are too coarse, or come later than that.
    """
    period = round(options.period * SECOND)
    times, values = np.zeros(0, np.int64), np.zeros((0, 0))
    usual, phase, edge, latest, seen = 0, 0, None, None, False
    for more, what in rows:
        if not len(more):
            continue
        if edge is not None and more.min() < edge * period + phase:
            raise DataError(
                f"{where}: times go back by more than two hours, to {_date(more.min())} after {_date(latest)}; "
                "sort the rows, or keep those of one meter"
            )
        back = float((np.diff(more) < 0).mean()) if len(more) > 1 else 0.0
        if back or (len(times) and more[0] < times[-1]):
            note(f"{where}: rows are not in the order of time; sorted")
        values = np.concatenate([values.reshape(-1, what.shape[1]), what])
        times, values = _sorted(np.concatenate([times, more]), values, where, note)
        if not seen:
            seen, usual = True, _usual(times, where, options, back > 0.1)
            phase = int(times[0]) % period if usual == period and not common else 0
        leap = int(np.diff(times).max(initial=0))
        if leap > _YEAR:
            at = int(np.argmax(np.diff(times)))
            raise DataError(f"{where}: nothing between {_date(times[at])} and {_date(times[at + 1])}: a wrong clock?")
        latest = int(times[-1])
        if edge is None:
            edge = -(-(int(times[0]) - phase - period // 2) // period)  # of which half is covered
        until = (latest - _LATE - phase) // period
        if until > edge:
            yield Block(edge, _means(times, values, edge, until, period, phase, usual, options), phase)
            edge = until
            keep = max(int(np.searchsorted(times, edge * period + phase, side="right")) - 1, 0)
            times, values = times[keep:], values[keep:]
    if edge is None or latest is None:
        raise DataError(f"{where}: no rows")
    until = max((latest + usual - phase + period // 2) // period, edge + 1)
    yield Block(edge, _means(times, values, edge, until, period, phase, usual, options), phase)


def _usual(times: np.ndarray, where: str, options: Options, shuffled: bool) -> int:
    """The usual time between rows, ns. DataError where it is too long, or where there is a single time."""
    if len(times) < 2:
        raise DataError(f"{where}: a single row; power over time needs many")
    usual = int(np.median(np.diff(times)))
    if usual > options.coarsest * SECOND * 1.01:
        if shuffled:  # what lies between these rows may come later
            raise DataError(f"{where}: rows are in no order of time; sort the rows")
        raise DataError(
            f"{where}: one row every {_duration(usual)}; appliances show in rows every {options.coarsest:g} s or less"
        )
    return usual


def _sorted(times: np.ndarray, values: np.ndarray, where: str, note: Notes) -> Rows:
    """In order, rows of one time averaged."""
    step = np.diff(times)
    if (step < 0).any():
        order = np.argsort(times, kind="stable")
        times, values = times[order], values[order]
        step = np.diff(times)
    if not (step == 0).any():
        return times, values
    first = np.flatnonzero(np.concatenate([[True], step > 0]))
    count = np.diff(np.append(first, len(times)))
    known = np.isfinite(values)
    total = np.add.reduceat(np.where(known, values, 0.0), first, axis=0)
    share = np.add.reduceat(known.astype(np.float64), first, axis=0)
    _alike(times, values, first, where)
    at = _date(times[first[count > 1][0]])
    note(f"{where}: rows of the same time are averaged ({int((count - 1).sum())} of the first {len(times)}, from {at})")
    with np.errstate(invalid="ignore"):
        return times[first], total / share


def _alike(times: np.ndarray, values: np.ndarray, first: np.ndarray, where: str) -> None:
    """DataError where many rows share their time with one of quite another power: there must be several meters."""
    x = values[:, 0]
    least, most = np.minimum.reduceat(x, first), np.maximum.reduceat(x, first)
    count = np.diff(np.append(first, len(times)))
    several = (count > 1) & np.isfinite(most - least)
    share = count[several].sum() / len(times)
    if several.sum() < 8 or share < _SHARED or (share < 0.9 and np.ptp(times[first][several]) < _LATE):
        return  # an hour comes twice where the clock is turned back
    apart = (most - least)[several] / np.maximum(np.abs(most), np.abs(least))[several].clip(1e-9)
    if np.median(apart) > _APART:
        raise DataError(
            f"{where}: many rows share their time with one of quite another power, such as {least[several][0]:.4g} and "
            f"{most[several][0]:.4g} W at {_date(times[first][several][0])}: several meters or homes; keep one of them"
        )


def _means(
    times: np.ndarray, values: np.ndarray, first: int, stop: int, period: int, phase: int, usual: int, options: Options
) -> np.ndarray:
    """Means [stop - first, C] of the periods from ``first``, float32."""
    origin = first * period + phase
    hold = max(options.gap * SECOND, 1.5 * usual)
    lasts = np.append(np.diff(times), usual)
    lasts = np.where(lasts > hold, usual, lasts) / SECOND
    begin = (times - origin) / SECOND
    # the integral up to each row's begin and end; between the two it is a straight line, and beyond them it is level
    at = np.stack([begin, begin + lasts], axis=1).ravel()
    edges = np.arange(stop - first + 1) * (period / SECOND)
    out = np.empty((stop - first, values.shape[1]), np.float32)
    for c in range(values.shape[1]):
        known = np.isfinite(values[:, c])
        area, cover = (
            np.interp(edges, at, np.repeat(np.concatenate([[0.0], np.cumsum(x)]), 2)[1:-1])
            for x in (np.where(known, values[:, c], 0.0) * lasts, known * lasts)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.diff(area) / np.diff(cover)
        out[:, c] = np.where(np.diff(cover) >= 0.499 * options.period, mean, np.nan)
    return out


def _date(ns: object) -> str:
    return str(np.datetime64(int(ns), "ns").astype("datetime64[s]")).replace("T", " ")  # type: ignore[call-overload]


def _duration(ns: int) -> str:
    seconds = ns / SECOND
    return f"{seconds / 60:g} minutes" if seconds >= 60 else f"{seconds:g} s"
