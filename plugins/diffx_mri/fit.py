"""Fit a brain codec to a set of brains: groupwise registration, mean brain, patch components, statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from scipy.linalg import expm, logm

from .align import Brain, linear_velocity, split_pose
from .codec import BrainCodec, storable
from .geometry import Geometry
from .patches import PatchMoments, mirror_order, to_patches
from .pull import on_canvas, posed, pull_back
from .register import affine_points, displaced, exponential, pool, register_affine, register_velocity
from .volume import Volume, resample

VELOCITY_FLOOR = (
    0.1  # mm; smallest standard deviations used in standardising, so that the silent background stays silent
)
APPEARANCE_FLOOR = 0.05  # a patch coefficient; image noise alone has about 0.03
_SEEN = 0.03


def mirror_mean(volumes: torch.Tensor) -> torch.Tensor:
    """Mean of a volume [..., X, Y, Z] and its left-right mirror image."""
    return (volumes + volumes.flip(-3)) / 2


def fit_codec(
    brains: list[Brain],
    geometry: Geometry | None = None,
    components: int = 24,
    rounds: int = 3,
    steps: int = 30,
    reference: Volume | None = None,
    whole_head: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[BrainCodec, torch.Tensor, np.ndarray]:
    """Learn template, shapes and appearances from prepared brains (`align.prepare`): a dozen do, a hundred are better.

    `reference`: a T1w brain in the space wanted (MNI152, another codec's template); it lends only position and tilt.
    Without one the group's mean tilt stays, and the anterior commissure is where the mask's centre suggests.
    Returns the codec, the latents [N, 3+K, *grid] and the rigid poses [N, 4, 4].
    """
    geometry = geometry or Geometry()
    matrices = _affine_rounds(brains, geometry, whole_head, progress)
    if reference is not None:
        matrices = matrices @ _to_reference(brains, matrices, geometry, whole_head, reference, progress)
    poses, stretches, aligned = posed(brains, matrices, geometry, whole_head)
    base = linear_velocity(torch.from_numpy(stretches), geometry)
    velocity = base
    residual = torch.zeros_like(base)
    for number in range(rounds):
        template = _mean_at_half(aligned, velocity, geometry)
        residual, error = register_velocity(aligned, template, geometry, base, residual, steps)
        if number < rounds - 1:  # the template takes the mean shape
            middle = residual.mean(0, keepdim=True)
            mirrored = middle.flip(2) * torch.tensor([-1.0, 1.0, 1.0])[:, None, None, None]
            residual = residual - (middle + mirrored) / 2
        velocity = base + residual
        progress(
            f"diffeomorphic round {number + 1} of {rounds}: rms difference from the mean {error.mean().sqrt():.4f}"
        )
    appearance = pull_back(brains, poses, velocity, geometry, whole_head)
    progress("brains pulled back into template space")
    codec = _learn(velocity, appearance, geometry, components, {"whole_head": whole_head, "brains": len(brains)})
    latents = torch.cat([codec.pack(v[None], a[None]) for v, a in zip(velocity, appearance, strict=True)])
    progress(
        f"codec fitted: {components} components, latent {tuple(latents.shape[1:])}, "
        f"rms {latents.square().mean().sqrt():.3f}"
    )
    return codec, latents, poses


def _affine_rounds(
    brains: list[Brain], geometry: Geometry, whole_head: bool, progress: Callable[[str], None]
) -> torch.Tensor:
    centred = on_canvas(brains, np.tile(np.eye(4), (len(brains), 1, 1)), geometry, whole_head)
    progress(f"{len(brains)} brains centred")
    matrices = torch.eye(4).repeat(len(brains), 1, 1)
    for factor, steps, rate in ((2, 60, 1.5), (2, 30, 1.0), (1, 60, 0.5)):
        images = pool(centred, factor)
        template = mirror_mean(_affine_pull(images, matrices, geometry).mean(0, keepdim=True))
        matrices, score = register_affine(images, template, geometry, matrices, steps, rate)
        progress(
            f"affine at {2 * factor * geometry.spacing:g} mm: "
            f"correlation with the mean {score.mean():.4f}, worst {score.min():.4f}"
        )
    mean_log = np.mean([np.real(logm(m.double().numpy())) for m in matrices], 0)
    return matrices @ torch.from_numpy(np.linalg.inv(expm(mean_log))).float()


def _affine_pull(images: torch.Tensor, matrices: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    factor = geometry.canvas[0] // images.shape[-3]
    shape = tuple(n // factor for n in geometry.box)
    points = geometry.points(shape, geometry.spacing * factor)  # type: ignore[arg-type]
    return torch.cat(
        [geometry.warp(i[None], affine_points(m[None], points)) for i, m in zip(images, matrices, strict=True)]
    )


def _to_reference(
    brains: list[Brain],
    matrices: torch.Tensor,
    geometry: Geometry,
    whole_head: bool,
    reference: Volume,
    progress: Callable[[str], None],
) -> torch.Tensor:
    half = on_canvas(brains, np.tile(np.eye(4), (len(brains), 1, 1)), geometry, whole_head)
    mean = geometry.extend(mirror_mean(_affine_pull(half, matrices, geometry).mean(0, keepdim=True)))
    target = torch.from_numpy(resample(reference, geometry.affine(geometry.box), geometry.box).data)[None, None]
    matrix = torch.eye(4)[None]
    for factor, steps, rate in ((4, 60, 1.0), (2, 40, 0.5)):
        matrix, score = register_affine(pool(mean, factor // 2), pool(target, factor), geometry, matrix, steps, rate)
    pose, _ = split_pose(matrix[0].double().numpy())
    moved = np.linalg.norm(pose[:3, 3])
    progress(f"mean brain aligned to the reference: correlation {float(score):.3f}, moved {moved:.1f} mm")
    return torch.from_numpy(pose).float()


def _mean_at_half(aligned: torch.Tensor, velocity: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    shape = tuple(n // 2 for n in geometry.box)
    points = geometry.points(shape, 2 * geometry.spacing)  # type: ignore[arg-type]
    total = torch.zeros(1, 1, *shape)
    for image, v in zip(aligned, velocity, strict=True):
        inside = geometry.crop(exponential(v[None], geometry))
        total += geometry.warp(image[None], displaced(inside, points, shape))  # type: ignore[arg-type]
    return mirror_mean(total / len(aligned))


def _learn(
    velocity: torch.Tensor, appearance: torch.Tensor, geometry: Geometry, components: int, facts: dict
) -> BrainCodec:
    cell = geometry.cell
    template = mirror_mean(appearance.mean(0))
    seen = (appearance > _SEEN).any(0)
    moments = PatchMoments(cell)
    for image in appearance:
        moments.add((image - template)[None])
    basis, even, _ = moments.basis(components)
    signs = torch.cat([torch.tensor([-1.0, 1.0, 1.0]), even])
    tensors = {
        "template": template, "support": (seen | seen.flip(-3)).float(), "basis": basis, "signs": signs,
        "mean": torch.zeros(3 + components, *geometry.grid), "deviation": torch.ones(3 + components, *geometry.grid),
        "lapping": torch.empty(0), "head": torch.empty(0), "head_brain": torch.empty(0),
    }  # fmt: skip
    codec = BrainCodec(geometry, storable(tensors), facts)
    state = torch.cat([codec.pack(v[None], a[None]) for v, a in zip(velocity, appearance, strict=True)])
    mean = (state.mean(0) + codec.flip(state.mean(0))) / 2
    variance = (state - mean).square().mean(0)
    variance = (variance + (codec.flip(state) - mean).square().mean(0)) / 2
    floor = torch.tensor([VELOCITY_FLOOR] * 3 + [APPEARANCE_FLOOR] * components)[:, None, None, None]
    tensors["mean"], tensors["deviation"] = mean, variance.sqrt().maximum(floor) / _sizes(variance, seen, cell)
    tensors["lapping"] = _lapping(state, appearance - codec.template, basis, cell)
    return BrainCodec(geometry, storable(tensors), facts)


def _sizes(variance: torch.Tensor, seen: torch.Tensor, cell: int) -> torch.Tensor:
    """Standard deviation inside the brain that each channel is given, [3+K, 1, 1, 1].

    Velocities and the first component have 1, the others their size relative to it, so that sampling settles coarse
    structure before fine and an error counts as much as it shows.
    """
    inside = to_patches(seen[None].float(), cell)[0].mean(0) > 0.5
    size = variance[3:, inside].mean(1).sqrt()
    return torch.cat([torch.ones(3), size / size.max()])[:, None, None, None]


def _lapping(state: torch.Tensor, residual: torch.Tensor, basis: torch.Tensor, cell: int) -> torch.Tensor:
    """What each patch's 27 neighbours tell of the part its own components miss: least squares, [cell^3, K, 27].

    Removes the seams of block coding; made equivariant to the mirror by fitting mirrored brains too.
    """
    appearance = state[:, 3:]
    k, voxels = appearance.shape[1], cell**3
    gram, cross = torch.zeros(27 * k, 27 * k, dtype=torch.float64), torch.zeros(27 * k, voxels, dtype=torch.float64)
    order = mirror_order(cell)
    for image, own in zip(residual, appearance, strict=True):
        patches = to_patches(image[None], cell)
        missed = patches - torch.einsum("kp,kxyz->pxyz", basis, own)[None]
        near = torch.nn.functional.pad(own[None], (1,) * 6).unfold(2, 3, 1).unfold(3, 3, 1).unfold(4, 3, 1)
        rows = near[0].permute(1, 2, 3, 0, 4, 5, 6).reshape(-1, 27 * k)
        keep = rows.abs().sum(1) > 1e-3
        rows, target = rows[keep], missed[0].reshape(voxels, -1).T[keep]
        gram += (rows.T @ rows).double()
        cross += (rows.T @ target).double()
    ridge = 1e-4 * gram.diagonal().mean() * torch.eye(27 * k, dtype=torch.float64)
    weights = torch.linalg.solve(gram + ridge, cross).T.reshape(voxels, k, 3, 3, 3).float()
    parity = _parity(basis, order)
    mirrored = weights[order].flip(2) * parity[None, :, None, None, None]
    return ((weights + mirrored) / 2).reshape(voxels, k, 27)


def _parity(basis: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """+1 for a component equal to its mirror image, -1 for one opposite to it, [K]."""
    return (basis * basis[:, order]).sum(1).sign()


def head_template(
    heads: Iterable[tuple[Volume, Volume, np.ndarray, np.ndarray, torch.Tensor]], geometry: Geometry
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean whole head and brain probability in template space on the canvas, [*canvas] each.

    heads: normalised scan, mask, shift [3], pose [4, 4] and velocity [3, *grid] of each.
    """
    image = torch.zeros(geometry.canvas)
    brain = torch.zeros(geometry.canvas)
    count = 0
    points = geometry.points(geometry.canvas)
    for scan, mask, shift, pose, velocity in heads:
        where = displaced(exponential(velocity[None], geometry), points, geometry.canvas)
        world = affine_points(torch.from_numpy(pose[None]).float(), where[0]).numpy()[0] + shift
        whole = Brain(scan, mask, shift)
        image += torch.from_numpy(whole.at(world, 1, masked=False))
        brain += torch.from_numpy(np.clip(Brain(mask, mask, shift).at(world, 1, masked=False), 0, 1))
        count += 1
    return mirror_mean(image / max(count, 1)).clamp_(0, 1.5), mirror_mean(brain / max(count, 1))
