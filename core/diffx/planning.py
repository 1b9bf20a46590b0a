"""From options to the plan of a whole state, mixed or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any

from diffx.config import SampleConfig
from diffx.errors import PluginError
from diffx.plan import SOLVERS, JointPlan, Plan, follow, in_step, make_plan, paced, transitions, walk
from diffx.plan.grids import GRIDS
from diffx.predict.selfcondition import SelfConditioned
from diffx.process import Gaussian, Geodesic, Product
from diffx.process.discrete import Discrete

Solvers = Mapping[str, Callable[..., Plan]]


def plan_state(process: Any, options: SampleConfig, solvers: Solvers = SOLVERS) -> Plan | JointPlan:
    """The solver ``options.sampler`` for Gaussian noise, transitions for tokens, a walk on a manifold.

    In a mixed state the first Gaussian leaf, or else the first of all, leads on the grid ``options.grid``, and the
    others go in step with it: at each row all leaves are at times that belong together in training.

    Raises:
        ValueError: an unknown name, or a solver that cannot keep the leaves in step.
        PluginError: a process that the core knows no plan for.
    """
    if isinstance(process, SelfConditioned):
        process = process.inner
    if not isinstance(process, Product):
        return _leaf(process, options, solvers)
    leaves = process.leaves
    leader = next((name for name, leaf in leaves.items() if isinstance(leaf, Gaussian)), next(iter(leaves)))
    lead = leaves[leader]
    plan = _leaf(lead, options, solvers)
    times = tuple(dict.fromkeys([*(row.t for row in plan.rows), plan.rows[-1].s]))
    plans = {}
    for name, leaf in leaves.items():
        if name == leader:
            plans[name] = plan
        elif isinstance(leaf, Discrete):
            plans[name] = follow(plan, lead, leaf)
        elif isinstance(leaf, Geodesic):
            plans[name] = paced(_leaf(leaf, options, solvers, in_step(times, lead, leaf)), plan)
        else:
            plans[name] = _leaf(leaf, options, solvers, in_step(times, lead, leaf))
    return JointPlan(plans)


def _leaf(process: Any, options: SampleConfig, solvers: Solvers, times: Sequence[float] | None = None) -> Plan:
    """Of one leaf; on the grid of the options where ``times`` are not given."""
    if isinstance(process, Gaussian):
        return _gaussian(process, options, solvers, times)
    if not isinstance(process, Discrete | Geodesic):
        kind = type(process).__name__
        raise PluginError(f"the core has no plan for a {kind} process: the plugin has to answer diffx_plan")
    if times is None:
        times = GRIDS[options.grid](process.schedule, options.steps)
    if isinstance(process, Discrete):
        return transitions(times, options.eta)
    return walk(process.schedule, times, options.eta)


def _gaussian(process: Gaussian, options: SampleConfig, solvers: Solvers, times: Sequence[float] | None) -> Plan:
    known = {"eta": options.eta or None, "sigma_data": process.sigma_data}
    if times is None:
        return make_plan(
            process.schedule,
            options.sampler,
            options.steps,
            options.grid,
            stop=options.stop,
            solvers=solvers,
            **known,  # type: ignore[arg-type]
        )
    solver = solvers[options.sampler]
    takes = signature(solver).parameters
    return solver(process.schedule, times, **{k: v for k, v in known.items() if v is not None and k in takes})
