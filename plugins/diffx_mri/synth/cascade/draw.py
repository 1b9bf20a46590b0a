"""Drawing with the cascade: a coarse volume becomes a fine one, stage by stage."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffx.condition import Condition
from diffx.config import SampleConfig
from diffx.errors import UsageError
from diffx.guide import autoguidance
from diffx.noise import derive
from diffx.pipeline import Batch, Pipeline
from diffx.predict import Predict
from diffx.tiling.windows import Local, windowed

from ..config import stage_options
from ..segmentation.kept import SILENT, one_piece, within_edge
from .place import coordinates, enlarged, extent
from .stages import SOURCE, STAGES, Stage

Box = tuple[slice, slice, slice]

_WINDOW, OVERLAP = 52, 8  # voxels; networks were trained on crops of 32 to 48


@dataclass(frozen=True)
class Refiner:
    """One trained stage.

    Args:
        pipeline: draws residuals over `scale`.
        stage: which one it is.
        scale: standard deviation of the residuals it learned from.
        weak: a smaller one, trained far less, that it can be guided away from; its weights name it.
    """

    pipeline: Pipeline
    stage: Stage
    scale: float
    weak: Pipeline | None = None

    @classmethod
    def load(cls, source: str | Path, template: str, device: str = "auto", weak: str | None = None) -> Self:
        """Weights of a stage, by id, file or run folder.

        Args:
            source: which.
            template: digest of the mean brain in whose pose the coarse volumes are (`BrainCodec.pose_digest`).
            device: where it is to run.
            weak: the weaker ones, likewise; None: those that the weights name, if they do.

        Raises:
            UsageError: weights of something else, or of brains in another pose.
            DataError: missing, damaged or foreign weights.
        """
        pipeline = Pipeline.load(source, device, plugin="mri_synth")
        name = pipeline.config.stage
        if name is None:
            raise UsageError(f"sample.stages: {source} is no stage of a cascade")
        if pipeline.meta["template"] != template:
            raise UsageError(f"sample.stages: {source} was trained on brains in another pose than that of the prior")
        found = cls(pipeline, STAGES[name], pipeline.meta["scale"])
        weak = weak or pipeline.meta.get("weak")
        if weak is None:
            return found
        weaker = cls.load(weak, template, device)
        if weaker.stage != found.stage:
            raise UsageError(f"sample.stages: {source} is to be guided away from {weak}, which is another stage")
        return replace(found, weak=weaker.pipeline)

    def draw(
        self, coarse: Tensor, age: float | None, sex: str | None, seed: int, options: SampleConfig,
        where: Tensor | None = None, hold: Callable[[Tensor], Tensor] | None = None, weight: float = 1.0,
    ) -> Tensor:  # fmt: skip
        """A brain [2X, 2Y, 2Z] of which a coarse volume [X, Y, Z], 0 outside, shows what it can: in one piece.

        Everything random is that of a place on the canvas, so that brains of one seed that differ a little are alike.
        Memory is that of a few volumes and one window. `where`: the `extent` of the brain that the volume is a part of.
        `hold` makes of every volume [2X, 2Y, 2Z] that is predicted one that agrees with what is known of it. `weight`:
        of the guidance away from weaker weights, where there are any; 1 is off.
        """
        shape, spacing = tuple(2 * n for n in coarse.shape), self.stage.spacing
        where, padded = extent(coarse, 2 * spacing) if where is None else where, F.pad(coarse[None], (1,) * 6)
        box, seeds = around(coarse > 0), [derive(seed, "stage", round(spacing))]

        def asked(region: Sequence[slice]) -> dict[str, Any]:
            """What is told of a window: a region of the box, from an even voxel to an even one."""
            begin = [side.start + part.start for side, part in zip(box, region, strict=True)]
            sizes = [part.stop - part.start for part in region]
            cut = [slice(a // 2, (a + n) // 2 + 2) for a, n in zip(begin, sizes, strict=True)]
            place = coordinates([spacing * a for a in begin], sizes, spacing, where)
            return {"coarse": padded[:, *cut], "place": place, "age": age, "sex": sex}

        def guide(predict: Predict, batch: Batch) -> Predict:
            windows = [covering(side.stop - side.start) for side in box]
            local: Local = lambda _, tile: self.pipeline.condition([asked(tile.region)], seeds)  # noqa: E731
            if self.weak is not None:
                predict = autoguidance(predict, self.weak.model.denoiser, weight)
            boxed = within(windowed(awake(predict), windows, OVERLAP, local=local), box)
            return boxed if hold is None else held(boxed, hold)

        up = enlarged(coarse[None, None])[0, 0]

        def held(predict: Predict, hold: Callable[[Tensor], Tensor]) -> Predict:
            def right(x: Tensor, t: float | np.ndarray, condition: Condition | None = None) -> Tensor:
                volume = up + self.scale * predict(x, t)[0, 0].cpu()
                return ((hold(volume) - up) / self.scale)[None, None].to(x)

            return right

        first = asked([slice(0, 2)] * 3)  # of the whole no map is made
        _, residual = next(self.pipeline.batches(first, seeds, options, guide, shape=(1, *shape)))
        drawn = up + self.scale * residual[0, 0].cpu()
        fine = torch.zeros_like(drawn)  # no voxel of a brain lies in a coarse one that is empty
        fine[box] = torch.where(drawn > SILENT, drawn, fine)[box]
        return torch.from_numpy(one_piece(fine.numpy()))


def in_order(stages: list[Refiner]) -> list[Refiner]:
    """The stages, if each begins where the one before it ends and the last draws 2 mm. UsageError otherwise."""
    edges = [one.stage.spacing for one in stages]
    if edges and (edges[-1] != SOURCE or any(a != 2 * b for a, b in itertools.pairwise(edges))):
        drawn = ", ".join(f"{edge:g}" for edge in edges)
        raise UsageError(
            f"sample.stages: they draw voxels of {drawn} mm; each halves those before, down to {SOURCE:g} mm"
        )
    return stages


def refined(
    stages: Sequence[Refiner], volume: Tensor, age: float | None, sex: str | None, seed: int, steps: int,
    weight: float = 1.0,
) -> Tensor:  # fmt: skip
    """A volume [X, Y, Z] at 2 mm, seen at the coarse voxels of the first stage and drawn anew from there; `weight` as
    `Refiner.draw`."""
    options = stage_options(steps)
    volume = F.avg_pool3d(volume[None, None], 2 * stages[0].stage.pool)[0, 0]
    for one in stages:
        volume = one.draw(volume, age, sex, seed, options, weight=weight)
    return torch.from_numpy(within_edge(volume.numpy()))


def halved(
    fine: Refiner, volume: Tensor, age: float | None, sex: str | None, seed: int, steps: int,
    where: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """A brain [X, Y, Z] at 2 mm on voxels of 1 mm, [2X, 2Y, 2Z], by a stage that draws those; `where` as `draw`."""
    drawn = fine.draw(volume, age, sex, seed, stage_options(steps), where=where)
    return torch.from_numpy(within_edge(drawn.numpy(), SOURCE / fine.stage.spacing))


def around(coarse: Tensor) -> Box:
    """The box of fine voxels [2X, 2Y, 2Z] about what is True in [X, Y, Z]."""
    found = coarse.nonzero()
    low, high = found.amin(0).tolist(), (found.amax(0) + 1).tolist()
    return tuple(slice(2 * a, 2 * b) for a, b in zip(low, high, strict=True))  # type: ignore[return-value]


def covering(size: int) -> int:
    """The smallest windows, all alike, of which the fewest that networks know cover `size` voxels; multiples of 4."""
    count = max(math.ceil((size - OVERLAP) / (_WINDOW - OVERLAP)), 1)
    return max(4 * math.ceil((size + (count - 1) * OVERLAP) / count / 4), OVERLAP + 4)


def within(predict: Predict, box: Box) -> Predict:
    """A prediction that is made in a box alone, by what knows itself what to tell, and 0 outside."""

    def boxed(x: Tensor, t: float | np.ndarray, condition: Condition | None = None) -> Tensor:
        inner = (..., *box)
        out = torch.zeros_like(x)
        out[inner] = predict(x[inner], t)
        return out

    return boxed


def awake(predict: Predict) -> Predict:
    """A prediction that is 0 where the coarse volume, the first map, is empty: the network is not asked there."""

    def some(x: Tensor, t: float | np.ndarray, condition: Condition | None = None) -> Tensor:
        assert condition is not None and condition.spatial is not None
        return predict(x, t, condition) if condition.spatial[:, 0].any() else torch.zeros_like(x)

    return some
