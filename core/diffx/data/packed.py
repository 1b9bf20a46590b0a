"""Packed arrays: a training set in one safetensors file, with a JSON index of what is in it.

Arrays are mapped into memory, not read: a file larger than memory is fine, and workers share its pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffx.errors import DataError
from diffx.io import checkpoint

__all__ = ["Packed", "pack_arrays", "read_arrays"]


@dataclass(frozen=True)
class Packed:
    """``arrays`` by name, mapped into memory, and the ``index``: rows, names, units, ... as lists and mappings."""

    arrays: Mapping[str, Tensor]
    index: Mapping[str, Any]


def pack_arrays(
    path: str | Path, kind: str, arrays: Mapping[str, Tensor | np.ndarray], index: Mapping[str, Any]
) -> Path:
    """Write arrays and their index; the file appears whole or not at all.

    Args:
        path: of the file.
        kind: what is packed, with the version of its form, as in "brain latents 2".
        arrays: by name, of any shape and type.
        index: JSON-able.
    """
    tensors = {name: torch.as_tensor(array) for name, array in arrays.items()}
    checkpoint.save(path, tensors, {"packed": kind, "index": dict(index)})
    return Path(path)


def read_arrays(path: str | Path, kind: str, verify: bool = True) -> Packed:
    """What :func:`pack_arrays` wrote.

    Args:
        path: of the file.
        kind: what it has to hold.
        verify: compare the sha256 in its header, which reads all of it once.

    Raises:
        DataError: the file is missing, damaged, or holds something else.
    """
    meta = checkpoint.read_meta(path)
    if meta.get("packed") != kind:
        raise DataError(f"{path} holds {meta.get('packed') or meta.get('kind') or 'something else'}, not {kind}")
    tensors, meta = checkpoint.load(path, verify)
    return Packed(tensors, meta["index"])
