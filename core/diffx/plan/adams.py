"""Adams-Bashforth solvers: a polynomial through the last outputs, integrated exactly, whatever the spacing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from diffx.plan.grids import steps
from diffx.plan.single import denoise, transfer
from diffx.process.table import Plan, Row
from diffx.schedule import Schedule

_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(2)  # exact for cubics


def lagrange_integrals(nodes: Sequence[float], low: float, high: float) -> tuple[float, ...]:
    """Integrals from low to high of the Lagrange polynomials of at most four nodes."""
    at = (low + high) / 2 + (high - low) / 2 * _POINTS
    values = []
    for j, node in enumerate(nodes):
        others = [(at - other) / (node - other) for k, other in enumerate(nodes) if k != j]
        values.append(float((high - low) / 2 * (_WEIGHTS * np.prod([np.ones(2), *others], axis=0)).sum()))
    return tuple(values)


def lms(schedule: Schedule, times: Sequence[float], order: int = 4) -> Plan:
    """Linear multistep of order 1 to 4 on eps, which is d(x/alpha) / d(sigma/alpha) on the probability flow: "LMS" of
    k-diffusion. Lower orders fill the first rows, so a whole path converges with order 2 at most.

    From zero SNR the first step is one of ``ddim``.
    """
    return _adams(
        f"lms(order={order})",
        schedule,
        times,
        order,
        coordinate=lambda t: float(schedule.ratio(t)),
        scale=lambda t: float(schedule.alpha(t)),
        output=lambda t: (1 / float(schedule.sigma(t)), -float(schedule.alpha(t) / schedule.sigma(t))),
    )


def ab(schedule: Schedule, times: Sequence[float], order: int = 2, sigma_data: float = 1.0) -> Plan:
    """Adams-Bashforth of order 1 to 4 on the velocity in the angle phi, sigma/alpha = sigma_data tan(phi).

    With z = x / hypot(alpha sigma_data, sigma), of unit variance at every time, the probability flow is

        dz/dphi = v = (cos(phi) z - x_0-hat / sigma_data) / sin(phi)

    (Lu and Song 2024, "TrigFlow"): the v of Salimans and Ho 2022 in units of the data, 0 for Gaussian data of deviation
    sigma_data, and regular at zero SNR. Lower orders fill the first rows, so a whole path converges with order 2 at
    most, of smaller constant the higher the order.
    """
    if not sigma_data > 0:
        raise ValueError(f"sigma_data is positive, not {sigma_data}")

    def norm(t: float) -> float:
        return math.hypot(schedule.alpha(t) * sigma_data, schedule.sigma(t))

    def output(t: float) -> tuple[float, float]:
        alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
        return alpha * sigma_data / sigma / norm(t), -norm(t) / (sigma_data * sigma)

    def angle(t: float) -> float:
        return math.atan2(schedule.sigma(t), schedule.alpha(t) * sigma_data)

    return _adams(f"ab{order}(sigma_data={sigma_data:g})", schedule, times, order, angle, norm, output)


def _adams(
    name: str,
    schedule: Schedule,
    times: Sequence[float],
    order: int,
    coordinate: Callable[[float], float],
    scale: Callable[[float], float],
    output: Callable[[float], tuple[float, float]],
) -> Plan:
    """x / scale follows the output p x + q x_0-hat, (p, q) = output, in the coordinate."""
    if order not in (1, 2, 3, 4):
        raise ValueError(f"{name.partition('(')[0]} has order 1 to 4, not {order}")
    rows: list[Row] = []
    nodes: list[float] = []  # newest first
    for t, s in steps(schedule, times):
        here, there = coordinate(t), coordinate(s)
        if s == 0:
            rows.append(denoise(t))
        elif not (math.isfinite(here) and math.isfinite(there)):
            rows.append(transfer(schedule, t, s))
        else:
            nodes = [here, *nodes][:order]
            b = tuple(scale(s) * weight for weight in lagrange_integrals(nodes, here, there))
            rows.append(Row(t, s, scale(s) / scale(t), b, output=output(t)))
    return Plan(name, tuple(rows))
