"""Solvers of one evaluation a step and no memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

from diffx.plan.grids import pairs
from diffx.plan.table import Plan, Row
from diffx.process.schedule import Schedule


def denoise(t: float) -> Row:
    """The last row of every plan that ends at 0: the prediction is the sample."""
    return Row(t, 0.0, 0.0, (1.0,))


def ddim(schedule: Schedule, times: Sequence[float], eta: float = 0.0) -> Plan:
    """Song et al. 2021, eq. 12 and 16, for any alpha and sigma; eta = 0 deterministic, 1 ancestral."""
    if not 0 <= eta <= 1:
        raise ValueError(f"ddim has eta from 0 to 1, not {eta}")
    rows = []
    for t, s in pairs(times):
        if s == 0:
            rows.append(denoise(t))
            continue
        shrink = schedule.ratio(s) / schedule.ratio(t)  # sigma_s alpha_t / (alpha_s sigma_t); 0 from zero SNR
        c = eta * schedule.sigma(s) * math.sqrt(1 - shrink**2)
        a = schedule.sigma(s) / schedule.sigma(t) * math.sqrt(1 - eta**2 + (eta * shrink) ** 2)
        rows.append(Row(t, s, float(a), (float(schedule.alpha(s) - schedule.alpha(t) * a),), float(c)))
    return Plan("ddim" if eta == 0 else f"ddim(eta={eta:g})", tuple(rows))


def ddpm(schedule: Schedule, times: Sequence[float]) -> Plan:
    """Ancestral sampling with the posterior variance (Ho et al. 2020, eq. 7)."""
    return Plan("ddpm", ddim(schedule, times, eta=1.0).rows)


def velocity(schedule: Schedule, t: float) -> tuple[float, float]:
    """(P, Q) with dx/dt = P x + Q x_0-hat: the probability flow in the schedule's own time."""
    d_alpha, d_sigma = schedule.rates(t)
    p = d_sigma / schedule.sigma(t)
    return float(p), float(d_alpha - p * schedule.alpha(t))


def euler(schedule: Schedule, times: Sequence[float]) -> Plan:
    """First order on the probability flow in schedule time: EDM's Euler on EDM, the flow's Euler on rectified flow."""
    rows = []
    for t, s in pairs(times):
        p, q = velocity(schedule, t)
        rows.append(denoise(t) if s == 0 else Row(t, s, 1 + (s - t) * p, ((s - t) * q,)))
    return Plan("euler", tuple(rows))
