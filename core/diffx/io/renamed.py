"""Names of tensors in files that were written before a module was renamed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TypeVar

T = TypeVar("T")

#: pattern in a former name -> what it is now; tried in order on names that the module does not have
RENAMED = [
    (r"\benter\.", "conv_in."),  # U-Net, DiT
    (r"\bleave\.0\.", "norm_out."),  # U-Net
    (r"\bleave\.2\.", "conv_out."),
    (r"\bleave\.", "conv_out."),  # DiT
    (r"\blast\.", "modulation_out."),
    (r"\b(encoder|decoder)\.0\.", r"\1.conv_in."),  # autoencoder
    (r"\b(encoder|decoder)\.\d+\.", r"\1.conv_out."),
]


def renamed(tensors: Mapping[str, T], expected: Collection[str]) -> dict[str, T]:
    """The tensors under the names that a module has for them today.

    Args:
        tensors: by the name they were saved under.
        expected: names that the module has.

    Returns:
        the same tensors; those that no rule gives an expected name keep their own.
    """
    return {_today(name, expected): tensor for name, tensor in tensors.items()}


def _today(name: str, expected: Collection[str]) -> str:
    if name in expected:
        return name
    candidates = (re.sub(pattern, now, name) for pattern, now in RENAMED)
    return next((found for found in candidates if found in expected), name)
