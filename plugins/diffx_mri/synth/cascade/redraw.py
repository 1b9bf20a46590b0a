"""The stages on a scan: detail that the prior leaves soft is drawn anew and held to what the scan shows.

The scan, with what the prior restored of it, is brought to the canvas, averaged to the coarse voxels of a stage, and
refined from there. At every step what is predicted is corrected by what is known (for filling: Lugmayr et al. 2022; for
slices, the null space of their means: Wang, Yu and Zhang 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from diffx.config import SampleConfig

from ...codec import BrainCodec
from ...placed import Placed
from ...tone import Tone
from ...volume import means
from ..segmentation.kept import SILENT
from .draw import Box, Refiner
from .place import extent
from .stages import SOURCE

_AROUND = 12  # voxels of 2 mm that are drawn around a hole, so that what is in it goes on from there
_GRID = 4  # voxels of 2 mm to which that box is rounded: one of the coarsest that any stage begins with
_HOLE = 0.01  # share of a voxel in the hole from which it is not known


class Frame:
    """The canvas of a codec beside the grid of a scan, of that `affine` and shape, that was `placed` in it."""

    def __init__(self, codec: BrainCodec, placed: Placed, affine: np.ndarray, shape: Sequence[int]):
        canvas, self.shape = codec.geometry.canvas, tuple(shape)
        to_canvas = np.linalg.inv(codec.affine) @ np.linalg.inv(_rigid(placed)) @ affine  # index to index
        self._canvas, self._pull, self._push = canvas, to_canvas, np.linalg.inv(to_canvas)

    def to_canvas(self, data: np.ndarray, order: int = 3) -> np.ndarray:
        """float32 on the canvas, of values on the scan's grid; 0 outside its field of view."""
        return _drawn_on(data, self._push, self._canvas, order)

    def to_scan(self, data: np.ndarray, order: int = 3) -> np.ndarray:
        """float32 on the scan's grid, of values on the canvas; 0 outside that."""
        return _drawn_on(data, self._pull, self.shape, order)


def _rigid(placed: Placed) -> np.ndarray:
    """From the canvas to the scan's world, mm."""
    matrix = placed.pose.copy()
    matrix[:3, 3] += placed.shift
    return matrix


def _drawn_on(data: np.ndarray, pull: np.ndarray, shape: tuple[int, ...], order: int) -> np.ndarray:
    data = np.asarray(data, dtype=np.float32)
    return ndimage.affine_transform(data, pull[:3, :3], pull[:3, 3], output_shape=shape, order=order)


def seen(frame: Frame, scan: np.ndarray, tone: Tone) -> Tensor:
    """A brain (1.0: the 99th percentile, 0 outside) on the canvas, as the stages know brains."""
    data = frame.to_canvas(scan)
    return torch.from_numpy(tone.home(np.where(data > SILENT, data, np.float32(0))))


def thinned(
    stage: Refiner, frame: Frame, scan: np.ndarray, factors: tuple[int, int, int], tone: Tone, age: float | None,
    sex: str | None, seed: int, options: SampleConfig, weight: float = 1.0,
) -> np.ndarray:  # fmt: skip
    """What the stage would change of a scan of thin slices, on the scan's grid: detail that their means do not show.

    `scan` [X, Y, Z] as `seen` has it, averaging to what was measured over `factors` voxels; `weight` as `Refiner.draw`.
    """
    brain = seen(frame, scan, tone)
    before = tone.site(brain)

    def changed(volume: Tensor, order: int) -> np.ndarray:
        return frame.to_scan((tone.site(volume.clamp_min(0)) - before).numpy(), order)

    def hold(volume: Tensor) -> Tensor:
        wrong = means(changed(volume, 1), factors)
        for axis, factor in enumerate(factors):
            wrong = wrong.repeat(factor, axis)
        right = tone.site(volume.clamp_min(0)) - torch.from_numpy(frame.to_canvas(wrong, 1))
        return tone.home(right.clamp_min(0))

    coarse = F.avg_pool3d(brain[None, None], 2 * stage.stage.pool)[0, 0]
    return changed(stage.draw(coarse, age, sex, seed, options, hold=hold, weight=weight), 3)


def refilled(
    stages: Sequence[Refiner], frame: Frame, scan: np.ndarray, hole: np.ndarray, tone: Tone, age: float | None,
    sex: str | None, seed: int, options: SampleConfig, weight: float = 1.0,
) -> np.ndarray:  # fmt: skip
    """A filled scan with its `hole` [X, Y, Z] drawn anew by all stages, what is around it kept; on the scan's grid.

    `scan` as `seen` has it, with what the prior says in the hole: that is what the stages begin with; `weight` as
    `Refiner.draw`.
    """
    brain, unknown = seen(frame, scan, tone), torch.from_numpy(frame.to_canvas(hole.astype(np.float32), 1) > _HOLE)
    box, where = _box(unknown), extent(brain, SOURCE)
    where[0] -= torch.tensor([side.start * SOURCE for side in box])
    known, gap = brain[box], unknown[box].float()
    volume = _pooled(known, 2 * stages[0].stage.pool)
    for one in stages:
        true, free = _pooled(known, one.stage.pool), F.max_pool3d(gap[None, None], one.stage.pool)[0, 0] > 0
        held = _keeping(true, free)
        volume = one.draw(volume, age, sex, seed, options, where=where, hold=held, weight=weight)
        volume = torch.where(free, volume, true)
    drawn = brain.clone()
    drawn[box] = volume
    return frame.to_scan(tone.site(drawn).numpy())


def _keeping(known: Tensor, free: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda volume: torch.where(free, volume, known)


def _pooled(volume: Tensor, factor: int) -> Tensor:
    return F.avg_pool3d(volume[None, None], factor)[0, 0]


def _box(hole: Tensor) -> Box:
    """The box of the canvas that holds a hole and what is around it, from one coarse voxel to another."""
    found = hole.nonzero()
    low, high = found.amin(0) - _AROUND, found.amax(0) + 1 + _AROUND
    low, high = (low.clamp_min(0) // _GRID) * _GRID, -(-high // _GRID) * _GRID
    return tuple(slice(int(a), min(int(b), n)) for a, b, n in zip(low, high, hole.shape, strict=True))  # type: ignore[return-value]
