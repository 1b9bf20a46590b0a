"""Samples of the parts of one stretch of mains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from diffx.noise import derive
from diffx.pipeline import Batch, Pipeline
from diffx.predict import Predict
from diffx.tiling.blend import windows_of
from diffx.tiling.windows import windowed

from .activations import bridged, segments
from .appliances import Appliance
from .config import PowerSampling
from .features import maps, scales
from .whole import within

FLOOR = 0.01  # of an appliance's scale: less than that is the network's last noise, not power
LONG_GAP = 3600.0  # seconds without mains after which what comes is a household of its own


@dataclass(frozen=True)
class Ensemble:
    """A trained model, and how it is asked.

    Args:
        pipeline: draws the parts of windows of mains.
        options: sampler, steps, and how many windows go into one evaluation.
        appliances: whose parts are drawn.
        window: periods that the network looks at together.
        period: seconds.
        overlap: periods of two neighbouring windows, whose predictions are blended at every step, so that a member is
            one history of the home and has no seams.
    """

    pipeline: Pipeline
    options: PowerSampling
    appliances: tuple[Appliance, ...]
    window: int
    period: float
    overlap: int = 102

    def members(self, mains: np.ndarray, usage: Sequence[float], seeds: Sequence[int]) -> np.ndarray:
        """Mains [T], W, and the usage of each appliance from 0 to 1 -> [M, A, T] float32, W; NaN where mains are.

        A stretch without mains for more than an hour divides it; what lies before and after is drawn by itself.
        """
        shape = (len(seeds), len(self.appliances), len(mains))
        out = np.full(shape, np.nan, np.float32)
        for first, stop in stretches(mains, round(LONG_GAP / self.period)):
            own = [derive(seed, "stretch", first) for seed in seeds]
            out[:, :, first:stop] = self._stretch(mains[first:stop], usage, own)
        out[:, :, np.isnan(mains)] = np.nan
        return out

    def _stretch(self, mains: np.ndarray, usage: Sequence[float], seeds: Sequence[int]) -> np.ndarray:
        # the network was trained on windows of this size: a shorter stretch has nothing known beside it
        padding = max(self.window - len(mains), 0)
        padded = np.pad(mains, (0, padding), constant_values=np.nan)
        scale, limits = self._scale, self._tensor(padded)

        def guide(predict: Predict, batch: Batch) -> Predict:
            return within(windowed(predict, self.window, self.overlap, self.options.batch), limits, scale)

        asked = replace(self.options, batch=len(seeds), guidance=1.0)  # all members see one set of windows
        drawn = self.pipeline.batches(
            self._record(maps(padded), usage), seeds, asked, guide, shape=(len(scale), len(padded))
        )
        return np.concatenate([self._watts(x) for _, x in drawn])[:, :, : len(mains)]

    def windows(self, mains: np.ndarray, usage: Sequence[float], seeds: Sequence[int]) -> np.ndarray:
        """Windows [n, window] of mains, one sample each -> [n, A, window], W."""
        scale = self._scale

        def guide(predict: Predict, batch: Batch) -> Predict:
            return within(predict, self._tensor(mains[batch.first : batch.first + len(batch)]), scale)

        records = (self._record(maps(window), usage) for window in mains)
        drawn = self.pipeline.batches(
            records, seeds, replace(self.options, guidance=1.0), guide, shape=(len(scale), self.window)
        )
        return np.concatenate([self._watts(x) for _, x in drawn])

    @property
    def _scale(self) -> Tensor:
        return torch.from_numpy(scales(self.appliances)).to(self.pipeline.device)

    def _tensor(self, mains: np.ndarray) -> Tensor:
        return torch.from_numpy(mains.astype(np.float32)).to(self.pipeline.device)

    def _watts(self, x: Tensor) -> np.ndarray:
        """Power in units of the scales [..., A, T] -> W; an appliance is off below the floor."""
        return (x.where(x >= FLOOR, 0) * self._scale[:, None]).cpu().numpy()

    def _record(self, seen: np.ndarray, usage: Sequence[float]) -> dict[str, object]:
        """What is asked of a sample of maps [3, T]."""
        return {"mains": seen, **{a.usage_key: float(u) for a, u in zip(self.appliances, usage, strict=True)}}


def stretches(mains: np.ndarray, longest: int) -> Iterator[tuple[int, int]]:
    """Begin and end of what lies between gaps of more than ``longest`` periods."""
    yield from map(tuple, bridged(segments(np.isfinite(mains)), longest).tolist())


def spread(mains: np.ndarray, window: int, most: int) -> np.ndarray:
    """At most ``most`` windows [n, window] of mains, known throughout and evenly spread over it."""
    if len(mains) < window:
        return np.zeros((0, window), np.float32)
    places = np.array(windows_of(len(mains), window, window))
    unknown = np.concatenate([[0], np.cumsum(np.isnan(mains))])
    places = places[unknown[places + window] == unknown[places]]
    chosen = places[np.unique(np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(int))]
    return np.stack([mains[p : p + window] for p in chosen]) if len(chosen) else np.zeros((0, window), np.float32)
