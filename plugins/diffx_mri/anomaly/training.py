"""What a training reads, and what its weights have to keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from diffx.io.home import expanded

from .config import AnomalyConfig
from .data import Made, prepare
from .lesions import Blobs, Shapes


def training_data(
    cfg: AnomalyConfig,
    log: Callable[[str], None] = lambda text: None,
    fail: Callable[[str, str], None] = lambda item, reason: None,
) -> tuple[dict[str, Made], dict[str, Any]]:
    """The sets "train" and "val" of ``data.root``, and facts for the weights. Raises DataError, UsageError."""
    slices = prepare(cfg, log, fail)
    folder = cfg.data.shapes
    shapes = Shapes.read(expanded(folder), "train", cfg.data.cache, log) if folder else Blobs()
    sets = {split: Made(slices, split, shapes, cfg.method, cfg.seed) for split in ("train", "val")}
    return sets, {"licence": slices.licence, "contrast": slices.contrast}
