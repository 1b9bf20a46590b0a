"""The one sampling loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, Protocol

import torch

from diffx.condition import Condition
from diffx.condition.base import told
from diffx.noise import Noise
from diffx.plan import JointPlan, Plan
from diffx.predict import Predict
from diffx.process import Gaussian, Process
from diffx.state import as_state, check_batch, each


class Sampler(Protocol):
    """What goes from noise to data in another way than by a table of rows, such as :class:`Adaptive`."""

    def run(
        self,
        predict: Predict,
        process: Any,
        shape: Any,
        seeds: Sequence[int],
        condition: Condition | None,
        start: Any,
        device: torch.device | str,
        callback: Callable[[int, Any, Any], None] | None,
    ) -> Any:
        """The state at the end; the arguments are those of :func:`sample`."""


@torch.no_grad()
def sample(
    predict: Predict,
    process: Process,
    plan: Plan | JointPlan | Sampler,
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
        plan: the table of coefficients, one a leaf of a mixed state; or ``Adaptive`` or ``PredictorCorrector``.
        shape: of one sample, without the batch; for a mixed state one a leaf.
        seeds: one a sample; a sample depends on its own seed and condition alone, not on its neighbours.
        condition: what the network is told, of as many samples as there are seeds.
        start: state at the plan's first time [B, *shape], for image-to-image; drawn from the prior otherwise.
        device: where the state lies, and the network.
        callback: called after each row with (row number, x, prediction).

    Returns:
        [B, *shape], fp32 (tokens int64); for a mixed state a mapping.

    Raises:
        ValueError: the start, the condition or the predictions are not of one sample a seed.
    """
    if not isinstance(plan, Plan | JointPlan):
        return process.clean(plan.run(predict, process, shape, seeds, condition, start, device, callback))
    rows: Sequence[Any] = plan.rows
    noise = Noise(seeds, device)
    x = first_state(process, shape, noise, rows[0].t, condition, start)
    memory = process.memory(x, plan.depth)
    for index, row in enumerate(rows):
        prediction = predict(x, row.t, told(condition, memory.told)) if row.evaluate else None
        check_batch(len(noise.seeds), prediction, "the prediction")
        x = process.step(x, prediction, row, memory, noise, index)
        if callback is not None:
            callback(index, x, prediction)
    return process.clean(x)


def first_state(
    process: Process, shape: Any, noise: Noise, t: Any, condition: Condition | None = None, start: Any = None
) -> Any:
    """The state that sampling starts from: ``start`` as it should be, or what the prior draws at time ``t``.

    Raises:
        ValueError: a condition or a start that is not of one sample a seed, or a start of another shape.
    """
    batch = len(noise.seeds)
    if isinstance(condition, Condition):
        for name in (f.name for f in fields(Condition)):
            check_batch(batch, getattr(condition, name), f"Condition.{name}")
    if start is None:
        return process.prior(shape, noise, t)
    x = as_state(start, noise.device)
    check_batch(batch, x, "the start")
    wanted = {k: tuple(v) for k, v in shape.items()} if hasattr(shape, "items") else tuple(shape)
    given = each(lambda leaf: tuple(leaf.shape[1:]), x)
    if given != wanted:
        raise ValueError(f"the start has samples of shape {given}, not {wanted}")
    return x


def gaussian_only(process: Process, what: str) -> None:
    """ValueError for a process that is not Gaussian, where ``what`` is made for those alone."""
    if not isinstance(process, Gaussian):
        raise ValueError(f"{what} are made for one Gaussian state, not for that of a {type(process).__name__} process")
