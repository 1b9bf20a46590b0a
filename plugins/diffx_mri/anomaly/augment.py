"""What other scanners do to a slice: pose, thickness, field, gamma, blur, noise, and the skull taken off."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from .lesions import SIZE, smooth_noise
from .stack import BRIGHTEST

_THICKEST = 8.0  # mm
_LOST = 0.05  # share of the neighbours that are not shown, as at the ends of a scan


@dataclass(frozen=True)
class Strength:
    """How far scans may differ from those at hand; the defaults are those of training.

    Args:
        turn: largest rotation in plane, degrees.
        zoom: standard deviation of the logarithm of the size.
        shift: largest shift, pixels.
        warp: largest standard deviation of a smooth displacement, pixels, which makes ventricles and folds larger or
            smaller.
        gamma: standard deviation of the logarithm of the exponent.
        field: largest standard deviation of the logarithm of the receive field.
        blur: largest standard deviation of the blur, pixels.
        noise: largest standard deviation of the noise, in units of the brain's median.
        level: standard deviation of the logarithm of the scale.
        stripped: share of the slices whose skull is taken off where their brain is known.
    """

    turn: float = 15.0
    zoom: float = 0.08
    shift: float = 5.0
    warp: float = 2.5
    gamma: float = 0.22
    field: float = 0.18
    blur: float = 1.2
    noise: float = 0.07
    level: float = 0.07
    stripped: float = 0.4


def moved(
    rng: np.random.Generator, slices: np.ndarray, brain: np.ndarray, strength: Strength
) -> tuple[np.ndarray, np.ndarray]:
    """Slices and brain [n, 128, 128] mirrored, turned, scaled, shifted and warped alike."""
    angle = math.radians(rng.uniform(-strength.turn, strength.turn))
    width, height = np.exp(rng.normal(0, strength.zoom) + rng.normal(0, strength.zoom / 2, 2))
    shift = rng.uniform(-strength.shift, strength.shift, 2) * 2 / SIZE
    side = -1.0 if rng.random() < 0.5 else 1.0
    matrix = np.array(  # rows: the second axis of the image, then the first, right-left
        [
            [math.cos(angle) / width, -math.sin(angle) / height, shift[1]],
            [side * math.sin(angle) / width, side * math.cos(angle) / height, shift[0]],
        ],
        np.float32,
    )
    both = torch.from_numpy(np.concatenate([slices, brain.astype(np.float32)])[None])
    grid = F.affine_grid(torch.from_numpy(matrix)[None], list(both.shape), align_corners=False)
    if strength.warp and rng.random() < 0.5:
        pixels = rng.uniform(0, strength.warp) * smooth_noise(rng, rng.uniform(12, 30), 2)
        grid = grid + torch.from_numpy(np.moveaxis(pixels, 0, -1) * np.float32(2 / SIZE))
    out = F.grid_sample(both, grid, align_corners=False)[0].numpy()
    return out[: len(slices)], out[len(slices) :] > 0.5


def rescanned(rng: np.random.Generator, slices: np.ndarray, strength: Strength) -> np.ndarray:
    """Slices [n, 128, 128] as another scanner may show them; what is 1 stays about 1."""
    out = slices
    if rng.random() < 0.35:
        width = rng.uniform(0.3, strength.blur)
        blurred = ndimage.gaussian_filter(out, (0, width, width))
        out = blurred if rng.random() < 0.6 else np.maximum(out + rng.uniform(0.3, 1.0) * (out - blurred), 0)
    out = out ** math.exp(rng.normal(0, strength.gamma))
    out = out * np.exp(rng.uniform(0, strength.field) * smooth_noise(rng, rng.uniform(40, 90)))
    out = out * math.exp(rng.normal(0, strength.level))
    if rng.random() < 0.4:  # magnitude images: noise adds to what is dark
        sigma = rng.uniform(0.01, strength.noise)
        out = np.hypot(out + sigma * rng.standard_normal(out.shape), sigma * rng.standard_normal(out.shape))
    return np.clip(out, 0, BRIGHTEST).astype(np.float32)


def other_mask(rng: np.random.Generator, brain: np.ndarray) -> np.ndarray:
    """A brain mask [n, 128, 128] as another tool may draw it, more generous or tighter."""
    change = int(rng.integers(-1, 3))
    if not change:
        return brain
    grow = ndimage.binary_dilation if change > 0 else ndimage.binary_erosion
    return np.stack([grow(one, iterations=abs(change)) for one in brain])


def thicker(
    rng: np.random.Generator, images: np.ndarray, brains: np.ndarray, at: int, thickness: float, gap: float
) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
    """A slice between its neighbours as a scan of slices up to 8 mm thick shows them.

    Args:
        rng: decides how thick.
        images: a scan [Z, 128, 128], of any number type.
        brains: its brain, alike, 0 or 1.
        at: number of the middle slice.
        thickness: of the scan, mm from slice to slice.
        gap: how far neighbours are that are shown beside a slice of a thin scan, mm.

    Returns:
        intensity [3, 128, 128] and brain, 0 beyond the ends; the distance of the neighbours, mm; which there are.
    """
    most = max(1, int(_THICKEST / thickness))
    many = int(rng.choice([1, 1, *range(1, most + 1)]))
    away = max(many, round(gap / thickness))
    blend = many == 1 and thickness > 0.5 * _THICKEST and rng.random() < 0.2
    slices, brain = np.zeros((3, SIZE, SIZE), np.float32), np.zeros((3, SIZE, SIZE), bool)
    known = np.zeros(3, bool)
    for channel, middle in enumerate((at - away, at, at + away)):
        first = middle - (many - 1) // 2
        if channel != 1 and (not 0 <= middle < len(images) or rng.random() < _LOST):
            continue
        chosen = np.clip(np.arange(first, first + many), 0, len(images) - 1)
        slices[channel], brain[channel] = images[chosen].mean(0), brains[chosen].mean(0) > 0.5
        known[channel] = True
        if blend:
            beside = np.clip([middle - 1, middle + 1], 0, len(images) - 1)
            slices[channel] = 0.6 * slices[channel] + 0.4 * images[beside].mean(0)
    return slices, brain, away * thickness, known
