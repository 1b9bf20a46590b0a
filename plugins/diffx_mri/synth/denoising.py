"""The way of one brain out of noise, as a picture."""

from __future__ import annotations

import numpy as np
from PIL import Image
from torch import Tensor

from .. import pictures
from ..volume import means
from .face import BrainSynth

TITLE = "From noise to brain"
_SHOWN = 5  # predictions


def denoising(synth: BrainSynth, way: list[tuple[int, Tensor]], brain: np.ndarray) -> tuple[Image.Image, str]:
    """A picture and its caption.

    Args:
        synth: what drew the brain.
        way: (step, what the network predicts the latent [1, 3+K, *grid] to be), from noise on.
        brain: what was drawn in the end, [X, Y, Z] on the voxels of the codec or on finer ones.
    """
    steps = [way[i] for i in sorted({round(x) for x in np.linspace(0, len(way) - 1, _SHOWN)})]
    decoded = [synth.codec.decode(z.to(synth.codec.mean.device))[0].float().cpu().numpy() for _, z in steps]
    factors = [a // b for a, b in zip(brain.shape, decoded[0].shape, strict=True)]
    captions = [*(f"step {i + 1}" for i, _ in steps), "drawn"]
    return (
        pictures.strip([*decoded, means(brain, factors)], synth.codec.affine, captions),
        f"What the prior predicts the first brain to be, over {len(way)} evaluations: the mean brain of that age and "
        "sex first, then its shape, then where its folds are. Last, the brain that was drawn; stages of the "
        "cascade, if there are any, have drawn its folds anew.",
    )
