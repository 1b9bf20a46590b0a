"""Samplers, schedules, networks and loggers of a plugin, each tried out where the answer is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffx.condition import Condition, Conditioning, Scalar
from diffx.config import RunConfig, SampleConfig
from diffx.data.spec import Spec
from diffx.errors import DiffxError, in_one_line
from diffx.plan import Plan
from diffx.plan.grids import GRIDS
from diffx.plugins.loader import Plugins, load
from diffx.process import Gaussian
from diffx.run import Run
from diffx.run.progress import Screen
from diffx.sampling import Sampler, sample
from diffx.schedule import EDM, Cosine, Schedule
from diffx.state import column

SPREAD = 0.5  # of the Gaussian that samplers have to find
STEPS = 100


def check_extension(name: str, folder: Path) -> Iterator[str]:
    """What is wrong with what a plugin adds to others: `diffx_samplers`, `_schedules`, `_networks`, `_step`, `_finish`.

    folder: for the run that a logger is shown.
    """
    plugins = load(name)
    kinds: tuple[tuple[str, str, Callable[[Any], Iterator[str]]], ...] = (
        ("diffx_samplers", "sampler", _sampler_problems),
        ("diffx_schedules", "schedule", _schedule_problems),
        ("diffx_networks", "network", _network_problems),
    )
    for hook, kind, problems in kinds:
        for key, make in plugins.own(hook).items():
            try:
                yield from (f"{kind} {key}: {line}" for line in problems(make))
            except Exception as error:
                yield f"{kind} {key}: {in_one_line(error)}"
    if not plugins.own_tasks():
        yield from _logger_problems(plugins, folder)


def _sampler_problems(solver: Callable[..., Plan]) -> Iterator[str]:
    """Its plans run from the first time to the last, and turn noise into N(0, 0.5^2), whose denoiser is exact."""
    for schedule in (EDM(), Cosine()):
        times = GRIDS["log_snr"](schedule, STEPS)
        where = f"on {type(schedule).__name__}, {STEPS} steps"
        if hasattr(solver, "from_options"):
            yield from _drawn_wrong(solver.from_options(Gaussian(schedule), SampleConfig()), schedule, where)
            continue
        plan = solver(schedule, times)
        if (plan.rows[0].t, plan.rows[-1].s) != (times[0], times[-1]):
            ends = f"from {plan.rows[0].t:g} to {plan.rows[-1].s:g}"
            yield f"{where}: its plan goes {ends} instead of {times[0]:g} to {times[-1]:g}"
            continue
        numbers = [v for row in plan.rows for v in (row.t, row.s, row.a, row.c, row.d, *row.b, *row.output)]
        if not all(map(math.isfinite, numbers)):
            yield f"{where}: its plan holds numbers that are not finite"
            continue
        yield from _drawn_wrong(plan, schedule, where)


def _drawn_wrong(plan: Plan | Sampler, schedule: Schedule, where: str) -> Iterator[str]:
    drawn = sample(_exact(schedule), Gaussian(schedule), plan, (4096,), [0])
    mean, std = float(drawn.mean()), float(drawn.std())
    if not (abs(mean) < 0.1 * SPREAD and abs(std / SPREAD - 1) < 0.1):
        yield f"{where}: of data with mean 0 and deviation {SPREAD} it draws mean {mean:.3f}, deviation {std:.3f}"


def _exact(schedule: Schedule) -> Callable[..., torch.Tensor]:
    """E[x_0 | x_t] of data from N(0, SPREAD^2)."""

    def predict(x: torch.Tensor, t: Any, condition: Any = None) -> torch.Tensor:
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        return x * column(alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2), x)

    return predict


def _schedule_problems(make: Callable[..., Schedule]) -> Iterator[str]:
    """Noise grows with time, `time` inverts `ratio`, and `rates` are the derivatives."""
    schedule = make(sigma_max=80.0) if "sigma_max" in signature(make).parameters else make()
    t = np.linspace(0.01, 0.99, 99) * schedule.t_max
    alpha, sigma, ratio = schedule.alpha(t), schedule.sigma(t), schedule.ratio(t)
    if not (np.isfinite(alpha).all() and np.isfinite(sigma).all() and (alpha >= 0).all() and (sigma > 0).all()):
        yield "alpha and sigma are not finite and positive on (0, t_max)"
    elif not (np.diff(ratio) > 0).all():
        yield "sigma/alpha does not grow with time"
    else:
        if not np.allclose(schedule.time(ratio), t, rtol=1e-6):
            yield "time() is not the inverse of ratio()"
        h = 1e-6 * schedule.t_max
        names = ("alpha", "sigma")
        for name, rate in zip(names, schedule.rates(t), strict=True):
            values = getattr(schedule, name)
            numeric = (values(t + h) - values(t - h)) / (2 * h)
            if not np.allclose(rate, numeric, rtol=1e-4, atol=1e-4 * np.abs(numeric).max()):
                yield f"rates() gives another d {name}/dt than the differences of {name}"


def _network_problems(make: Callable[..., torch.nn.Module]) -> Iterator[str]:
    """For a state of one, two or three dimensions - one is enough - it returns the state's shape, finite, with
    gradients, and under a condition that it was told of."""
    causes = []
    for spec in (Spec((2, 16)), Spec((2, 16, 16)), Spec((2, 16, 16, 16))):
        cfg = RunConfig()
        cfg.net.channels, cfg.net.blocks, cfg.net.attention = [16, 16], 1, []
        cfg.net.width, cfg.net.depth, cfg.net.heads = 32, 1, 2
        try:
            conditioning = Conditioning({"level": Scalar(0, 1, cfg.net.condition)})
            net = make(cfg=cfg, spec=spec, conditioning=conditioning)
            x = torch.linspace(-1, 1, 3 * math.prod(spec.shape)).reshape(3, *spec.shape)  # type: ignore[arg-type]
            condition: Condition = conditioning(conditioning.collate([{"level": 0.5}] * 3))
            out = net(x, torch.zeros(3), condition)
        except Exception as error:
            causes.append(in_one_line(error))
            continue
        if out.shape != x.shape:
            yield f"for a state {list(x.shape)} it returns {list(out.shape)}"
        out.square().mean().backward()
        gradients = [p.grad for p in net.parameters() if p.grad is not None]
        if not gradients or not all(g.isfinite().all() for g in [out, *gradients]):
            yield f"for a state {list(x.shape)} its output or its gradients are not finite"
        return
    yield f"it takes no state of one, two or three dimensions: {causes[0]}"


def _logger_problems(plugins: Plugins, folder: Path) -> Iterator[str]:
    """It bears being told of two steps and of the end of a run."""
    cfg = RunConfig(plugin="none", task="train")
    run = Run(cfg, folder, screen=Screen(quiet=True))
    failures: list[DiffxError] = []
    for step, recorded in ((1, False), (2, True)):
        values = {"loss": 1.0 / step if recorded else torch.tensor(1.0 / step)}
        failures += plugins.notify("diffx_step", run=run, step=step, values=values, recorded=recorded)
    failures += plugins.notify("diffx_finish", run=run, error=None)
    yield from map(str, failures)
