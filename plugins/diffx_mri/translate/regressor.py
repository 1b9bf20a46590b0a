"""A trained regression: what a contrast is expected to be, given another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffx import plugins
from diffx.build import build, recorded, restore
from diffx.data.spec import Spec
from diffx.errors import DataError
from diffx.io import checkpoint
from diffx.nets.model import Model
from diffx.noise import Noise
from diffx.state import each
from diffx.tasks import ready

from .config import PLUGIN, TranslateConfig
from .grid import SliceGrid, heights
from .intensity import to_state
from .regression import Regression


@dataclass(frozen=True)
class Stack:
    """Normalised slices [Z, size, size] of a scan, the mask of its head, and the distance of its slices in mm."""

    slices: np.ndarray
    mask: np.ndarray
    thickness: float

    @property
    def filled(self) -> list[int]:
        """The slices that show some head."""
        return [k for k in range(len(self.mask)) if self.mask[k].any()]

    def records(self, grid: SliceGrid, given: str, wanted: str) -> list[dict[str, Any]]:
        """What a network is told of each slice."""
        around, where = to_state(grid.neighbours(self.slices, self.thickness)), heights(self.mask)
        told = {"given": given, "wanted": wanted}
        return [{"source": image, "height": float(at), **told} for image, at in zip(around, where, strict=True)]


class Regressor:
    """The conditional median of each slice. Made by :meth:`load` from a file, by :meth:`from_tensors` from inside one.

    ``meta``: the header it came with.
    """

    def __init__(self, model: Model, process: Regression, config: TranslateConfig, meta: Mapping[str, Any]):
        self.model, self.process, self.config, self.meta = model, process, config, dict(meta)

    @classmethod
    def load(cls, path: Path) -> Regressor:
        """Raises DataError where the file holds no regression."""
        model, process, config, _, _, meta = restore(plugins.load(PLUGIN, ()), TranslateConfig, path)
        if not isinstance(process, Regression):
            raise DataError(f"{path} holds no regression; train one with regression=true")
        return cls(model, process, config, meta)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], meta: Mapping[str, Any], path: Path) -> Regressor:
        """Inverse of :meth:`to_tensors`; ``path`` is named in errors."""
        config = recorded(TranslateConfig, dict(meta), path)
        model, process = build(plugins.load(PLUGIN, ()), config, Spec.from_json(meta["spec"]))
        checkpoint.load_into(model, tensors, path)
        return cls(model.eval(), process, config, meta)

    def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Parameters in fp16, and what :meth:`from_tensors` has to know of them, JSON-able."""
        parameters = {name: value.cpu().half() for name, value in self.model.state_dict().items()}
        return parameters, {key: self.meta[key] for key in ("plugin", "config", "spec", "step", "sha256")}

    @torch.no_grad()
    def __call__(
        self, stack: Stack, grid: SliceGrid, given: str, wanted: str, batch: int = 16, device: str = "auto"
    ) -> np.ndarray:
        """The contrast wanted, as the network's state [Z, size, size] float32; slices without head are air."""
        place = ready(self.model, device)
        values = self.model.conditioning.collate(stack.records(grid, given, wanted))
        out = np.full(stack.slices.shape, to_state(np.zeros(1))[0], np.float32)
        filled = stack.filled
        for first in range(0, len(filled), batch):
            chosen = filled[first : first + batch]
            condition = self.model.conditioning(each(lambda field, chosen=chosen: field[chosen], values))
            x = self.process.prior((1, *stack.slices.shape[1:]), Noise([0] * len(chosen), place))
            answer = self.model.denoiser(x, self.process.schedule.t_max, condition)
            out[chosen] = answer[:, 0].float().cpu().numpy()
        return out
