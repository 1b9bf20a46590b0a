"""From the options ``sample.*`` to what :func:`diffx.sampling.sample` runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffx.config import SampleConfig
from diffx.errors import PluginError
from diffx.plan import SOLVERS, JointPlan, Plan, make_plan
from diffx.process import Process
from diffx.process.base import Solver
from diffx.sampling.correct import PredictorCorrector
from diffx.sampling.loop import Sampler, gaussian_only


def plan_for(
    process: Process, options: SampleConfig, solvers: Mapping[str, Solver] = SOLVERS
) -> Plan | JointPlan | Sampler:
    """What the options ask for: a plan of the process, a plan with Langevin corrections, or a sampler without a plan.

    Args:
        process: what is sampled.
        options: sampler, steps, grid and the rest of ``sample.*``.
        solvers: by the name of ``sample.sampler``; a class of :class:`Sampler` with ``from_options(process, options)``
            takes the place of a plan.

    Raises:
        ValueError: an unknown name, or options that do not go together.
        PluginError: a process that makes no plan.
    """
    if not isinstance(process, Process):
        kind = type(process).__name__
        raise PluginError(f"a {kind} process makes no plan: it has to inherit diffx.process.Process")
    made: Any = solvers.get(options.sampler)
    if hasattr(made, "from_options"):
        sampler: Sampler = made.from_options(process, options)
        return sampler
    plan = make_plan(
        process, options.sampler, options.steps, options.grid, options.eta, stop=options.stop, solvers=solvers
    )
    if not options.correct_steps:
        return plan
    gaussian_only(process, "Langevin corrections")
    assert isinstance(plan, Plan)
    return PredictorCorrector(plan, options.correct_steps, options.snr)
