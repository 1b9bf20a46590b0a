"""Plans by names, as a configuration gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature

from diffx.plan.adams import ab, lms
from diffx.plan.grids import GRIDS
from diffx.plan.multistep import dpmpp
from diffx.plan.pndm import pndm
from diffx.plan.single import ddim, ddpm, euler, euler_ancestral
from diffx.plan.stages import dpm2, dpmpp_2s, heun
from diffx.plan.unipc import unipc
from diffx.process.base import Process, Solver
from diffx.process.gaussian import Gaussian
from diffx.process.table import JointPlan, Plan
from diffx.schedule import Schedule

SOLVERS: dict[str, Solver] = {
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
    process: Process | Schedule,
    sampler: str = "unipc",
    steps: int = 24,
    grid: str = "karras",
    eta: float | None = None,
    stop: float = 0.0,
    start: float | None = None,
    strength: float | None = None,
    sigma_data: float | None = None,
    invert: bool = False,
    solvers: Mapping[str, Solver] = SOLVERS,
) -> Plan | JointPlan:
    """The plan of a process, by the names of a sampler and a grid.

    Args:
        process: what is sampled. Its schedule and ``sigma_data`` are used; a mixed state has a plan for each leaf, in
            step with the leaf that leads. A ``Schedule`` stands for the Gaussian process on it.
        sampler: a key of ``solvers``; for Gaussian noise. Tokens have transitions, points of a manifold random walks.
        steps: intervals of the grid, each of one evaluation; two, but for the last, for ``heun``, ``dpm2`` and
            ``dpmpp_2s``, four for the first three of ``pndm``, and two for the first of ``plms``.
        grid: a key of ``GRIDS``.
        eta: share of fresh noise, 0 is deterministic; None: what is usual for the sampler.
        stop: sigma/alpha below which no more steps are taken: the prediction there is the sample. It is smoother than a
            sample, and free of what a network of little training makes of the finest detail.
        start: sigma/alpha of the first time, for image to image: the state there is ``process.corrupt(x_0, plan.rows[0]
            .t, noise)``, and all steps lie below. By default the prior's, 80 at most in grids spaced in noise.
        strength: the same as a share of the schedule's time, in (0, 1].
        sigma_data: standard deviation of the data of a bare ``Schedule``, 1 by default; a process has its own.
        invert: go up instead, from data to noise, without fresh noise. The state at the first time, the least noise of
            the grid, is x_0 times alpha, and what comes out is the state at the prior.
        solvers: the solvers there are.

    Raises:
        ValueError: an unknown name, steps < 1, an eta for a sampler that has none or for an inversion, a start out of
            range or given twice, a sigma_data beside that of the process.
    """
    for kind, name, known in (("sampler", sampler, solvers), ("grid", grid, GRIDS)):
        if name not in known:
            raise ValueError(f"unknown {kind} {name!r}; known: {', '.join(known)}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    if isinstance(process, Schedule):
        process = Gaussian(process, 1.0 if sigma_data is None else sigma_data)
    elif sigma_data is not None:
        raise ValueError(f"the process has its own sigma_data, {process.sigma_data:g}; give no other")
    solver = solvers[sampler]
    if eta and process.uses_solver and not _takes(solver, "eta"):
        with_eta = ", ".join(name for name, other in solvers.items() if _takes(other, "eta"))
        raise ValueError(f"sampler {sampler!r} has no eta; those that have: {with_eta}")
    if strength is not None:
        if start is not None or not 0 < strength <= 1:
            raise ValueError(f"strength is a share above 0 and at most 1, in place of start, not {strength}")
        whole = strength == 1
        start = None if whole else float(process.schedule.ratio(strength * process.schedule.t_max))
    return process.plan(solver, _times(process, grid, steps, start, stop, invert), eta)


def _times(
    process: Process, grid: str, steps: int, start: float | None, stop: float, invert: bool
) -> tuple[float, ...]:
    schedule, spaced = process.schedule, GRIDS[grid]
    data = {"sigma_data": process.sigma_data} if _takes(spaced, "sigma_data") else {}
    noisy = float(schedule.ratio(0.0)) > stop
    if not invert:
        times = spaced(schedule, steps, start, **data)
        return tuple(t for t in times if t == 0 or schedule.ratio(t) > stop)
    # where the schedule is clean at 0, the inversion starts at the time before, one interval further up
    times = spaced(schedule, steps if noisy else steps + 1, start, **data)
    return tuple(t for t in reversed(times) if schedule.ratio(t) > stop)


def _takes(function: Callable, name: str) -> bool:
    return name in signature(function).parameters
