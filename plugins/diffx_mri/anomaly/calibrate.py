"""What a threshold costs on healthy scans: the share of voxels that it marks, and false lesions a scan.

Masks are counted as they are written, small regions already dropped. The thresholds are the same for all scans, a
quarter of an octave of the odds p / (1 - p) apart, so scans are counted one after the other and added up. The share of
marked voxels falls with the threshold: what a higher one marks, a lower one marks too. The number of false lesions need
not, since regions merge; there the least threshold counts above which no threshold shows more than were asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from diffx.errors import DataError, UsageError
from diffx.io.home import expanded

from .components import components

PER_OCTAVE = 4
_LEAST = 2.0**-14  # odds below which no threshold is of use
_MOST = 0.2  # share of marked voxels beyond which a threshold is of no use
_CLEAR = 5.0  # mm between a healthy slice and the nearest one with a lesion


def threshold_of(step: float) -> float:
    """The threshold of a step, between 0 and 1."""
    return float(1 / (1 + 2.0 ** (-step / PER_OCTAVE)))


def _steps(score: Any) -> Any:
    """The step, not a whole one, of scores between 0 and 1."""
    return PER_OCTAVE * np.log2(score / (1 - score))


@dataclass
class Counts:
    """Healthy scans, counted.

    ``voxels`` that were looked at; ``scans``, of which parts count as parts; of each step of the threshold the voxels
    ``marked`` and the ``lesions`` that they form; ``least``: the lowest step at which all scans were counted.
    """

    voxels: int = 0
    scans: float = 0.0
    marked: dict[int, int] = field(default_factory=dict)
    lesions: dict[int, int] = field(default_factory=dict)
    least: int | None = None

    def add(self, anomaly: np.ndarray, healthy: np.ndarray, share: float = 1.0, smallest: int = 1) -> None:
        """Count a scan.

        Args:
            anomaly: scores [X, Y, Z], from 0 to less than 1.
            healthy: bool [X, Y, Z], the voxels of the head or brain that are known to be healthy.
            share: of the scan's head or brain that these are.
            smallest: voxels of the smallest region that a mask keeps.
        """
        scores = np.where(healthy, anomaly, 0)
        inside = scores[healthy]
        self.voxels += int(inside.size)
        self.scans += share
        top = float(inside.max(initial=0))
        if not top > 0:
            return
        low = min(max(float(np.quantile(inside, 1 - _MOST)), _LEAST), top)
        first, last = (int(np.floor(_steps(score))) for score in (low, top))
        for step in range(first, last + 1):
            sizes = components(scores > threshold_of(step), smallest)[1]
            self.marked[step] = self.marked.get(step, 0) + int(sizes.sum())
            self.lesions[step] = self.lesions.get(step, 0) + len(sizes)
        self.least = first if self.least is None else max(self.least, first)

    @classmethod
    def sum(cls, parts: Iterable[Counts]) -> Counts:
        """The scans of several counts together."""
        total = cls()
        for one in parts:
            total.voxels += one.voxels
            total.scans += one.scans
            for mine, more in ((total.marked, one.marked), (total.lesions, one.lesions)):
                for step, number in more.items():
                    mine[step] = mine.get(step, 0) + number
            total.least = max((least for least in (total.least, one.least) if least is not None), default=None)
        return total


@dataclass(frozen=True)
class Calibration:
    """Thresholds, rising, and what each costs on healthy scans.

    ``thresholds``, ``fpr`` (share of voxels that are marked) and ``false_lesions`` (a scan) [n]; ``voxels`` and
    ``scans`` they were counted in; ``smallest`` region that was kept, ml; ``weights``: the hash of the weights;
    ``made_with``: options that change the map, name -> value.
    """

    thresholds: tuple[float, ...]
    fpr: tuple[float, ...]
    false_lesions: tuple[float, ...]
    voxels: int
    scans: float
    smallest: float
    weights: str = ""
    made_with: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls, counts: Counts, smallest: float, weights: str = "", made_with: Mapping[str, Any] | None = None
    ) -> Calibration:
        """From counted scans. Raises DataError where nothing in them has a score."""
        if counts.least is None:
            raise DataError("no healthy voxel has an anomaly score above 0: there is no threshold to choose")
        last = max(counts.marked) + 1  # where nothing is marked any more
        steps = range(counts.least, last + 1)
        return cls(
            tuple(threshold_of(k) for k in steps),
            tuple(counts.marked.get(k, 0) / counts.voxels for k in steps),
            tuple(counts.lesions.get(k, 0) / counts.scans for k in steps),
            counts.voxels,
            round(counts.scans, 2),
            smallest,
            weights,
            made_with or {},
        )

    def at(self, fpr: float) -> float:
        """The threshold that marks this share of healthy voxels, between steps by the logarithm of its odds.

        Raises UsageError for a share that these scans cannot tell.
        """
        steps, known = self._known()
        if not known.size or not known[-1] <= fpr <= known[0]:
            ends = f"{known[-1]:.2g} to {known[0]:.2g}" if known.size else "none at all"
            raise UsageError(f"fpr={fpr:g}: the {self.scans:g} healthy scans of this calibration tell {ends}")
        return threshold_of(np.interp(-np.log(fpr), -np.log(known), steps))

    def at_lesions(self, false_lesions: float) -> float:
        """The threshold at which a healthy scan shows at most so many false lesions on average.

        Raises UsageError for fewer than these scans can tell.
        """
        if false_lesions * self.scans < 1 - 1e-9:
            raise UsageError(
                f"false_lesions={false_lesions:g}: that takes more healthy scans than the {self.scans:g} of this "
                "calibration"
            )
        over = [k for k, count in enumerate(self.false_lesions) if count > false_lesions]
        return self.thresholds[over[-1] + 1 if over else 0]

    def rates(self, threshold: float) -> tuple[float, float]:
        """(share of healthy voxels that a threshold marks, false lesions a healthy scan), between steps."""
        steps, known = self._known()
        at = _steps(threshold)
        beyond = threshold >= self.thresholds[-1] or not known.size
        fpr = 0.0 if beyond else float(np.exp(np.interp(at, steps, np.log(known))))
        return fpr, float(np.interp(at, _steps(np.array(self.thresholds)), self.false_lesions))

    def _known(self) -> tuple[np.ndarray, np.ndarray]:
        """The steps at which something is marked, and the share of voxels at each."""
        shares = np.array([share for share in self.fpr if share > 0])
        return _steps(np.array(self.thresholds[: len(shares)])), shares

    def unlike(self, options: Mapping[str, Any]) -> str:
        """What of the options is not as it was when these scans were counted; "" where all of it is."""
        other = {name: value for name, value in options.items() if self.made_with.get(name, value) != value}
        return ", ".join(f"{name}={value} (they: {self.made_with[name]})" for name, value in other.items())

    def to_json(self) -> dict[str, Any]:
        """A mapping, for :meth:`from_json`."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Calibration:
        """Raises KeyError, TypeError or ValueError for a mapping that is none."""
        thresholds, fpr, lesions = (tuple(map(float, raw[name])) for name in ("thresholds", "fpr", "false_lesions"))
        if not len(thresholds) == len(fpr) == len(lesions) > 0 or list(thresholds) != sorted(thresholds):
            raise ValueError("thresholds do not rise, or not every one has its rates")
        plain = int(raw["voxels"]), float(raw["scans"]), float(raw["smallest"])
        return cls(thresholds, fpr, lesions, *plain, str(raw.get("weights", "")), dict(raw.get("made_with", {})))


@dataclass(frozen=True)
class Thresholds:
    """Of heads with their skull and of brains without, as far as they are known: what is false in a head lies mostly
    outside the brain."""

    head: Calibration | None = None
    brain: Calibration | None = None

    def of(self, stripped: bool) -> Calibration:
        """Those of a brain or of a head; those of the other where there are none."""
        found = (self.brain or self.head) if stripped else (self.head or self.brain)
        assert found is not None
        return found

    def lacks(self, stripped: bool) -> str:
        """What to say where a brain or a head has no thresholds of its own; "" where it has."""
        if (self.brain if stripped else self.head) is not None:
            return ""
        own, other = ("brains without skull", "heads with it")[:: 1 if stripped else -1]
        return f"the thresholds were counted in {other}, not in {own}: rates of false positives may be off"

    @property
    def known(self) -> list[Calibration]:
        """Those that there are."""
        return [one for one in (self.head, self.brain) if one is not None]

    def to_json(self) -> dict[str, Any]:
        """A mapping, for :meth:`from_json`."""
        both = {"head": self.head, "brain": self.brain}
        return {name: one.to_json() for name, one in both.items() if one is not None}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Thresholds:
        """Raises KeyError, TypeError, ValueError or AttributeError for a mapping that is none."""
        found = {name: Calibration.from_json(raw[name]) for name in ("head", "brain") if name in raw}
        if not found:
            raise ValueError("neither of heads nor of brains")
        return cls(**found)


def read(path: str | Path, weights: str) -> Thresholds:
    """The file that task=calibrate wrote. Raises DataError for another file, or one of other weights."""
    try:
        found = Thresholds.from_json(json.loads(expanded(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"calibration={path}: not a file that task=calibrate wrote ({error})") from None
    if weights and any(one.weights not in ("", weights) for one in found.known):
        raise DataError(f"calibration={path}: measured with other weights; run task=calibrate with these")
    return found


def left_out(scans: Sequence[Counts], fpr: float) -> np.ndarray:
    """What a rate comes to in a scan that was not counted: [n, 2], voxels marked at the threshold that all the other
    scans have for ``fpr``, and voxels looked at. Scans whose others cannot tell the rate are left out of the list."""
    found = []
    for k, one in enumerate(scans):
        try:
            threshold = Calibration.of(Counts.sum([*scans[:k], *scans[k + 1 :]]), 0.0).at(fpr)
        except (DataError, UsageError):
            continue
        own = Calibration.of(one, 0.0).rates(threshold)[0] if one.least is not None else 0.0
        found.append((own * one.voxels, one.voxels))
    return np.array(found, float).reshape(-1, 2)


def clear_of(lesion: np.ndarray, thickness: float) -> np.ndarray:
    """Which axial slices of a mask [X, Y, Z] are healthy: 5 mm or more from any slice with a lesion; bool [Z]."""
    ill = np.flatnonzero(lesion.any((0, 1)))
    if not ill.size:
        return np.ones(lesion.shape[2], bool)
    away = np.abs(np.arange(lesion.shape[2])[:, None] - ill).min(1) * thickness
    return away >= max(_CLEAR, thickness + 1e-6)
