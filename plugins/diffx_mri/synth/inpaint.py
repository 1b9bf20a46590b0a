"""Lesion filling: healthy tissue where a mask is, the scan as it was everywhere else.

The scan is placed in the prior's latents with the lesion left out; nodes whose patch the lesion touches are sampled
given all others (`posterior`, which `keep` ends), decoded, and brought back onto the scan's own voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from diffx.data import Brief
from diffx.errors import DataError
from diffx.guide import Mask, keep, posterior

from ..brain_extraction import extract_brain
from ..harmonic import depth, harmonic
from ..placed import place, render, template_points, touched
from ..volume import Volume
from .cascade.redraw import Frame, refilled
from .config import BrainSampling, RestoreConfig, stage_options
from .model import BrainModel
from .prior import Prior

LARGEST = 0.4  # share of the brain beyond which too little is left to tell whose brain it is
_SHELL = 6.0  # mm around the mask in which intensities are matched: further off the scan's own latents speak
_WINDOW = 4.0  # mm, standard deviation of the window in which they are
_FEW = 0.02  # intensity below which a window of tissue tells nothing
_TISSUE = 0.2  # what the prior says there is of brain where the brain mask has a hole
_NODE_NOISE = 0.1  # of the kept latents, in standard deviations of the most variable channel


@dataclass(frozen=True, repr=False)
class Filling(Brief):
    """`data` [N, X, Y, Z] float32, RAS, on the scan's grid and in its units: the scan, other values inside `mask`.
    `prior` likewise, what the prior says there without the stages."""

    data: np.ndarray
    prior: np.ndarray
    mask: np.ndarray
    brain: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean over the samples."""
        return self.data.mean(0)

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation over the samples, 0 for one."""
        return self.data.std(0, ddof=1) if len(self.data) > 1 else np.zeros_like(self.data[0])


def fill(
    synth: BrainModel,
    scan: Volume,
    lesion: np.ndarray,
    brain: Volume | None = None,
    seeds: Sequence[int] = (0,),
    age: float | None = None,
    sex: str | None = None,
    options: RestoreConfig | None = None,
) -> Filling:
    """Fill a T1w scan where `lesion` [X, Y, Z] is not 0, once a seed.

    What stood inside the mask has no influence on the result, and voxels outside keep their values to the bit.
    Near the border the filling is harmonic, so that it goes on smoothly from the tissue around; over `options.rim` mm
    of depth the prior takes over, in the scan's intensities as they are around the mask.

    Args:
        brain: mask of the brain on the scan's grid; without one it is made with the codec's atlas.
        age: of the person in years, where it is known.
        sex: "F" or "M", where it is known.

    Raises:
        DataError: a mask that is empty, has another shape or covers too much; a scan that cannot be aligned.
        UsageError: an age or a sex the weights do not know.
    """
    options = options or RestoreConfig()
    lesion = np.asarray(lesion) > 0
    if lesion.shape != scan.data.shape:
        raise DataError(f"the mask has {lesion.shape} voxels where the scan has {scan.data.shape}")
    if not lesion.any():
        raise DataError("the mask is empty: there is nothing to fill")
    if lesion.all():
        raise DataError("the mask covers the whole volume")
    smooth = harmonic(scan.data, lesion, scan.spacing)
    clean = Volume(smooth.astype(np.float32), scan.affine)
    brain = brain or extract_brain(clean, synth.codec)
    inside = ndimage.binary_fill_holes(brain.data > 0)
    share = float((lesion & inside).sum() / max(inside.sum(), 1))
    if share > LARGEST:
        raise DataError(f"the mask covers {share:.0%} of the brain; at most {LARGEST:.0%} can be filled")
    if not share:
        raise DataError("the mask lies outside the brain; does it belong to this scan?")
    left_out = _grown(lesion, options.margin, scan.spacing)
    codec = deepcopy(synth.codec).cpu()
    placed = place(clean, Volume(inside.astype(np.float32), scan.affine), codec, left_out)
    free = touched(placed, codec, Volume(left_out.astype(np.float32), scan.affine), dilate=0)
    z = _sampled(Prior(synth, age, sex), placed.z, free, seeds, options)
    out = np.repeat(scan.data[None], len(seeds), 0)
    for cut in _boxes(lesion, _SHELL + 2 * _WINDOW, scan.spacing):  # intensities are matched to what is near
        world = scan.world(np.stack(np.meshgrid(*[np.arange(s.start, s.stop) for s in cut], indexing="ij"), -1))
        drawn = render(codec, z, template_points(placed, codec, world)).detach().numpy() * placed.scale
        part, hole = Volume(scan.data[cut], scan.affine), lesion[cut]
        for one, healthy in zip(out, drawn, strict=True):
            filled = _joined(part, smooth[cut], healthy, hole, inside[cut], placed.scale, options.rim)
            one[cut][hole] = filled[hole]
    soft = out.copy()
    stages = synth.stages(BrainSampling()) if options.detail else []
    if stages:
        frame, tone = Frame(codec, placed, scan.affine, scan.data.shape), synth.tone
        how = stage_options(options.detail_steps), options.detail_autoguidance
        for one, seed in zip(out, seeds, strict=True):
            shown = np.where(inside, one, 0) / placed.scale
            drawn = refilled(stages, frame, shown, lesion, tone, age, sex, seed, *how)
            one[lesion & inside] = np.maximum(drawn[lesion & inside] * placed.scale, _floor(scan.data, lesion))
    return Filling(out, soft, lesion, inside)


def _sampled(
    prior: Prior, z: torch.Tensor, free: torch.Tensor, seeds: Sequence[int], options: RestoreConfig
) -> torch.Tensor:
    """Latents [N, 3+K, *grid]: the appearance of the free nodes sampled, all else as in z [1, 3+K, *grid].

    Shape is kept: the registration has carried it smoothly across the gap.
    """
    known = (z.to(prior.device) - prior.mean).detach()
    kept = (~free).expand(z.shape[1:]).clone().to(prior.device)
    kept[:3] = True

    def guide(predict):
        given = posterior(
            predict, Mask(kept), known, prior.schedule, _NODE_NOISE, "mmps", iterations=options.iterations
        )
        return keep(given, kept, known)

    return prior.draw(guide, seeds, options)


def _joined(
    scan: Volume, smooth: np.ndarray, healthy: np.ndarray, lesion: np.ndarray, inside: np.ndarray,
    scale: float, rim: float,
) -> np.ndarray:  # fmt: skip
    """The prior's tissue in the scan's intensities, running into the harmonic filling at the rim of the mask."""
    tissue = inside | (healthy > _TISSUE * scale)
    matched = healthy * _gain(scan, healthy, ~lesion & inside & (healthy > _TISSUE * scale), lesion, scale)
    deep = np.clip(depth(lesion, scan.spacing) / rim, 0, 1) if rim else lesion.astype(float)
    weight = deep * deep * (3 - 2 * deep) * tissue
    filled = weight * matched + (1 - weight) * smooth
    return np.maximum(filled, _floor(scan.data, lesion))


def _floor(data: np.ndarray, lesion: np.ndarray) -> float:
    """The least that tissue may be: 0, or less where a scan holds less."""
    return min(float(data[~lesion].min()), 0.0)


def _gain(scan: Volume, healthy: np.ndarray, known: np.ndarray, lesion: np.ndarray, scale: float) -> np.ndarray:
    """What takes the prior's tissue to the scan's intensities, [X, Y, Z]; a bias field goes on across a large lesion.

    Around the lesion it is the least-squares ratio (scan . healthy) / (healthy . healthy) in a Gaussian window over the
    `known` voxels of the shell, drawn towards 1 where these are few; inside, the solution of Laplace's equation.
    """
    shell = known & (ndimage.distance_transform_edt(~lesion, sampling=scan.spacing) <= _SHELL)

    def windowed(values: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(np.where(shell, values, 0.0), _WINDOW / scan.spacing)

    few = (_FEW * scale) ** 2
    gain = (windowed(scan.data * healthy) + few) / (windowed(healthy * healthy) + few)
    return harmonic(gain, lesion, scan.spacing)


def _grown(mask: np.ndarray, mm: float, spacing: np.ndarray) -> np.ndarray:
    """The mask and all voxels at most that far from it."""
    return mask if mm <= 0 else ndimage.distance_transform_edt(~mask, sampling=spacing) <= mm


def _boxes(mask: np.ndarray, mm: float, spacing: np.ndarray) -> list[tuple[slice, slice, slice]]:
    """Boxes that hold the parts of a mask and that margin around them; parts nearer than that share one."""
    reach = np.ceil(mm / spacing).astype(int)
    near, _ = ndimage.label(ndimage.maximum_filter(mask, 2 * reach + 1))
    return ndimage.find_objects(near)
