"""A classifier two-sample test: can a network tell patches of one set of brains from those of another?

Trained on half of the brains of both sets, it is asked about the other half (Lopez-Paz and Oquab 2017, "Revisiting
classifier two-sample tests"). An accuracy of 0.5 means that it cannot tell. Folds, speckle and blur are in a patch, and
no summary of whole brains hears them as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn

from diffx.evaluation import Baseline, Figure, Goal, estimate
from diffx.noise import Noise, derive

SIDE = 24  # voxels along the edge of a patch
BLURRED = "scans through a blur of one voxel"
_FULL = 0.9  # share of a patch that is brain, at least
_PATCHES = 48  # of a brain
STEPS = 300  # of each training
_BATCH, _RATE = 64, 2e-3
_HIGHEST = 0.8  # accuracy that is aimed at

Tell = Callable[[], None]


def patches(images: np.ndarray, seed: int) -> Tensor:
    """48 patches [N, 48, 24, 24, 24], uint8, of each brain [N, X, Y, Z]: where nearly all is brain, at random."""
    return torch.from_numpy(np.stack([_of(image, derive(seed, "patches", i)) for i, image in enumerate(images)]))


def _of(image: np.ndarray, seed: int) -> np.ndarray:
    filled = ndimage.uniform_filter((image > 0).astype(np.float32), SIDE, origin=-(SIDE // 2), mode="constant")
    inner = filled[: image.shape[0] - SIDE + 1, : image.shape[1] - SIDE + 1, : image.shape[2] - SIDE + 1]
    corners = np.argwhere(inner >= min(_FULL, float(inner.max())) - 1e-4)
    chosen = (Noise([seed]).uniform(_PATCHES)[0] * len(corners)).long().tolist()
    return np.stack([image[x : x + SIDE, y : y + SIDE, z : z + SIDE] for x, y, z in corners[chosen]])


def blurred(images: np.ndarray) -> np.ndarray:
    """Brains uint8 [N, X, Y, Z] through a Gaussian of one voxel, background as it was."""
    smooth = ndimage.gaussian_filter(images.astype(np.float32), (0, 1, 1, 1))
    return np.where(images > 0, np.rint(smooth), 0).astype(np.uint8)


class Judge(nn.Module):
    """A small 3-D network, patches [B, 1, 24, 24, 24] -> logits [B] of belonging to the second set."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, width, kernel in ((1, 24, 4), (24, 48, 3), (48, 96, 3)):
            layers += [nn.Conv3d(before, width, kernel, 2, 1), nn.GroupNorm(8, width), nn.SiLU()]
        self.layers, self.out = nn.Sequential(*layers), nn.Linear(96, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.layers(x).mean((2, 3, 4)))[:, 0]


def accuracy(a: np.ndarray, b: np.ndarray, seed: int = 0, tick: Tell = lambda: None) -> Figure:
    """Balanced accuracy of telling brains a from brains b [N, X, Y, Z], uint8, by their patches.

    The network learns from the first half of each set. The interval is over the brains of the other halves. `tick` is
    called after each of the `STEPS` steps.
    """
    one, other = patches(a, derive(seed, "a")), patches(b, derive(seed, "b"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "judge"))
        judge = Judge()
    learn(judge, one[: len(one) // 2], other[: len(other) // 2], seed, tick)
    right = [1.0 - told(judge, one[len(one) // 2 :]), told(judge, other[len(other) // 2 :])]
    weight = [torch.full_like(r, 0.5 / len(r)) for r in right]  # both sets count alike, whatever their sizes

    def balanced(correct: Tensor, share: Tensor) -> float:
        return float((correct * share).sum() / share.sum())

    return estimate(balanced, torch.cat(right), torch.cat(weight), seed=seed, better="lower")


def learn(judge: Judge, one: Tensor, other: Tensor, seed: int, tick: Tell) -> None:
    """Train on patches [N, P, S, S, S] of two sets, mirrored or not, by AdamW and a half cosine."""
    sets = [patches.flatten(0, 1) for patches in (one, other)]
    optimiser = torch.optim.AdamW(judge.parameters(), lr=_RATE, weight_decay=1e-2)
    label = torch.arange(2).repeat_interleave(_BATCH // 2).float()
    for step in range(STEPS):
        u = Noise([derive(seed, "learn", step)]).uniform(2, _BATCH // 2)[0]
        mirror = Noise([derive(seed, "mirror", step)]).uniform(_BATCH)[0]
        chosen = torch.cat([some[(v * len(some)).long()] for some, v in zip(sets, u, strict=True)])
        x = torch.where((mirror < 0.5).view(-1, 1, 1, 1), chosen.flip(1), chosen)
        loss = F.binary_cross_entropy_with_logits(judge(_seen(x)), label)
        for group in optimiser.param_groups:
            group["lr"] = _RATE * min(1.0, (step + 1) / 30) * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        tick()


@torch.no_grad()
def told(judge: Judge, some: Tensor) -> Tensor:
    """Share of the patches [N, P, S, S, S] of each brain that are taken for the second set, [N]."""
    return torch.stack([(judge(_seen(one)) > 0).float().mean() for one in some])


def _seen(patches: Tensor) -> Tensor:
    """Patches [B, S, S, S] as the network sees them, each of mean 0 and deviation 1: from a few brains it would learn
    how bright each of them is."""
    x = patches[:, None].float()
    return (x - x.mean((2, 3, 4), keepdim=True)) / x.std((2, 3, 4), keepdim=True).clamp_min(1)


def against(
    real: np.ndarray, others: np.ndarray, synthetic: Mapping[str, np.ndarray], seed: int = 0, tick: Tell = lambda: None
) -> Figure:
    """The accuracy for the first of the `synthetic` sets, beside those of the others and of scans.

    Args:
        real: scans uint8 [N, X, Y, Z].
        others: further scans, of other subjects: what real against real gets.
        synthetic: brains likewise, by name; the first are judged, the others are baselines.
        seed: of patches and network.
        tick: called after each step of each network.
    """
    sets = {**synthetic, BLURRED: blurred(others), "scans": others}
    found = {name: accuracy(real, images, seed, tick) for name, images in sets.items()}
    (judged, *_), floor = synthetic, found["scans"]
    baselines = [Baseline(name, figure.value) for name, figure in found.items() if name not in (judged, "scans")]
    goal = Goal(high=_HIGHEST, wanted=f"at most {_HIGHEST:g}; 0.5 is not to be told")
    return replace(
        found[judged], real_vs_real=floor.value, real_vs_real_interval=floor.interval, baselines=baselines, goal=goal,
        title="accuracy of telling patches from scans'", n_real=len(real),
    )  # fmt: skip
