"""Pseudo numerical methods: classic rules for eps, each step made by the transfer that is exact for constant eps."""

from __future__ import annotations

from collections.abc import Sequence

from diffx.plan.grids import steps
from diffx.plan.single import denoise, transfer
from diffx.process.table import Plan, Row
from diffx.schedule import Schedule

# Adams-Bashforth for even steps, newest first; by how many eps there are.
_ADAMS = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))


def pndm(schedule: Schedule, times: Sequence[float], skip_prk: bool = False) -> Plan:
    """PNDM (Liu et al. 2022): three steps of pseudo Runge-Kutta, four evaluations each (eq. 13), then pseudo linear
    multistep with the last four eps (eq. 12).

    The multistep weights are those of even steps, so the grid should be even in time; on any smooth grid the order is
    two. From zero SNR the first step is one of ``ddim``.

    Args:
        skip_prk: start the multistep from one step of two evaluations, eps averaged, and lower orders instead: "PLMS"
            of Stable Diffusion, n + 1 evaluations.
    """
    rows: list[Row] = []
    slots: list[int] = []  # evaluations at which the eps that multistep uses were left, newest first
    count = 0  # evaluations so far
    for t, s in steps(schedule, times):
        if s == 0:
            rows.append(denoise(t))
            continue
        if schedule.alpha(t) == 0 or schedule.alpha(s) == 0:
            rows.append(transfer(schedule, t, s))
            count += 1
            continue
        if not skip_prk and len(slots) < 3:
            rows += _runge_kutta(schedule, t, s)
            slots, count = [count, *slots], count + 4
            continue
        if skip_prk and not slots:
            rows += [
                _move(schedule, t, t, s, (1.0,), hold=True),
                _move(schedule, s, t, s, (0.5, 0.5), anchor=True),
            ]
            slots, count = [count], count + 2
            continue
        slots, count = [count, *slots][:4], count + 1
        weights = [0.0] * (slots[0] - slots[-1] + 1)
        for slot, weight in zip(slots, _ADAMS[len(slots) - 1], strict=True):
            weights[slots[0] - slot] = weight
        rows.append(_move(schedule, t, t, s, tuple(weights)))
    return Plan("plms" if skip_prk else "pndm", tuple(rows))


def _move(
    schedule: Schedule,
    at: float,
    t: float,
    s: float,
    weights: tuple[float, ...],
    hold: bool = False,
    anchor: bool = False,
) -> Row:
    """Evaluate eps at time ``at``; from the state of time t (or the anchor) to s by the weighted eps, newest first."""
    shrink = float(schedule.alpha(s) / schedule.alpha(t))
    gain = float(schedule.sigma(s)) - shrink * float(schedule.sigma(t))
    sigma = float(schedule.sigma(at))
    output = (1 / sigma, -float(schedule.alpha(at)) / sigma)
    b = tuple(gain * weight for weight in weights)
    return Row(at, s, 0.0 if anchor else shrink, b, d=shrink if anchor else 0.0, hold=hold, output=output)


def _runge_kutta(schedule: Schedule, t: float, s: float) -> list[Row]:
    middle = (t + s) / 2
    return [
        _move(schedule, t, t, middle, (1.0,), hold=True),
        _move(schedule, middle, t, middle, (1.0,), anchor=True),
        _move(schedule, middle, t, s, (1.0,), anchor=True),
        _move(schedule, s, t, s, (1 / 6, 1 / 3, 1 / 3, 1 / 6), anchor=True),
    ]
