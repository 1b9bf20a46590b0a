"""Samples of a trained diffusion of residuals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffx.pipeline import Pipeline

from .config import SliceSampling
from .data import grid_of
from .mean_model import Stack


@dataclass(frozen=True)
class ResidualSampler:
    """What a contrast may be beside what is expected of it.

    Args:
        pipeline: draws residuals.
        spread: their unit, in states of a slice.
    """

    pipeline: Pipeline
    spread: float

    def draw(
        self, stack: Stack, expected: np.ndarray, given: str, wanted: str, n: int, seed: int, options: SliceSampling
    ) -> np.ndarray:
        """States [n, Z, size, size]: expected [Z, size, size] plus a drawn residual, where there is head.

        Sample i has seed + i in all slices, so that neighbouring slices go together.
        """
        records = stack.records(grid_of(self.pipeline.config), given, wanted)
        told = [{**record, "expected": image[None]} for record, image in zip(records, expected, strict=True)]
        jobs = [(i, k) for i in range(n) for k in stack.filled]
        drawn = self.pipeline.draw(
            [told[k] for _, k in jobs], [seed + i for i, _ in jobs], options, shape=(1, *stack.slices.shape[1:])
        )
        out = np.repeat(expected[None], n, axis=0)
        for (i, k), x in zip(jobs, drawn, strict=True):
            out[i, k] += self.spread * x[0].float().numpy()
        return out
