"""Autoguidance: appearance is drawn away from what a smaller network, trained far less, makes of the same noise.

Both err alike, the smaller one more, so the way from it to the larger leads on towards the data (Karras et al. 2024,
"Guiding a diffusion model with a bad version of itself"). It makes folds clearer. Shapes are left alone: guided ones
came out bent.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from diffx.condition import Condition
from diffx.errors import UsageError
from diffx.pipeline import Pipeline
from diffx.predict import Predict

from ..codec import BrainCodec

_STATE = ("template", "basis")  # of a codec; the others move with task=adapt, which the networks do not see


def weak_pipeline(source: str | Path, codec: BrainCodec, device: str = "auto") -> Pipeline:
    """Weights of mri_synth that move the latents of `codec`.

    Args:
        source: id, file or run folder.
        codec: whose latents they must move.
        device: where they are to run.

    Raises:
        UsageError: they move others. DataError: missing, damaged or foreign weights.
    """
    weak = Pipeline.load(source, device, plugin="mri_synth")
    theirs = BrainCodec.from_tensors(weak.extra, weak.meta.get("codec", {}))
    for name in _STATE:
        ours, other = getattr(codec, name).cpu(), getattr(theirs, name)
        if ours.shape != other.shape or not torch.equal(ours, other):
            raise UsageError(f"sample.weak={source}: trained on other latents ({name}); train it with the same codec")
    return weak


def guided_appearance(predict: Predict, weak: Predict, told: Condition, weight: float, channels: int = 3) -> Predict:
    """`predict` with `bad + weight (good - bad)` in all channels but the first ones, which are shape.

    Args:
        predict: makes the good prediction.
        weak: makes the bad prediction, of the same x and t.
        told: the condition of `weak`.
        weight: 1 is off.
        channels: of shape.
    """

    def guided(x: Tensor, t: float | Tensor, condition: Condition | None = None) -> Tensor:
        good, bad = predict(x, t, condition), weak(x, t, told)
        return torch.cat([good[:, :channels], bad[:, channels:].lerp(good[:, channels:], weight)], 1)

    return guided
