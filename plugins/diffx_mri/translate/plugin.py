"""The hooks of mri_translate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

import diffx
from diffx import defaults
from diffx.condition import Class, Conditioning, Scalar, Spatial
from diffx.data.spec import Spec
from diffx.plan import Plan
from diffx.process import Gaussian

from ..contrast import Contrast
from ..slice_net import Regression, slice_net
from .config import TranslateConfig


@diffx.hookimpl
def diffx_config() -> type[TranslateConfig]:
    return TranslateConfig


@diffx.hookimpl
def diffx_data(cfg: TranslateConfig, split: str) -> Any:
    from .training import training_data

    return training_data(cfg).sets[split]


@diffx.hookimpl
def diffx_conditioning(cfg: TranslateConfig, spec: Spec) -> Mapping[str, Any]:
    names = [Contrast.of(name).name for name in cfg.data.contrasts]
    fields = {
        "source": Spatial(3, spec.size),
        "given": Class(names, cfg.net.condition),
        "wanted": Class(names, cfg.net.condition),
        "height": Scalar(0.0, 1.0, cfg.net.condition),
    }
    return fields if cfg.regression else {**fields, "expected": Spatial(1, spec.size)}


@diffx.hookimpl
def diffx_denoiser(cfg: TranslateConfig, spec: Spec, conditioning: Conditioning) -> nn.Module | None:
    if cfg.net.name != "unet":
        return None  # the core answers
    return slice_net(cfg, spec, conditioning)


@diffx.hookimpl
def diffx_process(cfg: TranslateConfig, spec: Spec) -> Gaussian:
    process = defaults.diffx_process(cfg, spec)
    if not cfg.regression:
        return process
    return Regression(process.schedule, process.sigma_data, process.noise_distribution, process.weight)


@diffx.hookimpl
def diffx_plan(cfg: TranslateConfig, process: Any) -> Plan | None:
    return process.answer if isinstance(process, Regression) else None  # the core answers
