"""A scan as a latent and the place it came from: encoded with a part left out, rendered back onto its own voxels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from .align import Brain, linear_velocity, prepare
from .codec import BrainCodec
from .harmonic import harmonic
from .patches import to_patches
from .pull import on_canvas, posed, pull_back
from .register import exponential, pool, register_affine, register_velocity
from .volume import Volume, sample


@dataclass(frozen=True)
class Placed:
    """Latent `z` [1, 3+K, *grid] of a scan; `pose` [4, 4] from canvas to centred scan, mm; `shift` [3] from there to
    the scan's world, mm; `scale` the scan's intensity of a brain's 1.0."""

    z: torch.Tensor
    pose: np.ndarray
    shift: np.ndarray
    scale: float

    def to_canvas(self, world: np.ndarray) -> np.ndarray:
        """Canvas points of world points of the scan, [..., 3] mm."""
        back = np.linalg.inv(self.pose)
        return (world - self.shift) @ back[:3, :3].T + back[:3, 3]

    def to_world(self, canvas: np.ndarray) -> np.ndarray:
        """World points of the scan of canvas points, [..., 3] mm."""
        return canvas @ self.pose[:3, :3].T + self.pose[:3, 3] + self.shift


def place(
    image: Volume, brain: Volume, codec: BrainCodec, left_out: np.ndarray | None = None, steps: int = 60
) -> Placed:
    """Encode a T1w scan, any scale of intensity. image, brain mask and `left_out` [X, Y, Z] bool share a grid.

    What stood in the voxels left out has no influence: a harmonic filling takes its place, which counts neither in the
    affine nor in the diffeomorphic registration; the patches read it, those that `touched` names.
    `steps` of the diffeomorphic registration.
    Raises DataError when the brain cannot be aligned or the mask is no brain.
    """
    geometry, whole = codec.geometry, codec.whole_head
    if left_out is not None:
        image = Volume(harmonic(image.data, left_out, image.spacing).astype(np.float32), image.affine)
    ready = prepare(image, brain, geometry, whole)
    template = pool(codec.template[None, None], 2)
    unseen = None if left_out is None else Volume(left_out.astype(np.float32), image.affine)

    def counting(pose: np.ndarray) -> torch.Tensor | None:
        if unseen is None:
            return None
        hole = Brain(unseen, unseen, ready.shift).canvas(geometry, pose, 1, masked=False)
        return 1 - pool(torch.from_numpy(hole)[None, None], 2).clamp(0, 1)

    half, weight = on_canvas([ready], np.eye(4)[None], geometry, whole), counting(np.eye(4))
    matrices = torch.eye(4)[None]
    for factor, count, rate in ((2, 80, 1.5), (1, 60, 0.5)):
        pooled = None if weight is None else pool(weight, factor)
        images = pool(half, factor), pool(template, factor)
        matrices, _ = register_affine(*images, geometry, matrices, count, rate, weight=pooled)
    poses, stretches, aligned = posed([ready], matrices, geometry, whole)
    base = linear_velocity(torch.from_numpy(stretches), geometry)
    start = torch.zeros_like(base)
    residual, _ = register_velocity(aligned, template, geometry, base, start, steps, weight=counting(poses[0]))
    velocity = base + residual
    with torch.no_grad():
        z = codec.pack(velocity, pull_back([ready], poses, velocity, geometry, whole))
    return Placed(z, poses[0], ready.shift, float(np.percentile(image.data[brain.data > 0], 99)))


def template_points(placed: Placed, codec: BrainCodec, world: np.ndarray) -> torch.Tensor:
    """Template-space points [..., 3] of world points of the scan [X, Y, Z, 3], mm: exp(-v) after the inverse pose."""
    geometry = codec.geometry
    canvas = torch.from_numpy(placed.to_canvas(world)).float()
    velocity, _ = codec.unpack(placed.z)
    with torch.no_grad():
        return canvas + geometry.warp(exponential(-velocity, geometry), canvas[None])[0].movedim(0, -1)


def scan_points(placed: Placed, codec: BrainCodec, template: torch.Tensor) -> np.ndarray:
    """World points of the scan [..., 3] of template points [X, Y, Z, 3], mm; inverse of `template_points`."""
    geometry = codec.geometry
    velocity, _ = codec.unpack(placed.z)
    with torch.no_grad():
        canvas = template + geometry.warp(exponential(velocity, geometry), template[None])[0].movedim(0, -1)
    return placed.to_world(canvas.double().numpy())


def render(codec: BrainCodec, z: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Brains of latents z [B, 3+K, *grid] at template points `where` [X, Y, Z, 3]: [B, X, Y, Z], affine in z[:, 3:].

    One interpolation from template space to the scan; 1.0 is the 99th percentile of a brain.
    """
    _, appearance = codec.unpack(z)
    points = where[None].expand(len(z), *where.shape)
    return codec.geometry.warp(appearance[:, None], points, codec.geometry.box)[:, 0]


def touched(placed: Placed, codec: BrainCodec, volume: Volume, dilate: int = 1) -> torch.Tensor:
    """Nodes [*grid] bool whose patch looks at a voxel of `volume` (0 or 1, on the scan's grid) or at most `dilate`
    template voxels beside one."""
    geometry = codec.geometry
    points = geometry.points(geometry.box)
    inside = torch.from_numpy(sample(volume, scan_points(placed, codec, points), 1) > 0.01).float()
    grown = F.max_pool3d(inside[None], 2 * dilate + 1, 1, dilate) if dilate else inside[None]
    return to_patches(grown, geometry.cell)[0].amax(0) > 0
