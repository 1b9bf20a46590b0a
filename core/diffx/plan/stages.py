"""Solvers of several evaluations a step."""

from __future__ import annotations

from collections.abc import Sequence

from diffx.plan.grids import pairs
from diffx.plan.single import denoise, velocity
from diffx.plan.table import Plan, Row
from diffx.process.schedule import Schedule


def heun(schedule: Schedule, times: Sequence[float]) -> Plan:
    """Second order, two evaluations a step, Euler to 0 (Karras et al. 2022, algorithm 1)."""
    rows = []
    for t, s in pairs(times):
        if s == 0:
            rows.append(denoise(t))
            continue
        h = s - t
        p, q = velocity(schedule, t)
        p_s, q_s = velocity(schedule, s)
        rows.append(Row(t, s, 1 + h * p, (h * q,), hold=True))
        rows.append(Row(s, s, h / 2 * p_s, (h / 2 * q_s, h / 2 * q), d=1 + h / 2 * p))
    return Plan("heun", tuple(rows))
