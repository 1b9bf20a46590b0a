"""What a method has to beat: never on, gradient boosting on ten minutes around, and the field's usual network.

Each is ``X.fit(houses, appliances, seed) -> X``, ``x.predict(mains [T]) -> parts [A, T]`` in W (NaN where the mains are
not known), ``x.save(path)`` and :func:`load`.
"""

from __future__ import annotations

from pathlib import Path

from diffx.checkpoint import read_meta
from diffx.errors import DataError

from .base import Baseline
from .gbm import GradientBoosting
from .off import AlwaysOff
from .seq2point import Seq2Point

__all__ = ["BASELINES", "AlwaysOff", "Baseline", "GradientBoosting", "Seq2Point", "load"]

BASELINES: dict[str, type[Baseline]] = {
    "always_off": AlwaysOff,
    "gbm": GradientBoosting,
    "seq2point": Seq2Point,
}


def load(path: str | Path) -> Baseline:
    """A saved baseline of any kind. DataError for a file that is missing, damaged or none."""
    kind = read_meta(path).get("kind")
    if kind not in BASELINES:
        raise DataError(f"{path}: holds no baseline")
    return BASELINES[kind].load(path)
