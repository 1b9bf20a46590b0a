"""Local times into UTC, on the day too on which the clock is turned back and an hour's times come twice."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from diffx.errors import DataError

from .options import Notes, Options

SECOND = 1_000_000_000  # ns
_DAY = 86_400 * SECOND


@dataclass
class _Fold:
    """An hour that there is twice, as far as it has been read: whether its second half has begun, and how."""

    last: int
    turned: bool = False
    told: bool = field(default=False)


class Folds:
    """Places the naive local times of one file, piece by piece and in the order of its rows.

    Where the clock is seen to go back, what follows is of the second hour. Where rows were sorted, so that each time
    of the hour comes twice (twice as often as other times), the second one is. In both, of a file whose newest rows
    come first, it is the other way round. Where two hours lie between one another and no time comes twice, rows
    cannot be told apart and are left out; where there is one hour only, it is taken for the first. Both are said.
    """

    def __init__(self, where: str, zone: str, options: Options, note: Notes):
        self.where, self.zone, self.utc, self.note = where, zone, options.spelt("timezone", "UTC"), note
        self._folds: dict[int, _Fold] = {}
        self._falling: bool | None = None  # the newest rows come first
        self._latest: int | None = None  # of the piece before

    def place(self, ns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(UTC, which rows are told, bool) [n] of naive times, ns int64.

        DataError for times that the zone does not have.
        """
        naive = pd.DatetimeIndex(ns.view("datetime64[ns]"))
        first, second = (
            naive.tz_localize(self.zone, ambiguous=np.full(len(ns), flag), nonexistent="NaT") for flag in (True, False)
        )
        if skipped := int(first.isna().sum()):
            raise DataError(
                f"{self.where}: {skipped} times lie in an hour that {self.zone} skips, such as "
                f"{naive[first.isna()][0]}; they are no local times ({self.utc}?)"
            )
        utc = [each.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[ns]") for each in (first, second)]
        early, late = (each.astype(np.int64) for each in utc)
        twice = early != late
        if self._falling is None and len(ns) > 1:
            falls, rises = (np.diff(ns) < 0).sum(), (np.diff(ns) > 0).sum()
            self._falling = bool(falls > 9 * rises)
        out, good = early.copy(), np.ones(len(ns), bool)
        for day in np.unique(ns[twice] // _DAY):
            rows = np.flatnonzero(twice & (ns // _DAY == day))
            length = int(late[rows[0]] - early[rows[0]])
            second_half = self._second(int(day), ns, rows, length)
            if second_half is None:
                good[rows] = False
            else:
                out[rows] = np.where(second_half, late[rows], early[rows])
        self._latest = int(ns.max()) if len(ns) else self._latest
        return out, good

    def _second(self, day: int, ns: np.ndarray, rows: np.ndarray, length: int) -> np.ndarray | None:
        """Which of these rows, of a fold of ``length`` ns, are of its second hour; None where that cannot be told."""
        times = ns[rows]
        fold = self._folds.setdefault(day, _Fold(int(times[0])))
        steps = np.diff(times, prepend=fold.last) * (-1 if self._falling else 1)
        fold.last = int(times[-1])
        turns = np.flatnonzero(steps <= -0.4 * length)
        if fold.turned or (len(turns) and (steps < 0).sum() <= 1 + 0.05 * len(steps)):
            after = np.arange(len(times)) >= (0 if fold.turned else turns[0])
            fold.turned = True
            return ~after if self._falling else after
        outside = np.delete(ns, rows)
        often, usual = _often(times), _often(outside) if len(outside) > 1 else (1.0, np.inf)
        if often[0] >= 1.5 * usual[0]:
            fold.told = True
            number = pd.Series(times).groupby(times).cumcount().to_numpy()
            of = pd.Series(times).groupby(times).transform("size").to_numpy()
            second = number >= (of + 1) // 2
            self.note(f"{self.where}: times of {_hour(times)} come twice: the clock was turned back between them")
            return ~second & (of > 1) if self._falling else second
        if often[1] <= 0.6 * usual[1] and np.isfinite(usual[1]) and len(times) >= 8:
            self.note(
                f"{self.where}: there are two hours of {_hour(times)}, and rows are sorted so that they cannot be told "
                "apart: taken as not known (times with an offset, or in UTC, tell)"
            )
            return None
        late = self._joins_later(ns, rows, length)
        if rows[-1] < len(ns) - 1 and not fold.told:
            which = "second, of winter time; the first" if late else "first, of summer time; the second"
            self.note(
                f"{self.where}: {self.zone} has the hour of {_hour(times)} twice, and the file has it once: taken for "
                f"the {which} is not known"
            )
        return np.full(len(times), late)

    def _joins_later(self, ns: np.ndarray, rows: np.ndarray, length: int) -> bool:
        """Whether a single hour goes on without a gap to what comes after it, and not from what comes before it."""
        first, last = int(ns[rows].min()), int(ns[rows].max())
        before, after = ns[ns < first], ns[ns > last]
        gap = first - before.max() if len(before) else first - self._latest if self._latest is not None else length
        return bool(gap >= length / 2 and len(after) and after.min() - last < length / 2)


def _often(times: np.ndarray) -> tuple[float, float]:
    """How often a time comes, and the time between different ones, ns: medians."""
    different, count = np.unique(times, return_counts=True)
    return float(np.median(count)), float(np.median(np.diff(different))) if len(different) > 1 else np.inf


def _hour(times: np.ndarray) -> str:
    first, last = (pd.Timestamp(int(t)) for t in (times.min(), times.max()))
    return f"{first:%Y-%m-%d %H:%M} to {last:%H:%M}"
