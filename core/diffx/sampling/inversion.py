"""From a sample back to the noise that a plan makes it from."""

from __future__ import annotations

import torch
from torch import Tensor

from diffx.condition import Condition
from diffx.plan import Plan, Row
from diffx.predict import Predict
from diffx.process import Gaussian
from diffx.sampling.correct import norms
from diffx.state import as_state, check_prediction, column


@torch.no_grad()
def invert(
    predict: Predict,
    process: Gaussian,
    plan: Plan,
    x: Tensor,
    condition: Condition | None = None,
    device: torch.device | str = "cpu",
    *,
    iterations: int = 10,
    tolerance: float = 1e-3,
) -> Tensor:
    """The state at the plan's first time from which its rows lead to x, exactly and not only as steps get small.

    A plan made with ``invert=True`` goes up the flow at one evaluation a step, and comes back within the order of its
    solver. Here each row x_s = F(x_t) = A x_t + B x_0-hat(x_t) of a plan that goes down is solved for x_t. The Jacobian
    of F is symmetric and positive, since that of x_0-hat is a covariance (Tweedie), so that this is a convex problem:
    gradient steps of the size of Barzilai and Borwein 1988, one size a sample, the first that of Gaussian data.

    Args:
        predict: x_0-hat, the same as for sampling, guides and all. A self-conditioned denoiser makes its own estimates
            here, and gives x back where it does so in sampling too (``self_condition=False`` of the process).
        process: its schedule and sigma_data are used.
        plan: down, without noise or memory: ddim or euler. A last row that hands on the prediction is left out.
        x: [B, *shape], the state at that row's time (alpha x_0, for a clean x_0), or where the plan ends.
        condition: what the network is told, of B samples.
        device: where the state lies, and the network.
        iterations: evaluations a row, 2 at least.
        tolerance: largest norm of F(x_t) - x_s allowed, as a share of that of x_s.

    Returns:
        [B, *shape], fp32; ``sample`` with that start, and without the last row, gives x.

    Raises:
        ValueError: a plan with noise or memory, fewer than 2 iterations, or predictions of another batch.
        ArithmeticError: a row did not come within the tolerance.
    """
    if iterations < 2:
        raise ValueError(f"an inversion has at least 2 iterations a row, not {iterations}")
    if any(row.c or row.d or len(row.b) != 1 or not row.evaluate for row in plan.rows):
        raise ValueError(f"{plan.name} has noise or memory; invert ddim (eta = 0) or euler")
    rows = plan.rows[:-1] if plan.rows[-1].s == 0 else plan.rows
    x = as_state(x, device)
    for row in reversed(rows):
        x = _undo(predict, process, row, x, condition, iterations, tolerance)
    return x


def _undo(
    predict: Predict,
    process: Gaussian,
    row: Row,
    y: Tensor,
    condition: Condition | None,
    iterations: int,
    tolerance: float,
) -> Tensor:
    p, q = row.output
    a, b = row.a + row.b[0] * p, row.b[0] * q
    alpha, sigma = float(process.schedule.alpha(row.t)), float(process.schedule.sigma(row.t))
    gain = alpha * process.sigma_data**2 / ((alpha * process.sigma_data) ** 2 + sigma**2)  # d x_0-hat / dx, Gaussian
    size = torch.full((len(y), *(1,) * (y.ndim - 1)), 1 / (a + b * gain), device=y.device)
    scale = norms(y).clamp(min=torch.finfo(y.dtype).tiny)
    x = best = size * y
    least = torch.full_like(scale, torch.inf)
    step = residual = torch.zeros_like(y)
    for k in range(iterations):
        prediction = predict(x, row.t, condition)
        check_prediction(prediction, y.shape)
        after = y - a * x - b * prediction
        error = norms(after) / scale
        best = torch.where(column(error < least, y, torch.bool), x, best)
        least = torch.minimum(error, least)
        if k:
            bend = residual - after  # what the last step changed
            pairs = [((s * s).sum(), (s * r).sum()) for s, r in zip(step, bend, strict=True)]
            moved, turned = (torch.stack(part) for part in zip(*pairs, strict=True))
            size = torch.where(column(turned > 0, y, torch.bool), column(moved / turned, y), size)
        residual, step = after, size * after
        x = x + step
    if not (least < tolerance).all():
        worst = int(torch.nan_to_num(least, nan=torch.inf).argmax())
        raise ArithmeticError(
            f"inversion of sample {worst} came within {float(least[worst]):.1g} of the step at t = {row.t:g}, not "
            f"{tolerance:g}: take more iterations or smaller steps"
        )
    return best
