"""What a method has to beat: never on, gradient boosting on ten minutes around, and the field's usual network.

Each is ``X.fit(houses, appliances, seed) -> X`` and ``x.predict(mains [T]) -> parts [A, T]`` in W (NaN where the mains
are not known); a file holds several, :func:`save_all` and :func:`load_all`.
"""

from __future__ import annotations

from .base import Baseline
from .bundle import BASELINES, fit_all, load_all, save_all
from .gbm import GradientBoosting
from .off import AlwaysOff
from .seq2point import Seq2Point

__all__ = ["BASELINES", "AlwaysOff", "Baseline", "GradientBoosting", "Seq2Point", "fit_all", "load_all", "save_all"]
