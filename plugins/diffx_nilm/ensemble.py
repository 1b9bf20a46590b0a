"""Samples of the parts of one stretch of mains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffx.nets.model import Model
from diffx.noise import derive
from diffx.plan import JointPlan, Plan
from diffx.predict.selfcondition import clean
from diffx.sampling import sample
from diffx.tiling.blend import windows_of
from diffx.tiling.windows import windowed

from .activations import bridged, segments
from .appliances import Appliance
from .features import maps
from .whole import within

FLOOR = 0.01  # of an appliance's scale: less than that is the network's last noise, not power
LONG_GAP = 3600.0  # seconds without mains after which what comes is a household of its own


@dataclass(frozen=True)
class Ensemble:
    """A network that is ready, and how it is asked.

    ``window``: periods that it looks at together; ``overlap``: of two neighbouring ones, whose predictions are blended
    at every step, so that a member is one history of the home and has no seams. ``batch``: windows in one evaluation.
    """

    model: Model
    process: Any
    plan: Plan | JointPlan
    appliances: tuple[Appliance, ...]
    window: int
    period: float
    batch: int = 32
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
        device = next(self.model.parameters()).device
        # the network was trained on windows of this size: a shorter stretch has nothing known beside it
        padding = max(self.window - len(mains), 0)
        padded = np.pad(mains, (0, padding), constant_values=np.nan)
        scale = torch.tensor([a.scale for a in self.appliances], device=device)
        condition = self._told(maps(padded)[None], usage, len(seeds))
        predict = windowed(self.model.denoiser, self.window, self.overlap, self.batch)
        predict = within(predict, torch.from_numpy(padded.astype(np.float32)).to(device), scale)
        shape = (len(self.appliances), len(padded))
        x = clean(self.process, sample(predict, self.process, self.plan, shape, seeds, condition, device=device))
        return _watts(x, scale)[:, :, : len(mains)]

    def windows(self, mains: np.ndarray, usage: Sequence[float], seeds: Sequence[int]) -> np.ndarray:
        """Windows [n, window] of mains, one sample each -> [n, A, window], W."""
        device = next(self.model.parameters()).device
        scale = torch.tensor([a.scale for a in self.appliances], device=device)
        shape, out = (len(self.appliances), self.window), []
        for first in range(0, len(mains), self.batch):
            part = mains[first : first + self.batch].astype(np.float32)
            predict = within(self.model.denoiser, torch.from_numpy(part).to(device), scale)
            condition = self._told(maps(part), usage, len(part))
            own = seeds[first : first + self.batch]
            x = clean(self.process, sample(predict, self.process, self.plan, shape, own, condition, device=device))
            out.append(_watts(x, scale))
        return np.concatenate(out)

    @torch.no_grad()
    def _told(self, seen: np.ndarray, usage: Sequence[float], n: int) -> Any:
        """The condition of n samples of maps [1 or n, 3, T]."""
        values: dict[str, Tensor] = {"mains": torch.from_numpy(seen).expand(n, -1, -1)}
        values |= {a.usage_key: torch.full((n,), float(u)) for a, u in zip(self.appliances, usage, strict=True)}
        return self.model.conditioning(values)


def _watts(x: Tensor, scale: Tensor) -> np.ndarray:
    """Parts in units of scale [..., A, T] -> W, off where they are below the floor."""
    return (x.where(x >= FLOOR, 0) * scale[:, None]).cpu().numpy()


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
