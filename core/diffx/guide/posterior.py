"""Posterior guidance: samples of p(x_0 | y) for a linear measurement y = A x_0 + noise."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from diffx.condition import Condition
from diffx.guide.algebra import conjugate_gradient
from diffx.guide.operators import Operator
from diffx.guide.states import linearise, tweedie, white_variance
from diffx.predict import Predict
from diffx.schedule import Schedule

METHODS = ("mmps", "pigdm", "dps")


def posterior(
    predict: Predict,
    operator: Operator,
    y: Tensor,
    schedule: Schedule,
    noise_std: float,
    method: str = "mmps",
    sigma_data: float = 1.0,
    iterations: int = 5,
) -> Predict:
    """E[x_0 | x_t, y], with x_0 given x_t taken to be normal, N(m, V): a step of the Kalman filter on the prediction,

        m + V A^T W^-1 (y - A m),    V = (sigma^2 / alpha) dm/dx,    W = A V A^T + noise_std^2 I.

    Methods differ in the V inside W; the outer one always comes from the network, by backward passes.

    - ``mmps`` (Rozet et al. 2024): the same V, with conjugate gradients. Exact for Gaussian data.
    - ``pigdm`` (Song et al. 2023): v_t I, the variance that N(0, sigma_data^2) data have. One backward pass; exact only
      for white Gaussian data.
    - ``dps`` (Chung et al. 2023, without its step-size heuristic): 0, so W is the measurement noise alone. For
      reference: overshoots, and stiff when ``noise_std`` is small.

    Args:
        y: measurement, with the batch first; what the operator does not measure is ignored.
        noise_std: standard deviation of the measurement noise, in y's units; 0 (not ``dps``): exact data.
        iterations: of the conjugate gradients of ``mmps``, one backward pass each.

    Raises:
        ValueError: unknown method; negative noise; ``dps`` without noise.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    if not noise_std >= 0 or (method == "dps" and noise_std == 0):
        raise ValueError(f"{method} needs noise_std {'above' if method == 'dps' else 'of at least'} 0, not {noise_std}")
    y, noise = operator.measured(y), noise_std**2

    def guided(x: Tensor, t: Any, condition: Condition | None = None) -> Tensor:
        gain, time = tweedie(schedule, t, x)
        mean, pull = linearise(lambda point: predict(point, time, condition), x)

        def covariance(v: Tensor) -> Tensor:
            return gain * pull(v)

        residual = y - operator(mean)
        if method == "dps":
            weighted = residual / noise
        elif method == "pigdm":
            weighted = operator.solve(residual, white_variance(schedule, time, sigma_data, residual), noise)
        else:
            weighted = conjugate_gradient(
                lambda v: operator(covariance(operator.adjoint(v))) + noise * v, residual, iterations
            )
        return mean + covariance(operator.adjoint(weighted))

    return guided
