"""Samples of a trained diffusion of residuals."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from diffx import plugins
from diffx.nets.model import Model
from diffx.process import Gaussian
from diffx.sampling import sample as run_plan
from diffx.state import each
from diffx.tasks import plan_of, predictor, ready

from .config import SliceSampling, TranslateConfig
from .data import grid_of
from .regressor import PLUGIN, Stack


@dataclass(frozen=True)
class Residual:
    """What a contrast may be beside what is expected of it; ``spread``: the state's unit, in states of a slice."""

    model: Model
    process: Gaussian
    config: TranslateConfig
    spread: float

    def draw(
        self, stack: Stack, expected: np.ndarray, given: str, wanted: str, n: int, seed: int, options: SliceSampling
    ) -> np.ndarray:
        """States [n, Z, size, size]: expected [Z, size, size] plus a drawn residual, where there is head.

        Sample i has seed + i in all slices, so that neighbouring slices go together.
        """
        asked = replace(self.config, sample=options)
        plan = plan_of(plugins.load(PLUGIN, tuple(self.config.extensions)), self.process, asked)
        place = ready(self.model, self.config.device)
        records = stack.records(grid_of(self.config), given, wanted)
        told = [{**record, "expected": image[None]} for record, image in zip(records, expected, strict=True)]
        values = self.model.conditioning.collate(told)
        out = np.repeat(expected[None], n, axis=0)
        jobs = [(i, k) for i in range(n) for k in stack.filled]
        for first in range(0, len(jobs), options.batch):
            part = jobs[first : first + options.batch]
            chosen = [k for _, k in part]
            seen = each(lambda field, chosen=chosen: field[chosen], values)
            predict, condition = predictor(self.model, seen, options, self.process)
            seeds, shape = [seed + i for i, _ in part], (1, *stack.slices.shape[1:])
            x = run_plan(predict, self.process, plan, shape, seeds, condition, device=place)
            for (i, k), one in zip(part, x[:, 0].float().cpu().numpy(), strict=True):
                out[i, k] += self.spread * one
        return out
