"""Names that tensors had in weights and checkpoints of earlier releases."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TypeVar

T = TypeVar("T")

#: (regular expression, replacement), each applied to the whole key in turn
RENAMED: list[tuple[str, str]] = [
    (r"(^|\.)frames\.", r"\1preconditioners."),
    (r"(^|\.)spread$", r"\1element_sigma_data"),
    (r"(^|\.)enter\.", r"\1conv_in."),  # U-Net, DiT
    (r"(^|\.)leave\.0\.", r"\1norm_out."),  # U-Net
    (r"(^|\.)leave\.(2\.)?", r"\1conv_out."),  # U-Net, DiT
    (r"(^|\.)last\.", r"\1modulation_out."),  # DiT
    (r"(^|\.)(encoder|decoder)\.0\.", r"\1\2.conv_in."),  # autoencoder: first layer, and last
    (r"(^|\.)(encoder|decoder)\.\d+\.", r"\1\2.conv_out."),
]


def current(tensors: Mapping[str, T], known: Collection[str]) -> dict[str, T]:
    """Tensors under today's names.

    Args:
        tensors: by the name they were saved under.
        known: the names of today. A tensor of one of these keeps its name, and so does one whose new name is not among
            them.
    """
    return {name if name in known else _renamed(name, known): tensor for name, tensor in tensors.items()}


def _renamed(name: str, known: Collection[str]) -> str:
    new = name
    for pattern, replacement in RENAMED:
        new = re.sub(pattern, replacement, new)
    return new if new in known else name
