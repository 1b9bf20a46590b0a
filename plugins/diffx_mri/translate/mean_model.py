"""A trained regression: what a contrast is expected to be, given another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from diffx.errors import DataError
from diffx.pipeline import Pipeline

from ..slice_net import Regression
from ..slices import SliceGrid, heights
from .config import PLUGIN, SliceSampling
from .intensity import to_state


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


class MeanModel:
    """The conditional median of each slice. Made by :meth:`load` from a file, by :meth:`from_tensors` from inside one.

    Args:
        pipeline: of a :class:`Regression`.
    """

    def __init__(self, pipeline: Pipeline):
        self.pipeline, self.config, self.meta = pipeline, pipeline.config, pipeline.meta

    @classmethod
    def load(cls, source: str | Path, device: str = "auto") -> MeanModel:
        """Raises DataError where the file holds no regression."""
        pipeline = Pipeline.load(source, device, plugin=PLUGIN)
        if not isinstance(pipeline.process, Regression):
            raise DataError(f"{pipeline.path} holds no regression; train one with regression=true")
        return cls(pipeline)

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, Tensor], meta: Mapping[str, Any], path: Path, device: str = "auto"
    ) -> MeanModel:
        """Inverse of :meth:`to_tensors`; ``path`` is named in errors."""
        return cls(Pipeline.from_checkpoint(tensors, meta, path, device=device, plugin=PLUGIN))

    def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Parameters in fp16, and what :meth:`from_tensors` has to know of them, JSON-able."""
        parameters = {name: value.cpu().half() for name, value in self.pipeline.model.state_dict().items()}
        return parameters, {key: self.meta[key] for key in ("plugin", "config", "spec", "step", "sha256")}

    def __call__(self, stack: Stack, grid: SliceGrid, given: str, wanted: str, batch: int = 16) -> np.ndarray:
        """The contrast wanted, as the network's state [Z, size, size] float32; slices without head are air."""
        records, filled = stack.records(grid, given, wanted), stack.filled
        answers = self.pipeline.draw(
            [records[k] for k in filled],
            [0] * len(filled),
            SliceSampling(batch=batch, guidance=1.0),
            shape=(1, *stack.slices.shape[1:]),
        )
        out = np.full(stack.slices.shape, to_state(np.zeros(1))[0], np.float32)
        for k, answer in zip(filled, answers, strict=True):
            out[k] = answer[0].float().numpy()
        return out
