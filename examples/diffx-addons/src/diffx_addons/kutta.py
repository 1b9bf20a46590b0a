"""A solver is a function from a schedule and a grid of times to a table of coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from diffx.plan import Plan, Row
from diffx.schedule import Schedule


def kutta3(schedule: Schedule, times: Sequence[float]) -> Plan:
    """Kutta's method of third order on the probability flow in schedule time, three evaluations a step (Kutta 1901).

    With the velocity k = alpha'(t) x_0-hat + sigma'(t) eps-hat = P x + Q x_0-hat and h = s - t:

        k1 = k(x, t),    k2 = k(x + h/2 k1, t + h/2),    k3 = k(x + h (2 k2 - k1), s),
        x' = x + h/6 (k1 + 4 k2 + k3).

    A row's evaluation leaves ``keep``, here the velocity; ``b`` weighs what was left, the newest first; ``hold`` keeps
    x for the stages that follow, and ``d`` multiplies it. The step to 0, where a velocity may be infinite, is x_0-hat.
    """
    rows = []
    for t, s in pairwise(times):
        if s == 0:
            rows.append(Row(t, s, 0.0, (1.0,)))
            continue
        h, m = s - t, (t + s) / 2
        rows.append(Row(t, m, 1.0, (h / 2,), hold=True, output=_velocity(schedule, t)))
        rows.append(Row(m, s, 0.0, (2 * h, -h), d=1.0, output=_velocity(schedule, m)))
        rows.append(Row(s, s, 0.0, (h / 6, 4 * h / 6, h / 6), d=1.0, output=_velocity(schedule, s)))
    return Plan("kutta3", tuple(rows))


def _velocity(schedule: Schedule, t: float) -> tuple[float, float]:
    """(P, Q): eps-hat = (x - alpha x_0-hat) / sigma."""
    alpha_rate, sigma_rate = schedule.rates(t)
    p = float(sigma_rate / schedule.sigma(t))
    return p, float(alpha_rate - p * schedule.alpha(t))
