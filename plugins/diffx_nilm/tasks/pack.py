"""`task=pack`: metered houses as one file, to train on elsewhere."""

from __future__ import annotations

from typing import Any

from ..data import packed
from ..pack import save_packed


def pack(run: Any) -> None:
    """The houses of ``data.root`` as ``samples/houses.safetensors``, which ``data.root=`` takes: 10 bytes a period."""
    houses, appliances = packed(run.cfg, run.log)
    path = run.samples / "houses.safetensors"
    save_packed(path, houses, appliances, run.cfg.data.period)
    run.log(f"{len(houses)} houses, {path.stat().st_size / 2**20:.1f} MiB: {path}")
