"""Thick slices to thin ones: what the prior says of the detail, held to what was measured.

Each measured voxel is taken for the mean of the thin voxels it covers (contiguous slices of box profile). The scan is
placed in the prior's latents, its appearance sampled given the measurement through the decoder (`posterior`), and the
result corrected until its means over the thick voxels are the measurement's.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch.nn.functional import avg_pool3d

from diffx.data import Brief
from diffx.errors import DataError
from diffx.guide import Operator, keep, posterior

from ..brain_extraction import extract_brain
from ..codec import BrainCodec
from ..placed import place, render, template_points
from ..volume import Volume, means
from .cascade.redraw import Frame, thinned
from .config import BrainSampling, RestoreConfig, stage_options
from .model import BrainModel
from .prior import Prior

_FLANK = 1.0  # voxels over which the prior fades out at the edge of the brain
_TOLERANCE = 0.05  # a slice of 6.1 mm is three of 2 mm


@dataclass(frozen=True, repr=False)
class Thin(Brief):
    """`data` [N, X, Y, Z] float32 in the scan's units, RAS, and the `affine` of its thin voxels; `cubic` [X, Y, Z] is
    what interpolation alone gives, `prior` [N, X, Y, Z] what the prior does without the stages, both held to the
    measurement too; `brain` [X, Y, Z] bool; `factors` thin voxels in a
    measured one, [3]; `error` the largest difference between means and measurement, as a share of its range."""

    data: np.ndarray
    affine: np.ndarray
    cubic: np.ndarray
    prior: np.ndarray
    brain: np.ndarray
    factors: tuple[int, int, int]
    error: float

    @property
    def mean(self) -> np.ndarray:
        """Mean over the samples; as consistent as they are."""
        return self.data.mean(0)

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation over the samples, 0 for one."""
        return self.data.std(0, ddof=1) if len(self.data) > 1 else np.zeros_like(self.data[0])


def superres(
    synth: BrainModel,
    scan: Volume,
    brain: Volume | None = None,
    voxel: float = 2.0,
    seeds: Sequence[int] = (0,),
    age: float | None = None,
    sex: str | None = None,
    options: RestoreConfig | None = None,
) -> Thin:
    """Divide each axis of a T1w scan that is coarser than `voxel` (mm) into the fewest parts that are not.

    Finer axes stay as they are. Outside the brain the result is cubic interpolation, held to the measurement.

    Args:
        brain: mask of the brain on the scan's grid; without one it is made with the codec's atlas.
        age: of the person in years, where it is known.
        sex: "F" or "M", where it is known.

    Raises:
        DataError: nothing to divide; a scan that cannot be aligned.
        UsageError: an age or a sex the weights do not know.
    """
    options = options or RestoreConfig()
    factors = division(scan.spacing, voxel)
    if factors == (1, 1, 1):
        edges = " x ".join(f"{s:g}" for s in scan.spacing.round(2))
        raise DataError(f"voxels of {edges} mm are not coarser than data.voxel={voxel:g}: there is nothing to divide")
    codec = deepcopy(synth.codec).cpu()
    affine = divided(scan.affine, factors)
    cubic = consistent(enlarged(scan.data, factors), scan.data, factors)
    fine = Volume(cubic.astype(np.float32), affine)
    soft = extract_brain(fine, codec).data if brain is None else enlarged(brain.data, factors, 1)
    inside = ndimage.binary_fill_holes(soft > 0.5)
    placed = place(fine, Volume(inside.astype(np.float32), affine), codec)
    measured, box = _well_inside(inside, factors)
    world = fine.world(np.stack(np.meshgrid(*[np.arange(s.start, s.stop) for s in box], indexing="ij"), -1))
    where = template_points(placed, codec, world)
    prior = Prior(synth, age, sex)
    slices = Slices(synth.codec, where.to(prior.device), factors, torch.from_numpy(measured).float().to(prior.device))
    coarse = tuple(slice(s.start // f, s.stop // f) for s, f in zip(box, factors, strict=True))
    y = torch.from_numpy(scan.data[coarse] / placed.scale)[None, None].float().to(prior.device) - slices.offset
    known = (placed.z.to(prior.device) - prior.mean).detach()
    shape = torch.zeros(len(known[0]), 1, 1, 1, dtype=torch.bool, device=prior.device)
    shape[:3] = True

    def guide(predict):
        told = slices.measured(y) - slices(prior.mean)
        given = posterior(predict, slices, told, prior.schedule, options.noise, iterations=options.iterations)
        return keep(given, shape, known)

    z = prior.draw(guide, seeds, options)
    drawn = render(codec, z, where).detach().numpy() * placed.scale
    weight = ndimage.gaussian_filter(ndimage.binary_erosion(inside[box]).astype(np.float32), _FLANK)
    out = np.repeat(cubic[None], len(seeds), 0)
    for one, detail in zip(out, drawn, strict=True):
        one[box] += weight * (detail - one[box])
        one[:] = consistent(one, scan.data, factors)
    soft = out.astype(np.float32)
    stages = synth.stages(BrainSampling()) if options.detail else []
    if stages:
        frame, tone = Frame(codec, placed, affine, cubic.shape), synth.tone
        how = stage_options(options.detail_steps), options.detail_autoguidance
        for one, seed in zip(out, seeds, strict=True):
            shown = np.where(inside, one, 0) / placed.scale
            change = thinned(stages[-1], frame, shown, factors, tone, age, sex, seed, *how)
            one[box] += weight * change[box] * placed.scale
            one[:] = consistent(one, scan.data, factors)
    span = float(np.ptp(scan.data))
    error = max(float(np.abs(means(one, factors) - scan.data).max()) for one in out) / span
    return Thin(out.astype(np.float32), affine, cubic, soft, inside, factors, error)


class Slices(Operator):
    """Latents [B, 3+K, *grid] to the means of their brain over thick voxels [B, 1, x, y, z], 0 where not `counted`.

    Linear: shape stays that of `where` [X, Y, Z, 3], template points of the thin voxels, and the decoder's `offset`,
    the brain of latent 0, is taken off.
    """

    def __init__(
        self, codec: BrainCodec, where: torch.Tensor, factors: tuple[int, int, int], counted: torch.Tensor
    ) -> None:
        self.codec, self.where, self.factors, self.counted = codec, where, factors, counted
        self.blank = torch.zeros(1, *codec.shape, device=where.device)
        with torch.no_grad():
            self.offset = self._seen(self.blank)

    def _seen(self, z: torch.Tensor) -> torch.Tensor:
        return avg_pool3d(render(self.codec, z, self.where)[:, None], self.factors) * self.counted

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self._seen(x) - self.offset

    def adjoint(self, y: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            x = self.blank.expand(len(y), *self.codec.shape).clone().requires_grad_()
            return torch.autograd.grad(self._seen(x), x, y)[0]

    def measured(self, y: torch.Tensor) -> torch.Tensor:
        return y * self.counted


def division(spacing: np.ndarray, voxel: float) -> tuple[int, int, int]:
    """Into how many parts a voxel of that spacing (mm, [3]) is divided along each axis."""
    x, y, z = (max(1, int(np.ceil(s / voxel - _TOLERANCE))) for s in spacing)
    return x, y, z


def divided(affine: np.ndarray, factors: Sequence[float]) -> np.ndarray:
    """The affine of the parts: a voxel's parts have its centre of mass."""
    step = np.diag([*(1 / np.asarray(factors, dtype=float)), 1.0])
    step[:3, 3] = (1 / np.asarray(factors, dtype=float) - 1) / 2
    return affine @ step


def enlarged(data: np.ndarray, factors: Sequence[int], order: int = 3) -> np.ndarray:
    """Interpolated to the parts' centres; order 1 trilinear, 3 cubic spline; the border goes on beyond itself."""
    return ndimage.zoom(data.astype(np.float64), factors, order=order, mode="nearest", grid_mode=True)


def consistent(data: np.ndarray, measured: np.ndarray, factors: Sequence[int], rounds: int = 8) -> np.ndarray:
    """`data` moved until its means are the measurement: what is missing is added back smoothly (iterative
    back-projection, Irani and Peleg 1991), and the rest evenly over each measured voxel, exactly."""
    out = np.asarray(data, dtype=np.float64)
    for _ in range(rounds):
        out = out + enlarged(measured - means(out, factors), factors)
    rest = measured - means(out, factors)
    for axis, factor in enumerate(factors):
        rest = rest.repeat(factor, axis)
    return out + rest


def _well_inside(brain: np.ndarray, factors: Sequence[int]) -> tuple[np.ndarray, tuple[slice, slice, slice]]:
    """Measured voxels all of whose parts are brain, cut to their box, and that box in parts."""
    full = means(brain.astype(np.float64), factors) > 0.99
    some = np.argwhere(means(brain.astype(np.float64), factors) > 0)
    low, high = some.min(0), some.max(0) + 1
    cut = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    box = tuple(slice(int(a) * f, int(b) * f) for a, b, f in zip(low, high, factors, strict=True))
    return full[cut], box  # type: ignore[return-value]
