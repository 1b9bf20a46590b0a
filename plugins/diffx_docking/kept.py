"""Searches that are kept in files, so that another ranking of the same poses does not search again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from diffx.io import checkpoint

from .config import SearchConfig
from .diffusion import scores_file
from .search import Found


def question(search: SearchConfig, seed: int, scores: str | None) -> dict[str, Any]:
    """All that the poses of a search depend on beside the complex; the network of scores where it guides."""
    guided = None if search.guidance == "energy" else digest(scores)
    return {"search": vars(search), "seed": seed, "scores": guided}


def digest(scores: str | None) -> str:
    """The checksum in the file of a network of scores."""
    return str(checkpoint.read_meta(scores_file(scores))["sha256"])


def kept(path: Path, asked: Mapping[str, Any], search: Callable[[], Found]) -> Found:
    """What a search found, from the file if that holds an answer to the same question; otherwise it is made and kept.

    Args:
        path: of the file.
        asked: :func:`question`.
        search: of one box.
    """
    if path.exists():
        tensors, meta = checkpoint.load(path)
        if {name: meta.get(name) for name in asked} == asked:
            drawn = tensors["drawn"].bool() if "drawn" in tensors else None
            return Found(tensors["positions"], tensors["energies"], spent=tuple(meta["spent"]), drawn=drawn)
    found = search()
    meta = {"kind": "searched poses", "spent": list(found.spent), **asked}
    tensors = {"positions": found.positions, "energies": found.energies}
    if found.drawn is not None:
        tensors["drawn"] = found.drawn.to(torch.uint8)
    checkpoint.save(path, tensors, meta)
    return found
