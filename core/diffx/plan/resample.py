"""RePaint: go back up to more noise and come down again, so that what is free can still adapt to what is known."""

from __future__ import annotations

import math

from diffx.process.table import Plan, Row
from diffx.schedule import Schedule


def renoise(schedule: Schedule, s: float, t: float) -> Row:
    """A row from time s up to t > s, without evaluation: x_t = (alpha_t / alpha_s) x_s + c z of the forward process."""
    a = float(schedule.alpha(t) / schedule.alpha(s))
    return Row(s, t, a, (), math.sqrt(max(0.0, schedule.sigma(t) ** 2 - (a * schedule.sigma(s)) ** 2)), evaluate=False)


def repaint(plan: Plan, schedule: Schedule, times: int = 10, jump: int = 1) -> Plan:
    """Walk each ``jump`` rows of a plan ``times`` times, going back up by fresh noise in between (Lugmayr et al. 2022,
    algorithm 1 and section 4.2). The last row, which hands on the prediction, comes once.

    Args:
        plan: of a solver without memory: ddim, ddpm or euler.
        times: how often; 1 gives the plan back.
        jump: rows from one turning point to the next.

    Raises:
        ValueError: times or jump below 1, or a plan whose rows use what earlier rows left.
    """
    if times < 1 or jump < 1:
        raise ValueError(f"repaint has times and jump of at least 1, not {times} and {jump}")
    if any(len(row.b) > 1 or row.d or not row.evaluate for row in plan.rows):
        raise ValueError(f"{plan.name} remembers what going back up makes stale; repaint ddim, ddpm or euler")
    *body, last = plan.rows
    rows: list[Row] = []
    for first in range(0, len(body), jump):
        down = body[first : first + jump]
        rows += down
        for _ in range(times - 1):
            rows += [renoise(schedule, down[-1].s, down[0].t), *down]
    return Plan(f"repaint({plan.name}, times={times}, jump={jump})", (*rows, last))
