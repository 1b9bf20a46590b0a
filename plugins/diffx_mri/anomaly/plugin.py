"""The hooks of mri_anomaly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

import diffx
from diffx import defaults
from diffx.condition import Conditioning, Spatial
from diffx.data.spec import Spec
from diffx.plan import Plan
from diffx.process import Gaussian

from ..slice_net import slice_net
from .config import AnomalyConfig
from .model import Healing, HealingRegression


@diffx.hookimpl
def diffx_config() -> type[AnomalyConfig]:
    return AnomalyConfig


@diffx.hookimpl
def diffx_data(cfg: AnomalyConfig, split: str) -> Any:
    from .training import training_data

    return training_data(cfg)[0][split]


@diffx.hookimpl
def diffx_conditioning(cfg: AnomalyConfig, spec: Spec) -> Mapping[str, Any]:
    return {"source": Spatial(3, spec.size)}


@diffx.hookimpl
def diffx_denoiser(cfg: AnomalyConfig, spec: Spec, conditioning: Conditioning) -> nn.Module | None:
    if cfg.net.name != "unet":
        return None  # the core answers
    return slice_net(cfg, spec, conditioning)


@diffx.hookimpl
def diffx_process(cfg: AnomalyConfig, spec: Spec) -> Gaussian:
    gaussian = defaults.diffx_process(cfg, spec)
    kind = Healing if cfg.method == "diffusion" else HealingRegression
    return kind(gaussian.schedule, gaussian.sigma_data, gaussian.noise_distribution, gaussian.weight)


@diffx.hookimpl
def diffx_plan(cfg: AnomalyConfig, process: Any) -> Plan | None:
    return process.answer if isinstance(process, HealingRegression) else None  # the core answers
