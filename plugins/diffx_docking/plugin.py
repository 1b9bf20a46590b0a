"""The hooks of docking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import diffx
from diffx.data.spec import Spec

from .config import DockConfig


@diffx.hookimpl
def diffx_config() -> type[DockConfig]:
    return DockConfig


@diffx.hookimpl
def diffx_data(cfg: DockConfig, split: str) -> Any:
    from .data import Poses

    return Poses(cfg, split)


@diffx.hookimpl
def diffx_conditioning(cfg: DockConfig, spec: Spec) -> Mapping[str, Any]:
    return {}


@diffx.hookimpl
def diffx_process(cfg: DockConfig, spec: Spec) -> Any:
    from .process import pose_process

    return pose_process()


@diffx.hookimpl
def diffx_doctor() -> Iterable[tuple[str, bool, str]]:
    from .validity import OWN, posebusters_installed

    there = posebusters_installed()
    line = (
        "installed"
        if there
        else f"not installed: poses get the {OWN} instead; pip install 'diffx-suite[docking-bench]'"
    )
    return [("PoseBusters", True, line)]
