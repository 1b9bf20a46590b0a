"""From features to a probability, measured on made lesions in healthy slices that training did not see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffx.noise import derive

from ..slices import head_mask
from .augment import Strength
from .data import Made, unseen
from .evidence import FEATURES, WORTH, Evidence, brightness, features
from .model import HealthyModel
from .score import Settings, median

_SLICES = 120  # of each kind: with the skull and without
# twice as far from the scans at hand as in training: what is weighed is what a network is worth elsewhere
_ELSEWHERE = Strength(gamma=0.45, field=0.35, blur=2.0, noise=0.14, level=0.12)
_KEPT = 4000  # voxels of a slice, at the most


def weigh(
    model: HealthyModel,
    data: Made,
    seeds: Sequence[int] = (0, 1),
    count: int = _SLICES,
    say: Callable[[str], None] = lambda text: None,
) -> Evidence:
    """A logistic regression of made lesions on the sum of the features, each times its ``WORTH``.

    One for heads with their skull, one for brains without: in a head the scalp is as bright as any lesion, in a brain
    what is bright is suspicious on any scanner. It makes a probability of the sum and keeps its order.

    Args:
        model: whose draws are weighed.
        data: healthy slices, of "val"; its scanners and lesions are made anew for each slice.
        seeds: of the draws.
        count: slices of each kind.
        say: is told what came out.
    """
    weights = []
    for share in (0, 1):
        worth = np.array(WORTH[data.slices.contrast][share], np.float32)
        x, y, chosen = _voxels(model, elsewhere(data, share), seeds, count, bool(share))
        slope, bias = fit_logistic((worth @ x)[None], y, chosen)
        weights.append(np.array([*(slope * worth), bias], np.float32))
        named = ", ".join(f"{name} {w:.2f}" for name, w in zip((*FEATURES, "bias"), weights[-1], strict=True))
        say(f"evidence {'without' if share else 'with'} skull: {named}")
    return Evidence(np.stack(weights))


def elsewhere(data: Made, stripped: float) -> Made:
    """The same slices on scanners that are farther away, a share of them without skull."""
    made = Made(data.slices, data.split, data.shapes, data.method, derive(data.seed, "weigh", int(stripped)))
    made.strength = replace(_ELSEWHERE, stripped=stripped)
    return made


def fit_logistic(x: np.ndarray, y: np.ndarray, weight: np.ndarray, steps: int = 400) -> np.ndarray:
    """Weights [K + 1], the last is the bias, of log-odds = weights @ x + bias; none but the bias is negative.

    Args:
        x: features [K, N], not negative.
        y: 0 or 1, [N].
        weight: how many voxels each stands for, [N].
        steps: of L-BFGS, at the most.
    """
    features_, labels, counts = (torch.from_numpy(np.asarray(a, np.float32)) for a in (x, y, weight))
    raw = torch.full((len(x),), -1.0, requires_grad=True)
    bias = torch.full((), -3.0, requires_grad=True)
    optimiser = torch.optim.LBFGS([raw, bias], max_iter=steps, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        odds = F.softplus(raw) @ features_ + bias
        value = F.binary_cross_entropy_with_logits(odds, labels, counts, reduction="sum") / counts.sum()
        value.backward()
        return value

    optimiser.step(loss)
    return torch.cat([F.softplus(raw), bias[None]]).detach().numpy()


def _voxels(
    model: HealthyModel, data: Made, seeds: Sequence[int], count: int, stripped: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features [K, N] of voxels of the region, whether each is ill [N], and how many it stands for [N]."""
    rng = np.random.default_rng(derive(data.seed, "voxels"))
    settings, found = Settings(), []
    for index in range(count):
        item, brain = data.made(index)
        intensity = unseen(item["source"][1].numpy())
        region = brain if stripped else head_mask(intensity[None])[0]
        if not region.any() or (stripped and not brain.any()):
            continue
        states = model.heal([item["source"].numpy()] * len(seeds), [derive(s, "weigh", index) for s in seeds])
        change, lesion = np.mean(list(states), 0)
        each = [median(one[None], settings.median, 1)[0] for one in (lesion, change)]
        each.append(brightness(intensity[None])[0])
        ill = item["x"][1].numpy() > 0
        inside = np.flatnonzero(region)
        kept = rng.choice(inside, min(_KEPT, len(inside)), replace=False)
        values = features(*each).reshape(len(FEATURES), -1)[:, kept]
        found.append((values, ill.ravel()[kept], np.full(len(kept), len(inside) / len(kept))))
    x, y, chosen = zip(*found, strict=True)
    return np.concatenate(x, 1), np.concatenate(y), np.concatenate(chosen)
