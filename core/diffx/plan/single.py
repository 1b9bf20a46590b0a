"""Solvers of one evaluation a step and no memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

from diffx.plan.grids import steps
from diffx.process.table import Plan, Row
from diffx.schedule import Schedule


def denoise(t: float) -> Row:
    """The last row of every plan that ends at 0: the prediction is the sample."""
    return Row(t, 0.0, 0.0, (1.0,))


def ancestral(schedule: Schedule, t: float, s: float, eta: float) -> tuple[float, float]:
    """(deterministic, fresh) parts of the noise at s, of squares that sum to sigma(s)^2.

    eta = 0 keeps all that is in the state; at eta = 1 the fresh part has the variance of the posterior.

    Raises:
        ValueError: eta outside [0, 1].
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"ancestral steps have eta from 0 to 1, not {eta}")
    shrink = schedule.ratio(s) / schedule.ratio(t)  # sigma_s alpha_t / (alpha_s sigma_t); 0 from zero SNR
    fresh = eta * schedule.sigma(s) * math.sqrt(1 - shrink**2) if eta else 0.0
    return float(schedule.sigma(s) * math.sqrt(1 - eta**2 + (eta * shrink) ** 2 if eta else 1.0)), float(fresh)


def transfer(schedule: Schedule, t: float, s: float, eta: float = 0.0) -> Row:
    """The step that is exact if the prediction does not change: x_s = alpha_s x_0-hat + kept eps-hat + fresh z.

    Finite from zero SNR too, where other rules are not.
    """
    kept, fresh = ancestral(schedule, t, s, eta)
    a = kept / float(schedule.sigma(t))
    return Row(t, s, a, (float(schedule.alpha(s) - schedule.alpha(t) * a),), fresh)


def ddim(schedule: Schedule, times: Sequence[float], eta: float = 0.0) -> Plan:
    """Song et al. 2021, eq. 12 and 16, for any alpha and sigma; eta = 0 deterministic, 1 ancestral."""
    rows = [transfer(schedule, t, s, eta) if s else denoise(t) for t, s in steps(schedule, times, eta)]
    return Plan("ddim" if eta == 0 else f"ddim(eta={eta:g})", tuple(rows))


def ddpm(schedule: Schedule, times: Sequence[float]) -> Plan:
    """Ancestral sampling with the posterior variance (Ho et al. 2020, eq. 7)."""
    return Plan("ddpm", ddim(schedule, times, eta=1.0).rows)


def euler_ancestral(schedule: Schedule, times: Sequence[float], eta: float = 1.0) -> Plan:
    """Euler in sigma/alpha to less noise than asked for, and fresh noise up to it: "Euler a" of k-diffusion.

    The same numbers as ``ddim`` with that eta, of which eta = 1 is ``ddpm``.
    """
    return Plan(f"euler_ancestral(eta={eta:g})", ddim(schedule, times, eta).rows)


def velocity(schedule: Schedule, t: float) -> tuple[float, float]:
    """(P, Q) with dx/dt = P x + Q x_0-hat: the probability flow in the schedule's own time.

    Raises:
        ValueError: it is infinitely fast there, as at t_max of :class:`Sigmoid`.
    """
    d_alpha, d_sigma = schedule.rates(t)
    p = d_sigma / schedule.sigma(t)
    q = d_alpha - p * schedule.alpha(t)
    if not (math.isfinite(p) and math.isfinite(q)):
        raise ValueError(f"the flow of {schedule} is infinitely fast at t = {t:g}: start later, or use ddim")
    return float(p), float(q)


def euler(schedule: Schedule, times: Sequence[float]) -> Plan:
    """First order on the probability flow in schedule time: on EDM that of Karras et al. 2022, algorithm 1 without its
    correction; on rectified flow that of Liu et al. 2023."""
    rows = []
    for t, s in steps(schedule, times):
        if s == 0:
            rows.append(denoise(t))
            continue
        p, q = velocity(schedule, t)
        rows.append(Row(t, s, 1 + (s - t) * p, ((s - t) * q,)))
    return Plan("euler", tuple(rows))
