"""A quick brain mask for a scan that comes without: the codec's mean head is registered to it and lends its mask."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from diffx.errors import DataError

from .align import CENTROID, Brain, fill_holes
from .codec import BrainCodec
from .geometry import Geometry
from .pull import on_canvas
from .register import affine_points, displaced, exponential, pool, register_affine, register_velocity
from .volume import Volume, sample

_STARTS = ((0.0, 0.0, 0.0), (0.0, 0.0, 25.0), (0.0, 0.0, -25.0), (0.0, 20.0, 0.0), (0.0, -20.0, 0.0))  # mm
_BELOW_CROWN = 72.0  # mm from the top of the head to the middle of the brain
_POOR = 0.75  # correlation with the mean head below which the mask is not to be trusted


def extract_brain(image: Volume, codec: BrainCodec) -> Volume:
    """Intracranial mask, 0 or 1, on the scan's own grid. image: a T1w head, any scale of intensity.

    Raises DataError when the codec has no mean head or the scan does not look like one.
    """
    if not codec.head.numel():
        raise DataError("this codec has no mean head, so no mask can be made; give a brain mask among the derivatives")
    geometry = _around(codec.geometry)
    foreground = _foreground(image)
    scale = float(np.percentile(image.data[foreground > 0], 95))
    scan = Volume(np.clip(image.data / scale, 0, 2), image.affine)
    head = Brain(scan, scan, _middle(image, foreground) - CENTROID)
    half = on_canvas([head], np.eye(4)[None], geometry, whole_head=True)
    template = codec.head[None, None]
    starts = torch.eye(4).repeat(len(_STARTS), 1, 1)
    starts[:, :3, 3] = torch.tensor(_STARTS)
    several = pool(half, 2).expand(len(_STARTS), -1, -1, -1, -1)
    matrices, scores = register_affine(several, pool(template, 2), geometry, starts, 60, 1.5)
    best = matrices[scores.argmax()][None]
    best, score = register_affine(half, template, geometry, best, 30, 0.5)
    if float(score) < _POOR:
        raise DataError(
            f"this does not look like a T1w head (correlation {float(score):.2f} with the mean head); give a brain mask"
        )
    # the rest of the difference, diffeomorphically, on the head brought into template position
    points = geometry.points(tuple(n // 2 for n in geometry.canvas), 2 * geometry.spacing)  # type: ignore[arg-type]
    placed = geometry.warp(half, affine_points(best, points))
    inside = codec.head_brain[None, None] > 0.9
    placed = placed * (template[inside].mean() / geometry.crop(placed)[inside].mean())
    zero = torch.zeros(1, 3, *geometry.grid)
    velocity, _ = register_velocity(placed, template, geometry, zero, zero, 60)
    # scan voxel -> template: the inverse affine, then exp(-v)
    back = exponential(-velocity, geometry)
    full = geometry.points(geometry.canvas)
    where = displaced(back, full, geometry.canvas)
    brain = geometry.warp(codec.head_brain[None, None], where, geometry.box)[0, 0].numpy()
    index = np.stack(np.meshgrid(*[np.arange(n) for n in image.data.shape], indexing="ij"), -1)
    to_template = torch.linalg.inv(best[0].double()).numpy()
    world = (image.world(index) - head.shift) @ to_template[:3, :3].T + to_template[:3, 3]
    probability = sample(Volume(brain, geometry.affine(geometry.canvas)), world, 1)
    return Volume(fill_holes(probability > 0.5).astype(np.float32), image.affine)


def _around(geometry: Geometry) -> Geometry:
    """A geometry whose box is the codec's canvas: heads need room."""
    x, y, z = (n + 8 * geometry.cell for n in geometry.canvas)
    return replace(geometry, box=geometry.canvas, canvas=(x, y, z))


def _foreground(image: Volume) -> np.ndarray:
    """Head against air: above a fifth of the 98th percentile, largest part."""
    return fill_holes(image.data > 0.2 * np.percentile(image.data, 98))


def _middle(image: Volume, foreground: np.ndarray) -> np.ndarray:
    """World point near the middle of the brain: a fixed way below the crown, at the centre of the head around there."""
    world = image.world(np.argwhere(foreground))
    crown = np.percentile(world[:, 2], 99.8)
    upper = world[world[:, 2] > crown - 1.4 * _BELOW_CROWN]
    return np.array([*upper[:, :2].mean(0), crown - _BELOW_CROWN])
