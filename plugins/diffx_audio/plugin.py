"""The hooks of audio."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import diffx
from diffx.condition import Class, Scalar
from diffx.data.spec import Spec

from .config import AudioConfig


@diffx.hookimpl
def diffx_config() -> type[AudioConfig]:
    return AudioConfig


@diffx.hookimpl
def diffx_data(cfg: AudioConfig, split: str) -> Any:
    from .codec import codec_of
    from .data import Stretches
    from .pack import load_sounds

    sounds, codec = load_sounds(cfg), codec_of(cfg.codec)
    frames = codec.frames(round(cfg.data.seconds * codec.rate))
    if split == "train":
        return Stretches(sounds, sounds.of(False), codec, frames, cfg.data.transpose, cfg.seed)
    return Stretches(sounds, sounds.of(True), codec, frames, count=None)


@diffx.hookimpl
def diffx_conditioning(cfg: AudioConfig, spec: Spec) -> Mapping[str, Any]:
    from .data import LONGEST, SHORTEST
    from .timing import Frames

    width = cfg.net.condition
    named = (entry.partition(":") for entry in cfg.classes)
    classes = {name: Class(labels.split("|"), width) for name, _, labels in named}
    pitch = {"pitch": Scalar(20, 110, width)} if "pitch" in spec.fields else {}
    return {
        "frames": Frames(spec.size),
        "seconds": Scalar(math.log(SHORTEST), math.log(LONGEST), width),
        **pitch,
        **classes,
    }
