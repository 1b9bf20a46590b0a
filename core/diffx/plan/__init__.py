"""Plans: a sampler is a table of numbers, made by a function from a schedule and a grid of times."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature

from diffx.plan.grids import GRIDS
from diffx.plan.multistep import dpmpp
from diffx.plan.resample import repaint
from diffx.plan.single import ddim, ddpm, euler
from diffx.plan.stages import heun
from diffx.plan.table import JointPlan, JointRow, Plan, Row
from diffx.plan.transitions import follow, in_step, transitions
from diffx.plan.walk import temper, walk
from diffx.process.schedule import Schedule

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


__all__ = [
    "GRIDS",
    "SOLVERS",
    "JointPlan",
    "JointRow",
    "Plan",
    "Row",
    "ddim",
    "ddpm",
    "dpmpp",
    "euler",
    "follow",
    "heun",
    "in_step",
    "make_plan",
    "repaint",
    "temper",
    "transitions",
    "walk",
]
