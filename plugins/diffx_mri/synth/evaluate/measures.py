"""The shipped measures in one file: segmenter, encoder and age regression, and what they read of a set of brains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from diffx.errors import DataError
from diffx.io import checkpoint
from diffx.plugins.weights import resolve_weights

from ..segmentation.segment import FORMAT, SHIPPED, litres, segment, segmenter
from .ages import AgeRegression, anatomy
from .encoder import Encoder, encode


@dataclass(frozen=True)
class Readings:
    """Of N brains: `features` [N, 16], uncorrelated and of spread 1 over the varied training brains (`Lessons.unit`);
    `tissues` uint8 [N, X, Y, Z]; `litres` [N, 4] of grey matter, white matter, ventricles, other brain; `years` [N],
    the age read."""

    features: Tensor
    tissues: np.ndarray
    litres: Tensor
    years: Tensor

    @property
    def brain(self) -> Tensor:
        """Brain volume [N], litres: all classes."""
        return self.litres.sum(1)

    @property
    def ventricles(self) -> Tensor:
        """Ventricle volume [N], millilitres."""
        return 1000 * self.litres[:, 2]


@dataclass
class Measures:
    """`mean` [16] and `axes` [16, 16] make the encoder's features comparable (`Lessons.unit`); `facts`: JSON-able, of
    the training."""

    segmenter: nn.Module
    encoder: Encoder
    ages: AgeRegression
    mean: Tensor
    axes: Tensor
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def encoder_sha256(self) -> str:
        """Of the encoder's weights and the unit of its features: figures compare only where it is the same."""
        named = {**self.encoder.state_dict(), "features.mean": self.mean, "features.axes": self.axes}
        return checkpoint.digest(named, {"format": FORMAT})

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises DataError for brains on another grid than the measures were made for."""
        wanted = self.facts["grid"]
        if list(shape) != wanted:
            raise DataError(f"the measures are for a grid of {wanted}, the codec of these weights has {list(shape)}")

    def features(self, images: np.ndarray) -> Tensor:
        """Features float64 [N, 16], as in `Readings`, of brains uint8 [N, X, Y, Z]."""
        return (encode(self.encoder, images) - self.mean.double()) @ self.axes.double()

    def read(self, images: np.ndarray, affine: np.ndarray, tick: Callable[[], None] = lambda: None) -> Readings:
        """Of brains uint8 [N, X, Y, Z] as `kept.to_bytes` makes them; `tick` is called after each."""
        tissues = []
        for image in images:
            tissues.append(segment(self.segmenter, image))
            tick()
        volumes = np.stack([litres(t, affine) for t in tissues])
        every = np.stack(tissues)
        return Readings(self.features(images), every, torch.from_numpy(volumes), self.ages(anatomy(every)))

    def save(self, path: str | Path, **meta: Any) -> None:
        """Write as safetensors, networks in fp16, whole or not at all."""
        tensors = {f"segmenter.{k}": v for k, v in self.segmenter.state_dict().items()}
        tensors |= {f"encoder.{k}": v for k, v in self.encoder.state_dict().items()}
        half = {name: tensor.half() for name, tensor in tensors.items()}
        half |= {"features.mean": self.mean.float(), "features.axes": self.axes.float()}
        half |= {"ages.mean": self.ages.mean.half(), "ages.weight": self.ages.weight.float()}  # small numbers, many
        half["ages.errors"] = self.ages.errors.float()
        ages = {"centre": self.ages.centre, "penalty": self.ages.penalty}
        checkpoint.save(path, half, {"measures": FORMAT, "ages": ages, "facts": self.facts, **meta})

    @classmethod
    def load(cls, source: str | Path = SHIPPED) -> Measures:
        """From an id, a file or a run folder. Raises DataError where it is missing, damaged or something else."""
        path = resolve_weights(source, "mri_synth")
        tensors, meta = checkpoint.load(path)
        if meta.get("measures") != FORMAT:
            raise DataError(f"{path} holds no measures of brains; task=train_measures makes them")
        full = {name: tensor.float() for name, tensor in tensors.items()}
        net, encoder = segmenter(), Encoder(meta["facts"]["grid"])
        checkpoint.load_into(net, checkpoint.under(full, "segmenter"), path)
        checkpoint.load_into(encoder, checkpoint.under(full, "encoder"), path)
        part = checkpoint.under(full, "ages")
        ages = AgeRegression(part["mean"], part["weight"], **meta["ages"], errors=part["errors"])
        features = checkpoint.under(full, "features")
        return cls(net, encoder, ages, features["mean"], features["axes"], meta["facts"])
