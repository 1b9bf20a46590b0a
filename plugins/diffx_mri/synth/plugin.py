"""The hooks of mri_synth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

import diffx
from diffx.condition import Class, Conditioning, Scalar
from diffx.data.spec import Spec
from diffx.defaults import unet

from .config import AGES, SynthConfig


@diffx.hookimpl
def diffx_config() -> type[SynthConfig]:
    return SynthConfig


@diffx.hookimpl
def diffx_data(cfg: SynthConfig, split: str) -> Any:
    from .data import Latents, prepare, stage_crops

    if cfg.stage:
        return stage_crops(cfg)[0][split]
    codec, packed = prepare(cfg)
    return Latents(packed, packed.select(split), codec)


@diffx.hookimpl
def diffx_conditioning(cfg: SynthConfig) -> Mapping[str, Any]:
    if cfg.stage:
        from .cascade.condition import Age, Coarse, Place, Sex

        return {"coarse": Coarse(), "place": Place(), "age": Age(*AGES), "sex": Sex()}
    return {"age": Scalar(*AGES, cfg.net.condition), "sex": Class(("F", "M"), cfg.net.condition)}


@diffx.hookimpl
def diffx_denoiser(cfg: SynthConfig, spec: Spec, conditioning: Conditioning) -> nn.Module | None:
    if cfg.net.name != "unet" or not cfg.net.positions or cfg.stage:
        return None  # the core answers
    # positions of the grid are anatomy: the network may know where it is
    return unet(cfg, spec, conditioning, positions=spec.size, position_channels=cfg.net.positions)
