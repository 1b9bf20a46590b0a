"""The hooks of nilm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import diffx
from diffx.condition import Scalar, Spatial
from diffx.data.spec import Spec

from .appliances import called, named, usage_key
from .config import PowerConfig
from .features import MAPS


@diffx.hookimpl
def diffx_config() -> type[PowerConfig]:
    return PowerConfig


@diffx.hookimpl
def diffx_data(cfg: PowerConfig, split: str) -> Any:
    from . import data
    from .mix import Mixture, Windows

    houses, appliances = data.packed(cfg)
    houses = data.split(cfg, houses, split)
    if split == "train":
        return Mixture(houses, appliances, cfg.net.window, cfg.data.period, seed=cfg.seed, started=bool(cfg.from_))
    return Windows(houses, appliances, cfg.net.window, cfg.data.period)


@diffx.hookimpl
def diffx_process(cfg: PowerConfig, spec: Spec) -> Any:
    from diffx.defaults import diffx_process as usual

    from .process import PartlyKnown

    cycling = [bool((one := called(name)) and one.cycling) for name in named(cfg.appliances)]
    return PartlyKnown.of(usual(cfg=cfg, spec=spec), [cfg.process.cycling if runs else 1.0 for runs in cycling])


@diffx.hookimpl
def diffx_conditioning(cfg: PowerConfig, spec: Spec) -> Mapping[str, Any]:
    usage = {usage_key(name): Scalar(0, 1, cfg.net.condition) for name in named(cfg.appliances)}
    return {"mains": Spatial(MAPS, spec.size), **usage}
