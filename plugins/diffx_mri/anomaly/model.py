"""The network that heals a slice, its process, and a trained one drawing healthy scans of ill ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffx.errors import DataError
from diffx.noise import derive
from diffx.pipeline import Pipeline
from diffx.process import Gaussian, Noisy

from ..slice_net import Regression
from .config import PLUGIN, HealthySampling
from .data import seen
from .evidence import Evidence
from .stack import BRIGHTEST, Stack

_WEIGHT = 4.0  # of a voxel in a large lesion beside one that is healthy, less one; in a small one four times as much
_AROUND = 9  # pixels, edge of the square in which a lesion is large or small


def _lesion_weight(target: Tensor) -> Tensor:
    """1 in healthy tissue, more in made lesions, most in small ones, [B, 1, H, W], of a state [B, 2, H, W]."""
    lesion = target[:, 1:]
    share = F.avg_pool2d(lesion, _AROUND, 1, _AROUND // 2, count_include_pad=False)
    return 1 + _WEIGHT * lesion / (0.25 + 0.75 * share)


@dataclass(frozen=True)
class Healing(Gaussian):
    """Gaussian diffusion of what an illness changed and where it lies; lesions count more in the loss."""

    def loss(self, prediction: Tensor, noisy: Noisy) -> Tensor:
        """Weighted mean squared error of x_0-hat, one value a sample: [B]."""
        square = (prediction.float() - noisy.target).square() * _lesion_weight(noisy.target)
        return noisy.weight * square.flatten(1).mean(1)


@dataclass(frozen=True)
class HealingRegression(Regression):
    """The same answered at once: the conditional median of the change, by the same network."""

    def loss(self, prediction: Tensor, noisy: Noisy) -> Tensor:
        """Weighted mean absolute error of the change and squared error of the mask, one value a sample: [B]."""
        off = prediction.float() - noisy.target
        each = torch.cat([off[:, :1].abs(), off[:, 1:].square()], 1) * _lesion_weight(noisy.target)
        return each.flatten(1).mean(1)


@dataclass(frozen=True)
class Healthy:
    """Healthy scans drawn of an ill one.

    Args:
        samples: float32 [S, Z, 128, 128], normalised as the stack's slices.
        probability: float32 [S, Z, 128, 128], 0 to 1, of a lesion.
        evidence: what differences, probability and intensity are worth, of the model that drew them.
    """

    samples: np.ndarray
    probability: np.ndarray
    evidence: Evidence = field(default_factory=Evidence)


class HealthyModel:
    """What a healthy brain would look like in place of the one scanned.

    Args:
        pipeline: of :class:`Healing` or :class:`HealingRegression`.
    """

    def __init__(self, pipeline: Pipeline):
        self.pipeline, self.config, self.meta = pipeline, pipeline.config, pipeline.meta

    @classmethod
    def load(cls, reference: str | Path, device: str = "auto", **chosen: Any) -> HealthyModel:
        """Shipped weights by their id, a file, or a run folder. Raises DataError where they are none of these."""
        return cls.of(Pipeline.load(reference, device, plugin=PLUGIN, **chosen))

    @classmethod
    def of(cls, pipeline: Pipeline) -> HealthyModel:
        """Raises DataError where the pipeline holds another plugin's process."""
        if not isinstance(pipeline.process, Healing | HealingRegression):
            raise DataError(f"{pipeline.path} holds no model of healthy brains; train one with task=train of {PLUGIN}")
        return cls(pipeline)

    @property
    def contrast(self) -> str:
        """Of the scans it was trained on: "FLAIR" or "T1w"."""
        return self.config.contrast or "FLAIR"

    @property
    def draws(self) -> bool:
        """Whether samples differ; a regression has one answer."""
        return isinstance(self.pipeline.process, Healing)

    @property
    def evidence(self) -> Evidence:
        """What made lesions showed the features of a score to be worth; a guess where that was not measured."""
        weights = self.pipeline.extra.get("evidence")
        return Evidence() if weights is None else Evidence(weights.float().numpy())

    def draw(self, stack: Stack, seeds: Sequence[int], options: HealthySampling | None = None) -> Healthy:
        """One healthy scan for each seed; a sample depends on its seed and the slice, not on the batch.

        Samples of odd seeds are drawn of the mirrored scan and mirrored back: what the network finds on one side alone
        then averages out.

        Args:
            stack: the scan.
            seeds: of the samples.
            options: of sampling; None: those of the weights.
        """
        around = seen(stack.neighbours)
        jobs = [(i, k) for i in range(len(seeds)) for k in stack.filled]
        shown = [around[k, :, :: -1 if seeds[i] % 2 else 1] for i, k in jobs]
        states = self.heal(shown, [derive(seeds[i], "slice", k) for i, k in jobs], options)
        samples = np.repeat(stack.slices[None], len(seeds), axis=0)
        probability = np.zeros_like(samples)
        for (i, k), state in zip(jobs, states, strict=True):
            change, lesion = state[:, :: -1 if seeds[i] % 2 else 1]
            if stack.stripped:  # what was cut away is air, and stays so
                change, lesion = change * stack.region[k], lesion * stack.region[k]
            samples[i, k] = np.clip(samples[i, k] - change, 0, BRIGHTEST)
            probability[i, k] = np.clip(lesion, 0, 1)
        return Healthy(samples, probability, self.evidence)

    def heal(
        self, around: Sequence[np.ndarray], seeds: Sequence[int], options: HealthySampling | None = None
    ) -> Iterator[np.ndarray]:
        """What changed in each slice and where the lesion is, [2, 128, 128], drawn for one seed each.

        around: slices between their neighbours [3, 128, 128], as :func:`seen`.
        """
        options = replace(options or self.config.sample, guidance=1.0)
        records = [{"source": np.ascontiguousarray(image)} for image in around]
        for state in self.pipeline.draw(records, seeds, options, shape=(2, *around[0].shape[1:])):
            yield state.float().numpy()
