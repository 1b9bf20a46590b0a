"""Plans: a sampler is a table of numbers, made by a function from a schedule and a grid of times."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature

from diffx.plan.adams import ab, lms
from diffx.plan.grids import GRIDS
from diffx.plan.multistep import dpmpp
from diffx.plan.pndm import pndm
from diffx.plan.resample import repaint
from diffx.plan.single import ddim, ddpm, euler, euler_ancestral
from diffx.plan.stages import dpm2, dpmpp_2s, heun
from diffx.plan.transitions import follow, in_step, paced, transitions
from diffx.plan.unipc import unipc
from diffx.plan.walk import temper, walk
from diffx.process.table import JointPlan, JointRow, Plan, Row
from diffx.schedule import Schedule

SOLVERS: dict[str, Callable[..., Plan]] = {
    "ddpm": ddpm,
    "ddim": ddim,
    "euler": euler,
    "euler_ancestral": euler_ancestral,
    "heun": heun,
    "dpm2": dpm2,
    "dpmpp_2s": dpmpp_2s,
    "dpmpp_1m": partial(dpmpp, order=1),
    "dpmpp_2m": partial(dpmpp, order=2),
    "dpmpp_3m": partial(dpmpp, order=3),
    "unipc": unipc,
    "unipc_3": partial(unipc, order=3),
    "ab2": partial(ab, order=2),
    "ab3": partial(ab, order=3),
    "ab4": partial(ab, order=4),
    "lms": lms,
    "pndm": pndm,
    "plms": partial(pndm, skip_prk=True),
}


def make_plan(
    schedule: Schedule,
    sampler: str,
    steps: int,
    grid: str = "karras",
    eta: float | None = None,
    stop: float = 0.0,
    start: float | None = None,
    strength: float | None = None,
    sigma_data: float = 1.0,
    invert: bool = False,
    solvers: Mapping[str, Callable[..., Plan]] = SOLVERS,
) -> Plan:
    """A plan by names, as a configuration gives them.

    Args:
        sampler: a key of ``solvers``. grid: a key of ``GRIDS``.
        steps: intervals of the grid, each of one evaluation; two, but for the last, for ``heun``, ``dpm2`` and
            ``dpmpp_2s``, four for the first three of ``pndm``, and two for the first of ``plms``.
        eta: stochasticity, where the sampler has it.
        stop: sigma/alpha below which no more steps are taken: the prediction there is the sample. It is smoother than a
            sample, and free of what a network of little training makes of the finest detail.
        start: sigma/alpha of the first time, for image to image: the state there is ``process.corrupt(x_0, plan.rows[0]
            .t, noise)``, and all steps lie below. By default the prior's, 80 at most in grids spaced in noise.
        strength: the same as a share of the schedule's time, in (0, 1].
        sigma_data: standard deviation of the data, for ``ab`` and the grid ``angle``.
        invert: go up instead, from data to noise, by the same steps but the last: x_0 times alpha is the state at the
            first time, of the least noise of the grid, and what comes out is the state at the prior. Without noise.

    Raises:
        ValueError: unknown name, steps < 1, an eta for a sampler that has none or for an inversion, a start out of
            range or said twice.
    """
    for kind, name, known in (("sampler", sampler, solvers), ("grid", grid, GRIDS)):
        if name not in known:
            raise ValueError(f"unknown {kind} {name!r}; known: {', '.join(known)}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    solver = solvers[sampler]
    if eta is not None and not _takes(solver, "eta"):
        with_eta = ", ".join(name for name, other in solvers.items() if _takes(other, "eta"))
        raise ValueError(f"sampler {sampler!r} has no eta; those that have: {with_eta}")
    if strength is not None:
        if start is not None or not 0 < strength <= 1:
            raise ValueError(f"strength is a share above 0 and at most 1, in place of start, not {strength}")
        start = float(schedule.ratio(strength * schedule.t_max)) if strength < 1 else None
    data = {"sigma_data": sigma_data}
    spaced = GRIDS[grid]
    times = spaced(schedule, steps + invert, start, **(data if _takes(spaced, "sigma_data") else {}))
    times = tuple(t for t in times if t == 0 or schedule.ratio(t) > stop)
    if invert:
        times = times[-2::-1]
    options = ({} if eta is None else {"eta": eta}) | (data if _takes(solver, "sigma_data") else {})
    return solver(schedule, times, **options)


def _takes(function: Callable, name: str) -> bool:
    return name in signature(function).parameters


__all__ = [
    "GRIDS",
    "SOLVERS",
    "JointPlan",
    "JointRow",
    "Plan",
    "Row",
    "ab",
    "ddim",
    "ddpm",
    "dpm2",
    "dpmpp",
    "dpmpp_2s",
    "euler",
    "euler_ancestral",
    "follow",
    "heun",
    "in_step",
    "lms",
    "make_plan",
    "paced",
    "pndm",
    "repaint",
    "temper",
    "transitions",
    "unipc",
    "walk",
]
