"""A scan with a lesion for a first look, where nobody has named one: a synthetic brain with a lesion put in."""

from __future__ import annotations

import nibabel as nib
import numpy as np

from ..synth.face import BrainSynth
from ..volume import Volume, load
from .simulate import Shape, Simulated, simulate

SAID = (
    "no image= was given: this is a synthetic T1w brain of mri_synth, a woman of 60 years who does not exist, and the "
    "lesion was put in; its true outline is shown"
)


def example(seed: int = 0) -> tuple[nib.Nifti1Image, Simulated]:
    """A skull-stripped T1w brain at 2 mm as an image, and where its lesion of 12 ml lies. Needs mri_synth's weights."""
    rng = np.random.default_rng(seed)
    brain = BrainSynth.load().sample(age=60, sex="F", seed=seed)
    scan: Volume = load(brain)
    made = simulate(scan, scan.data > 0.2 * np.percentile(scan.data, 99), [Shape.ellipsoid(rng)], (12, 12), "T1w", rng)
    image = nib.Nifti1Image(made.scan.data, made.scan.affine)
    image.set_sform(made.scan.affine, code=2)
    image.set_qform(made.scan.affine, code=2)
    return image, made
