"""Solvers of several evaluations a step."""

from __future__ import annotations

import math
from collections.abc import Sequence

from diffx.plan.grids import steps
from diffx.plan.single import ancestral, denoise, transfer, velocity
from diffx.process.table import Plan, Row
from diffx.schedule import Schedule


def heun(schedule: Schedule, times: Sequence[float]) -> Plan:
    """Second order, two evaluations a step, Euler to 0 (Karras et al. 2022, algorithm 1)."""
    rows = []
    for t, s in steps(schedule, times):
        if s == 0:
            rows.append(denoise(t))
            continue
        h = s - t
        p, q = velocity(schedule, t)
        p_s, q_s = velocity(schedule, s)
        rows.append(Row(t, s, 1 + h * p, (h * q,), hold=True))
        rows.append(Row(s, s, h / 2 * p_s, (h / 2 * q_s, h / 2 * q), d=1 + h / 2 * p))
    return Plan("heun", tuple(rows))


def dpm2(schedule: Schedule, times: Sequence[float], eta: float = 0.0) -> Plan:
    """Second order, two evaluations a step: the eps of the middle, in log-SNR, for the whole of it (DPM-Solver-2, Lu et
    al. 2022a, with r_1 = 1/2, in the form of k-diffusion's ``sample_dpm_2``; eta: its ancestral form).

    From zero SNR the first step is one of ``ddim``.
    """
    rows = []
    for t, s in steps(schedule, times, eta):
        middle = _middle(schedule, t, s, eta)
        if middle is None:
            rows.append(transfer(schedule, t, s, eta) if s else denoise(t))
            continue
        kept, fresh = ancestral(schedule, t, s, eta)
        shrink = float(schedule.alpha(s) / schedule.alpha(t))
        eps = (kept - shrink * float(schedule.sigma(t))) / float(schedule.sigma(middle))
        rows.append(_half(schedule, t, middle))
        rows.append(Row(middle, s, eps, (-eps * float(schedule.alpha(middle)),), fresh, shrink))
    return Plan("dpm2" + (f"(eta={eta:g})" if eta else ""), tuple(rows))


def dpmpp_2s(schedule: Schedule, times: Sequence[float], eta: float = 0.0) -> Plan:
    """Second order, two evaluations a step: the prediction of the middle, in log-SNR, for the whole of it
    (DPM-Solver++(2S), Lu et al. 2022b, algorithm 1, r = 1/2; eta: the ancestral form of k-diffusion).

    From zero SNR the first step is one of ``ddim``.
    """
    rows = []
    for t, s in steps(schedule, times, eta):
        middle = _middle(schedule, t, s, eta)
        whole = transfer(schedule, t, s, eta) if s else denoise(t)
        if middle is None:
            rows.append(whole)
        else:
            rows.append(_half(schedule, t, middle))
            rows.append(Row(middle, s, 0.0, whole.b, whole.c, whole.a))
    return Plan("dpmpp_2s" + (f"(eta={eta:g})" if eta else ""), tuple(rows))


def _half(schedule: Schedule, t: float, middle: float) -> Row:
    row = transfer(schedule, t, middle)
    return Row(t, middle, row.a, row.b, hold=True)


def _middle(schedule: Schedule, t: float, s: float, eta: float) -> float | None:
    """Time half way, in log-SNR, to where the deterministic part of the step goes; None if that is nowhere."""
    if s == 0 or schedule.alpha(t) == 0 or schedule.alpha(s) == 0:
        return None
    end = ancestral(schedule, t, s, eta)[0] / schedule.alpha(s)
    return float(schedule.time(math.sqrt(schedule.ratio(t) * end)))
