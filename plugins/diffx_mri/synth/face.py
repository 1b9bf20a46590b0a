"""Brain synthesis for a notebook or a script; the command line calls the same methods.

from diffx_mri import BrainSynth
image = BrainSynth.load().sample(age=70, sex="F", seed=1)   # a nibabel image
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import nibabel as nib

from ..overlay import Say, warn
from ..volume import Source
from .config import VOXELS, BrainSampling
from .inverse import Reconstruction, fill_scan, thin_scan
from .model import BrainModel, Person


class BrainSynth(BrainModel):
    """Draws brains, fills lesions and divides thick slices; made by :meth:`load`."""

    def sample(
        self,
        age: float | None = None,
        sex: str | None = None,
        seed: int = 0,
        ventricles: float | None = None,
        voxel: int = VOXELS[0],
        **options: Any,
    ) -> nib.Nifti1Image:
        """One brain as a nibabel image.

        Args:
            age: years, 18 to 90; None: drawn by the seed as the training set has it.
            sex: "F" or "M"; None: drawn by the seed.
            seed: the same seed, age, sex and ventricles give the same brain.
            ventricles: their size as in :class:`Person`, 0 is usual for the age and the sex, 2 is large.
            voxel: edge of a voxel, 2 or 1 mm.
            options: steps, guidance, sampler, grid, eta, stop, as ``sample.*`` on the command line.
        """
        asked = replace(BrainSampling(), **options)
        return next(self.brains([Person(age, sex, seed, ventricles)], asked, voxel=voxel)).image()

    def fill(
        self, scan: Source, mask: Source, n: int = 4, seed: int = 0, age: float | None = None, sex: str | None = None,
        brain: Source | None = None, say: Say = warn, **options: Any,
    ) -> Reconstruction:  # fmt: skip
        """A T1w scan with healthy tissue where `mask` is over 0.5: `n` samples, their mean and spread.

        Outside the mask every voxel keeps its bits; the voxels inside are ignored. See :mod:`diffx_mri.synth.inpaint`.

        Args:
            scan: NIfTI file or nibabel image.
            mask: of the region to fill, likewise, on any grid of the scan's space.
            n: number of samples.
            seed: sample i has seed + i.
            age: of the person in years, where it is known.
            sex: "F" or "M", where it is known.
            brain: brain mask, on any grid of the scan's space; without it one is made with the atlas.
            say: is told of a mask that has the scan's voxels but by its header lies elsewhere; by default a warning.
            options: steps, stop, margin, rim, ... as ``restore.*`` on the command line.

        Raises:
            DataError: a file that cannot be used, a mask that is empty or too large.
            UsageError: an age or a sex the weights do not know.
        """
        return fill_scan(self, scan, mask, n, seed, age, sex, brain, say, **options)

    def superres(
        self, scan: Source, voxel: float = 2.0, n: int = 4, seed: int = 0, age: float | None = None,
        sex: str | None = None, brain: Source | None = None, say: Say = warn, **options: Any,
    ) -> Reconstruction:  # fmt: skip
        """A T1w scan with every voxel edge over `voxel` mm divided: `n` samples, their mean and spread.

        All average to what was measured (:mod:`diffx_mri.synth.superres`); the rest as in :meth:`fill`.
        """
        return thin_scan(self, scan, voxel, n, seed, age, sex, brain, say, **options)
