"""The one sampling loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from diffx.condition import Condition
from diffx.noise import Noise
from diffx.plan import JointPlan, Plan
from diffx.predict import Predict
from diffx.process import Memory, Process
from diffx.state import as_state


@torch.no_grad()
def sample(
    predict: Predict,
    process: Process,
    plan: Plan | JointPlan,
    shape: Any,
    seeds: Sequence[int],
    condition: Condition | None = None,
    start: Any = None,
    device: torch.device | str = "cpu",
    callback: Callable[[int, Any, Any], None] | None = None,
) -> Any:
    """Run a plan.

    Args:
        predict: x, t, condition -> x_0-hat (token logits, tangent score; one a leaf of a mixed state); guides wrap it.
        process: what undoes one step.
        plan: the table of coefficients; for a mixed state one a leaf.
        shape: of one sample, without the batch; for a mixed state one a leaf.
        seeds: one a sample; a sample depends on its own seed and condition alone, not on its neighbours.
        start: state at the plan's first time [B, *shape], for image-to-image; drawn from the prior otherwise.
        callback: called after each row with (row number, x, prediction).

    Returns:
        [B, *shape], fp32 (tokens int64); for a mixed state a mapping.
    """
    rows: Sequence[Any] = plan.rows
    noise = Noise(seeds, device)
    x = process.prior(shape, noise, rows[0].t) if start is None else as_state(start, device)
    memory = Memory(plan.depth)
    for index, row in enumerate(rows):
        prediction = predict(x, row.t, condition) if row.evaluate else None
        x = process.step(x, prediction, row, memory, noise, index)
        if callback is not None:
            callback(index, x, prediction)
    return x
