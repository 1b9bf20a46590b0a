"""Evaluation: figures with what they are to be compared with, the goals they meet or miss, and the worst cases.

Light to import; only :func:`estimate` and :func:`compare` load torch, when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffx.evaluation.cases import Ranking, typical, worst
from diffx.evaluation.figure import LEAST, Baseline, Figure, Goal, is_figure, judged, to_json

if TYPE_CHECKING:
    from diffx.evaluation.estimates import compare, estimate

__all__ = [
    "LEAST",
    "Baseline",
    "Figure",
    "Goal",
    "Ranking",
    "compare",
    "estimate",
    "is_figure",
    "judged",
    "to_json",
    "typical",
    "worst",
]


def __getattr__(name: str) -> Any:
    if name in ("estimate", "compare"):
        from diffx.evaluation import estimates

        return getattr(estimates, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
