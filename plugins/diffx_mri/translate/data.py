"""Packed slices as what training reads: each contrast from each, and mirrored."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffx.data import assign, cache_key
from diffx.errors import DataError, UsageError
from diffx.io.cache import cache_path

from ..bids import tables_of
from ..contrast import Contrast, find_contrast
from ..packed_once import packed_once
from ..slices import SliceGrid
from .config import TranslateConfig
from .intensity import to_state
from .pack import FORMAT, Slices, pack, read_slices

_VALIDATED = 64  # slices, evenly chosen: a validation is to take seconds


class Pairs:
    """Items ``{"x": [1, size, size], "source": [3, size, size], "given", "wanted": names, "height": 0..1}``.

    ``x`` is a slice of the contrast wanted, ``source`` that slice of the contrast given between its neighbours, NaN
    beyond the ends of the scan; ``height`` counts from the lowest slice with head. For "train" every slice with head,
    every ordered pair of contrasts, as it is and left-right mirrored; for "val" a choice of them.
    """

    def __init__(self, slices: Slices, split: str):
        self.slices = slices
        self.items: list[tuple[dict[str, Any], int, str, str, bool]] = [
            (row, k, given, wanted, mirrored)
            for row in slices.select(split)
            for k in range(row["low"], row["high"] + 1)
            for given in row["has"]
            for wanted in row["has"]
            if given != wanted
            for mirrored in ((False, True) if split == "train" else (False,))
        ]
        if split != "train":
            self.items = self.items[:: max(1, -(-len(self.items) // _VALIDATED) | 1)]  # odd: of both directions

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row, k, given, wanted, mirrored = self.items[index]
        away = int(np.ceil(max(1.0, self.slices.grid.gap / row["thickness"])))
        first = max(0, k - away)
        part = {**row, "first": row["first"] + first, "count": min(row["count"], k + away + 1) - first}
        around = self.slices.grid.neighbours(self.slices.scan(part, given), row["thickness"])[k - first]
        target = self.slices.scan({**row, "first": row["first"] + k, "count": 1}, wanted)
        x, source = (torch.from_numpy(to_state(values)).float() for values in (target, around))
        if mirrored:
            x, source = x.flip(-2), source.flip(-2)
        height = (k - row["low"]) / max(row["high"] - row["low"], 1)
        return {"x": x, "source": source, "given": given, "wanted": wanted, "height": height}


def prepare(
    cfg: TranslateConfig,
    log: Callable[[str], None] = lambda text: None,
    fail: Callable[[str, str], None] = lambda item, reason: None,
) -> Slices:
    """The slices of ``data.root``, packed now unless that was done before. Raises DataError, UsageError."""
    slices, file = packed_once(
        cfg.data.root,
        partial(packed_file, cfg),
        lambda root, file: pack(root, file, cfg.data.contrasts, grid_of(cfg), log, fail),
        read_slices,
        log,
        fail,
    )
    wanted = [Contrast.of(name).name for name in cfg.data.contrasts]
    if slices.contrasts != wanted or slices.grid != grid_of(cfg):
        raise DataError(f"{file} holds {', '.join(slices.contrasts)}, on {slices.grid}; say so in data.*")
    assign(slices.rows, cfg.data.split, cfg.seed)
    return slices


def grid_of(cfg: TranslateConfig) -> SliceGrid:
    """The grid that ``data.*`` describes. Raises UsageError where the network cannot fold it."""
    if cfg.data.size % cfg.net.fold:
        raise UsageError(f"data.size={cfg.data.size} has to be a multiple of net.fold={cfg.net.fold}")
    return SliceGrid(cfg.data.size, cfg.data.spacing, cfg.data.gap)


def packed_file(cfg: TranslateConfig, root: Path) -> Path:
    """Where the packed slices of this folder lie: one file for each set of scans, contrasts and grid."""
    paths = [path for name in cfg.data.contrasts for path in find_contrast(root, Contrast.of(name)).values()]
    key = cache_key(FORMAT, str(grid_of(cfg)), files=[*paths, *tables_of(root)])
    return cache_path(cfg.data.cache, f"{key}.safetensors", plugin="mri_translate")
