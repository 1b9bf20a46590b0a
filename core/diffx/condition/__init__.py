"""Conditioners: from a plugin's named fields to what a network understands.

A field that is missing (None, NaN) is something learned for that purpose, so a record without an age still trains the
network and a user may leave it out; guidance drops fields to the same.
"""

from __future__ import annotations

import warnings
from typing import Any

from diffx.condition.base import Condition, Conditioner, Vector, is_missing
from diffx.condition.class_label import Class
from diffx.condition.conditioning import Conditioning, Values, drop, forget
from diffx.condition.scalar import Scalar
from diffx.condition.spatial import Spatial
from diffx.condition.tokens import Tokens

__all__ = [
    "Class",
    "Condition",
    "Conditioner",
    "Conditioning",
    "Scalar",
    "Spatial",
    "Tokens",
    "Values",
    "Vector",
    "drop",
    "forget",
    "is_missing",
]

_FORMER = {"Label": Class, "Map": Spatial, "Number": Scalar}


def __getattr__(name: str) -> Any:
    if name not in _FORMER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    now = _FORMER[name]
    warnings.warn(f"diffx.condition.{name} is now called {now.__name__}", FutureWarning, stacklevel=2)
    return now
