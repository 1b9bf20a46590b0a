"""What is flagged of a drawn brain: that it is none, or that it has no size of an adult's."""

from __future__ import annotations

import numpy as np

from diffx.run import Run

from ..volume import means
from .model import Brain, BrainModel
from .volumetry import ventricle_volume

OFF = 0.15  # of the volume of ventricle that was asked for
LITRES = (0.7, 2.1)  # brain volumes outside have not been seen in healthy adults
LIKENESS = 0.7  # correlation with the mean brain below which a sample is no brain; training brains have over 0.9


def check(run: Run, synth: BrainModel, brain: Brain) -> None:
    """Flag a sample that is not finite, empty, constant, or no brain."""
    name = f"the brain of seed {brain.person.seed}"
    if not np.isfinite(brain.data).all():
        run.flag(f"{name} has voxels that are not finite")
    elif brain.data.std() == 0:
        run.flag(f"{name} is constant")
    else:
        mean = synth.codec.mean_brain().cpu().numpy()
        data = means(brain.data, (len(brain.data) // len(mean),) * 3)
        inside = (mean > 0) | (data > 0)
        likeness = float(np.corrcoef(mean[inside], data[inside])[0, 1])
        if likeness < LIKENESS:
            run.flag(f"{name} does not look like one: correlation {likeness:.2f} with the mean brain")
        if not synth.codec.whole_head and not LITRES[0] < brain.litres < LITRES[1]:
            run.flag(f"{name} holds {brain.litres:.2f} l; adults have {LITRES[0]} to {LITRES[1]} l")
        check_ventricles(run, synth, brain, name)


def check_ventricles(run: Run, synth: BrainModel, brain: Brain, name: str) -> None:
    """Flag ventricles larger than any of the training set, and ones that are not of the volume asked for."""
    if brain.tissues is None:
        return
    asked, people = synth.millilitres(brain.person), synth.codec.people
    if asked is None or people is None:
        return
    largest = people["ventricles"].get("largest", asked)
    if asked > 1.01 * largest:
        run.flag(
            f"{name}: ventricles of {asked:.0f} ml; the largest that these weights learned from have {largest:.0f}"
        )
    found = ventricle_volume(brain.tissues, brain.affine)
    if abs(found / asked - 1) > OFF:
        run.flag(f"{name} has ventricles of {found:.0f} ml; {asked:.0f} ml were asked for")
