"""A small tissue segmenter: what measures ventricles, grey and white matter in brains that nobody labelled."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffx.errors import DataError
from diffx.io import checkpoint
from diffx.noise import Noise, derive
from diffx.plugins.weights import resolve_weights

from .kept import STEP, to_bytes
from .tissues import CLASSES
from .unet import UNet

SHIPPED = "mri-measures-ixi"  # the segmenter is a part of these weights
FORMAT = "diffx-brain-measures-2"
SIDE = 64  # voxels a side of a training crop
BATCH = 2


@dataclass(frozen=True)
class Segmenter:
    """A trained segmenter, for brains on the grid of that `shape`; made by :meth:`load`."""

    net: nn.Module
    shape: tuple[int, ...]

    @classmethod
    def load(cls, source: str | Path = SHIPPED) -> Segmenter:
        """From measures: an id, a file or a run folder. Raises DataError where it is missing, damaged or another."""
        path = resolve_weights(source, "mri_synth")
        tensors, meta = checkpoint.load(path)
        if meta.get("measures") != FORMAT:
            raise DataError(f"{path} holds no measures of brains; task=train_measures makes them")
        net = segmenter()
        part = {name: tensor.float() for name, tensor in checkpoint.under(tensors, "segmenter").items()}
        checkpoint.load_into(net, part, path)
        return cls(net, tuple(meta["facts"]["grid"]))

    def __call__(self, brain: np.ndarray) -> np.ndarray:
        """Classes uint8 [X, Y, Z] of a brain float [X, Y, Z], 1.0 at its 99th percentile.

        A brain on voxels of half the edge consists of eight grids of whole ones. Each is segmented, and a voxel is of
        the class that all eight find most probable there, each with an eighth of the weight.
        """
        parts = len(brain) // self.shape[0]
        kept = to_bytes(brain)
        if parts == 1:
            return segment(self.net, kept)
        found = torch.empty(len(CLASSES), *brain.shape)
        for corner in product(range(parts), repeat=3):
            grid = tuple(slice(first, None, parts) for first in corner)
            found[:, *grid] = probabilities(self.net, kept[grid])
        return likeliest(blur(found), kept)


def segmenter() -> nn.Module:
    """A U-Net of half a million weights, [B, 1, X, Y, Z] -> logits [B, 5, X, Y, Z].

    Its first convolution halves the grid: at 2 mm that costs a hundredth of Dice and saves three quarters of the time.
    """
    return UNet(1, len(CLASSES), (24, 48, 64, 96))


@torch.no_grad()
def probabilities(net: nn.Module, image: np.ndarray) -> Tensor:
    """Of each class [C, X, Y, Z], of a brain kept as bytes."""
    x = torch.from_numpy(image).float() * STEP
    return net.eval()(x[None, None])[0].softmax(0)


def segment(net: nn.Module, image: np.ndarray) -> np.ndarray:
    """Classes uint8 [X, Y, Z] of a brain kept as bytes; what is background in the image stays it."""
    return likeliest(probabilities(net, image), image)


def likeliest(found: Tensor, image: np.ndarray) -> np.ndarray:
    """The likeliest class, uint8 [X, Y, Z], of probabilities [C, X, Y, Z]; background where the image is."""
    return np.where(image > 0, found.argmax(0).numpy(), 0).astype(np.uint8)


def litres(tissues: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Volumes of the classes but background, [4], in litres."""
    counts = np.bincount(tissues.ravel(), minlength=len(CLASSES))[1:]
    return counts * abs(float(np.linalg.det(affine[:3, :3]))) / 1e6


def dice(tissues: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Dice coefficient of each class but background, [4]; NaN for a class that neither has."""
    scores = []
    for label in range(1, len(CLASSES)):
        a, b = tissues == label, reference == label
        total = a.sum() + b.sum()
        scores.append(2 * (a & b).sum() / total if total else np.nan)
    return np.array(scores)


def loss(net: nn.Module, images: np.ndarray, tissues: np.ndarray, seed: int, step: int) -> Tensor:
    """Cross-entropy plus soft Dice loss (Milletari et al. 2016) on augmented random crops of random brains."""
    noise = Noise([derive(seed, "segmenter", step, i) for i in range(BATCH)])
    which = (noise["brain"].uniform(1)[:, 0] * len(images)).long().tolist()
    pairs = [_crop(images[i], tissues[i], noise, number) for number, i in enumerate(which)]
    x = disturb(torch.stack([image for image, _ in pairs])[:, None], noise)
    target = torch.stack([labels for _, labels in pairs])
    logits = net(x)
    truth = F.one_hot(target, len(CLASSES)).movedim(-1, 1).float()
    p = logits.softmax(1)
    axes = (0, 2, 3, 4)
    overlap = (2 * (p * truth).sum(axes) + 1) / ((p + truth).sum(axes) + 1)
    return F.cross_entropy(logits, target) + 1 - overlap.mean()


def _crop(image: np.ndarray, tissues: np.ndarray, noise: Noise, number: int) -> tuple[Tensor, Tensor]:
    """A cube around a random voxel of the canvas, scaled by 0.9 to 1.1 an axis, tilted up to 10 degrees, mirrored or
    not: float [S, S, S] of intensities and int64 [S, S, S] of classes."""
    u = noise["crop"].uniform(10)[number]
    shape = torch.tensor(image.shape, dtype=torch.float32)
    half = SIDE / shape  # of the canvas's own extent, which grid_sample calls 2
    centre = (2 * u[:3] - 1) * (1 - half)
    angle = (2 * u[3:6] - 1) * 0.17
    turn = torch.linalg.matrix_exp(
        torch.tensor([[0, -angle[2], angle[1]], [angle[2], 0, -angle[0]], [-angle[1], angle[0], 0]])
    )
    scale = torch.diag((0.9 + 0.2 * u[6:9]) * torch.tensor([-1.0 if u[9] < 0.5 else 1.0, 1.0, 1.0]))
    linear = torch.diag(1 / shape) @ turn @ scale * SIDE  # from a crop's coordinates to the canvas's
    theta = torch.cat([linear, centre[:, None]], 1).flip(0)  # grid_sample counts the last axis first
    theta = torch.cat([theta[:, :3].flip(1), theta[:, 3:]], 1)
    grid = F.affine_grid(theta[None], [1, 1, SIDE, SIDE, SIDE], align_corners=False)
    x = torch.from_numpy(image)[None, None].float() * STEP
    y = torch.from_numpy(tissues)[None, None].float()
    return (
        F.grid_sample(x, grid, align_corners=False)[0, 0],
        F.grid_sample(y, grid, mode="nearest", align_corners=False)[0, 0].long(),
    )


def disturb(x: Tensor, noise: Noise) -> Tensor:
    """Other scanners and worse generators: gain, gamma, a bias field, blur, and noise both fine and coarse, on
    brains [B, 1, *S]; background stays 0."""
    u, dims = noise["disturb"].uniform(8)[..., None, None, None, None], x.shape[2:]
    inside = x > 0
    x = (x * (0.85 + 0.3 * u[:, 0])).clamp_min(0) ** (2.0 ** (u[:, 1] - 0.5))
    field = noise["field"].normal(1, 3, 3, 3)
    x = x * (1 + 0.2 * u[:, 2] * F.interpolate(field, size=dims, mode="trilinear", align_corners=True)).clamp(0.5, 1.5)
    x = x + u[:, 3] * (blur(x) - x)
    fine, coarse = noise["fine"].normal(1, *dims), noise["coarse"].normal(1, *dims)
    x = x + 0.08 * u[:, 4] ** 2 * fine + 0.25 * u[:, 5] ** 2 * blur(coarse)
    return torch.where(inside, x.clamp_min(0), torch.zeros_like(x))


def blur(x: Tensor, spacing: int = 1) -> Tensor:
    """Binomial smoothing by (1, 2, 1)/4 along the last three axes, its taps `spacing` voxels apart: a standard
    deviation of 0.7 `spacing`; 0 outside."""
    for axis in (-3, -2, -1):
        n = x.shape[axis]
        out = x / 2
        near, far = (0, n - spacing), (spacing, n - spacing)
        out.narrow(axis, *near).add_(x.narrow(axis, *far), alpha=0.25)
        out.narrow(axis, *far).add_(x.narrow(axis, *near), alpha=0.25)
        x = out
    return x
