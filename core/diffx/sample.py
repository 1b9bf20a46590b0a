"""The one sampling loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from diffx.condition import Condition
from diffx.noise import Noise
from diffx.plan import Plan
from diffx.predict import Predict
from diffx.process.gaussian import Gaussian, Memory


@torch.no_grad()
def sample(
    predict: Predict,
    process: Gaussian,
    plan: Plan,
    shape: tuple[int, ...],
    seeds: Sequence[int],
    condition: Condition | None = None,
    start: Tensor | None = None,
    device: torch.device | str = "cpu",
    callback: Callable[[int, Tensor, Tensor], None] | None = None,
) -> Tensor:
    """Run a plan.

    Args:
        predict: x, t, condition -> x_0-hat; guides wrap it.
        process: what undoes one step.
        plan: the table of coefficients.
        shape: of one sample, without the batch.
        seeds: one a sample; a sample depends on its own seed and condition alone, not on its neighbours.
        start: state at the plan's first time [B, *shape], for image-to-image; drawn from the prior otherwise.
        callback: called after each row with (row number, x, x_0-hat).

    Returns:
        [B, *shape], fp32.
    """
    noise = Noise(seeds, device)
    x = process.prior(shape, noise, plan.rows[0].t) if start is None else start.to(device, torch.float32)
    memory = Memory()
    for index, row in enumerate(plan.rows):
        prediction = predict(x, row.t, condition)
        x = process.step(x, prediction, row, memory, noise, index)
        if callback is not None:
            callback(index, x, prediction)
    return x
