"""A solver is a table of numbers.

A linear sampler over x_0-hat predictions is fully described by one row an evaluation:

    x' = A x + D anchor + sum_j B_j m_-j + C z,        m_0 = x_0-hat(x, t),  m_-1 the one before, ...

so the functions here only compute coefficients, in host float64, from a schedule and a grid of times. A plan is
frozen, printable, comparable, survives JSON, and can be used any number of times.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from inspect import signature

import numpy as np

from diffx.process.schedule import Schedule, sigma_range


@dataclass(frozen=True)
class Row:
    """One evaluation at time ``t`` and the linear update to time ``s``.

    ``b[j]`` multiplies the j-th newest prediction, ``c`` fresh noise, ``d`` the anchor; ``hold`` makes the state before
    this update the anchor (first stage of a two-stage step).
    """

    t: float
    s: float
    a: float
    b: tuple[float, ...]
    c: float = 0.0
    d: float = 0.0
    hold: bool = False


@dataclass(frozen=True)
class Plan:
    """Rows in order of execution."""

    name: str
    rows: tuple[Row, ...]

    def __len__(self) -> int:
        """Network evaluations."""
        return len(self.rows)

    def __str__(self) -> str:
        head = f"{self.name}: {len(self)} evaluations\n{'t':>12} {'s':>12} {'A':>12} {'D':>12} {'C':>12}  B"
        lines = [
            f"{r.t:12.6g} {r.s:12.6g} {r.a:12.6g} {r.d:12.6g} {r.c:12.6g}  "
            + " ".join(f"{b:.6g}" for b in r.b)
            + (" (anchor)" if r.hold else "")
            for r in self.rows
        ]
        return "\n".join([head, *lines])

    def to_json(self) -> str:
        """Lossless: ``Plan.from_json(plan.to_json()) == plan``."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        raw = json.loads(text)
        return cls(raw["name"], tuple(Row(**{**r, "b": tuple(r["b"])}) for r in raw["rows"]))


# ---------------------------------------------------------------------------------------------------------- grids


def uniform(schedule: Schedule, n: int) -> tuple[float, ...]:
    """n + 1 times, evenly spaced from t_max to 0."""
    return tuple(float(t) for t in schedule.t_max * (1 - np.arange(n + 1) / n))


def _spaced(schedule: Schedule, n: int, to: Callable, back: Callable) -> tuple[float, ...]:
    """n times evenly spaced in to(sigma/alpha), then 0."""
    low, high = sigma_range(schedule)
    ramp = np.linspace(0.0, 1.0, n) if n > 1 else np.zeros(1)
    ratios = back(to(high) + ramp * (to(low) - to(high)))
    ratios[0] = high
    return (*(float(schedule.time(r)) for r in ratios), 0.0)


def karras(schedule: Schedule, n: int, rho: float = 7.0) -> tuple[float, ...]:
    """Evenly spaced in (sigma/alpha)^(1/rho), then 0 (Karras et al. 2022, eq. 5)."""
    return _spaced(schedule, n, lambda s: s ** (1 / rho), lambda y: y**rho)


def log_snr(schedule: Schedule, n: int) -> tuple[float, ...]:
    """Evenly spaced in log-SNR, then 0 (Lu et al. 2022)."""
    return _spaced(schedule, n, np.log, np.exp)


def angle(schedule: Schedule, n: int, sigma_data: float = 1.0) -> tuple[float, ...]:
    """sigma/alpha = sigma_data tan(phi) with phi evenly spaced down to 0 (the coordinate of Lu and Song 2024)."""
    top = math.atan(sigma_range(schedule)[1] / sigma_data)
    phi = top * (1 - np.arange(n + 1) / n)
    return tuple(float(schedule.time(r)) for r in sigma_data * np.tan(phi))


GRIDS: dict[str, Callable[..., tuple[float, ...]]] = {
    "uniform": uniform,
    "karras": karras,
    "log_snr": log_snr,
    "angle": angle,
}

# -------------------------------------------------------------------------------------------------------- solvers


def _pairs(times: Sequence[float]) -> list[tuple[float, float]]:
    times = [float(t) for t in times]
    if len(times) < 2 or not all(t > s >= 0 for t, s in itertools.pairwise(times)):
        raise ValueError(f"a time grid falls strictly from noise towards 0 and has two entries at least, not {times}")
    return list(itertools.pairwise(times))


def _denoise(t: float) -> Row:
    """The last row of every plan that ends at 0: the prediction is the sample."""
    return Row(t, 0.0, 0.0, (1.0,))


def ddim(schedule: Schedule, times: Sequence[float], eta: float = 0.0) -> Plan:
    """Song et al. 2021, eq. 12 and 16, for any alpha and sigma; eta = 0 deterministic, 1 ancestral."""
    if not 0 <= eta <= 1:
        raise ValueError(f"ddim has eta from 0 to 1, not {eta}")
    rows = []
    for t, s in _pairs(times):
        if s == 0:
            rows.append(_denoise(t))
            continue
        shrink = schedule.ratio(s) / schedule.ratio(t)  # sigma_s alpha_t / (alpha_s sigma_t); 0 from zero SNR
        c = eta * schedule.sigma(s) * math.sqrt(1 - shrink**2)
        a = schedule.sigma(s) / schedule.sigma(t) * math.sqrt(1 - eta**2 + (eta * shrink) ** 2)
        rows.append(Row(t, s, float(a), (float(schedule.alpha(s) - schedule.alpha(t) * a),), float(c)))
    return Plan("ddim" if eta == 0 else f"ddim(eta={eta:g})", tuple(rows))


def ddpm(schedule: Schedule, times: Sequence[float]) -> Plan:
    """Ancestral sampling with the posterior variance (Ho et al. 2020, eq. 7)."""
    return Plan("ddpm", ddim(schedule, times, eta=1.0).rows)


def _velocity(schedule: Schedule, t: float) -> tuple[float, float]:
    """(P, Q) with dx/dt = P x + Q x_0-hat: the probability flow in the schedule's own time."""
    d_alpha, d_sigma = schedule.rates(t)
    p = d_sigma / schedule.sigma(t)
    return float(p), float(d_alpha - p * schedule.alpha(t))


def euler(schedule: Schedule, times: Sequence[float]) -> Plan:
    """First order on the probability flow in schedule time: EDM's Euler on EDM, the flow's Euler on rectified flow."""
    rows = []
    for t, s in _pairs(times):
        p, q = _velocity(schedule, t)
        rows.append(_denoise(t) if s == 0 else Row(t, s, 1 + (s - t) * p, ((s - t) * q,)))
    return Plan("euler", tuple(rows))


def heun(schedule: Schedule, times: Sequence[float]) -> Plan:
    """Second order, two evaluations a step, Euler to 0 (Karras et al. 2022, algorithm 1)."""
    rows = []
    for t, s in _pairs(times):
        if s == 0:
            rows.append(_denoise(t))
            continue
        h = s - t
        p, q = _velocity(schedule, t)
        p_s, q_s = _velocity(schedule, s)
        rows.append(Row(t, s, 1 + h * p, (h * q,), hold=True))
        rows.append(Row(s, s, h / 2 * p_s, (h / 2 * q_s, h / 2 * q), d=1 + h / 2 * p))
    return Plan("heun", tuple(rows))


def dpmpp(schedule: Schedule, times: Sequence[float], order: int = 2, eta: float = 0.0) -> Plan:
    """DPM-Solver++ multistep, data prediction (Lu et al. 2022b; eta > 0: its SDE form).

    Order 1 is DDIM, 2 the midpoint rule "2M", 3 the quadratic "3M"; lower orders fill the first rows. "3M" is kept as
    published, with half of the second difference's exact weight: it converges with order 2, by a smaller constant
    than "2M", and at 10 to 50 steps beats the rule with the exact weight.
    """
    if order not in (1, 2, 3):
        raise ValueError(f"dpmpp has order 1, 2 or 3, not {order}")
    if not eta >= 0:
        raise ValueError(f"dpmpp has eta of at least 0, not {eta}")
    rows: list[Row] = []
    steps: list[float] = []  # h of the rows so far, newest last
    for t, s in _pairs(times):
        if s == 0:
            rows.append(_denoise(t))
            continue
        shrink = float(schedule.ratio(s) / schedule.ratio(t))
        h = -math.log(shrink) if shrink > 0 else math.inf
        h_eta = h * (1 + eta)
        gain = -math.expm1(-h_eta)  # weight of the prediction
        known = [x for x in reversed(steps) if math.isfinite(x)][: order - 1] if math.isfinite(h) else []
        b = [1.0]
        if len(known) == 1:
            # "3M" starts with the exact linear rule, "2M" uses the midpoint rule throughout
            slope = h / known[0] * (0.5 if order == 2 else 1 / gain - 1 / h_eta)
            b = [1 + slope, -slope]
        elif len(known) == 2:
            r0, r1 = known[0] / h, known[1] / h
            phi2, phi3 = 1 - gain / h_eta, (1 - gain / h_eta) / h_eta - 0.5
            first = [(1 + r0 / (r0 + r1)) / r0, 0.0, r0 / (r0 + r1) / r1]
            first[1] = -first[0] - first[2]
            second = [1 / r0 / (r0 + r1), 0.0, 1 / r1 / (r0 + r1)]
            second[1] = -second[0] - second[2]
            b = [(phi2 * f - phi3 * g) / gain for f, g in zip(first, second, strict=True)]
            b[0] += 1
        alpha, sigma = float(schedule.alpha(s)), float(schedule.sigma(s))
        a = sigma / float(schedule.sigma(t)) * shrink**eta
        c = sigma * math.sqrt(1 - shrink ** (2 * eta)) if eta else 0.0
        rows.append(Row(t, s, a, tuple(alpha * gain * x for x in b), c))
        steps.append(h)
    return Plan(f"dpmpp_{order}m" + (f"(eta={eta:g})" if eta else ""), tuple(rows))


SOLVERS: dict[str, Callable[..., Plan]] = {
    "ddpm": ddpm,
    "ddim": ddim,
    "euler": euler,
    "heun": heun,
    "dpmpp_1m": partial(dpmpp, order=1),
    "dpmpp_2m": partial(dpmpp, order=2),
    "dpmpp_3m": partial(dpmpp, order=3),
}


def make_plan(
    schedule: Schedule,
    sampler: str,
    steps: int,
    grid: str = "karras",
    eta: float | None = None,
    stop: float = 0.0,
    solvers: Mapping[str, Callable[..., Plan]] = SOLVERS,
) -> Plan:
    """A plan by names, as a configuration gives them.

    Args:
        sampler: a key of ``solvers``. grid: a key of ``GRIDS``. steps: intervals of the grid (two evaluations each
            but the last for ``heun``). eta: stochasticity, where the sampler has it.
        stop: sigma/alpha below which no more steps are taken: the prediction there is the sample. It is smoother than a
            sample, and free of what a network of little training makes of the finest detail.

    Raises:
        ValueError: unknown name, steps < 1, or an eta for a sampler that has none.
    """
    for kind, name, known in (("sampler", sampler, solvers), ("grid", grid, GRIDS)):
        if name not in known:
            raise ValueError(f"unknown {kind} {name!r}; known: {', '.join(known)}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    solver = solvers[sampler]
    if eta is not None and "eta" not in signature(solver).parameters:
        raise ValueError(f"sampler {sampler!r} has no eta; ddim and dpmpp have")
    times = [t for t in GRIDS[grid](schedule, steps) if t == 0 or schedule.ratio(t) > stop]
    return solver(schedule, times, **({} if eta is None else {"eta": eta}))
