"""Error against network evaluations: on exact denoisers in one dimension, and on trained networks."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffx.plan import Plan, make_plan
from diffx.sampling import sample
from diffx.schedule import EDM

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from oracles import Mixture, execute

#: (sampler, grid); what a default could be, and what it is measured against
CANDIDATES = (
    ("ddim", "karras"),
    ("heun", "karras"),
    ("dpmpp_2m", "karras"),
    ("dpmpp_2m", "angle"),
    ("dpmpp_3m", "karras"),
    ("unipc", "karras"),
    ("unipc", "angle"),
    ("unipc_3", "karras"),
    ("ab2", "karras"),
    ("ab3", "karras"),
    ("ab2", "log_snr"),
    ("ab2", "angle_least"),
    ("ab3", "angle_least"),
)
SHORT = (("dpmpp_2m", "karras"), ("unipc", "karras"), ("unipc", "angle"), ("ab2", "angle_least"))
EXACT = {
    "N(0.7, 0.5^2)": (Mixture(), 0.86),
    "two modes": (Mixture((0.3, 0.7), (-1.0, 0.8), (0.3, 0.25)), 0.88),
    "70 % background spike": (Mixture((0.7, 0.3), (0.0, 1.5), (0.02, 0.5)), 0.87),
}
POINTS = (np.arange(1999) + 0.5) / 1999


@dataclass(frozen=True)
class Error:
    """What ``evaluations`` of a network come to; ``error`` is W1 for exact denoisers, relative RMS for trained ones."""

    data: str
    sampler: str
    evaluations: int
    error: float


def _plans(
    schedule: Any,
    counts: tuple[int, ...],
    sigma_data: float,
    stop: float = 0.0,
    chosen: tuple[tuple[str, str], ...] = CANDIDATES,
) -> Iterator[tuple[str, Plan]]:
    for sampler, grid in chosen:
        for count in counts:
            steps = (count + 1) // 2 if sampler == "heun" else count
            plan = make_plan(schedule, sampler, steps, grid, stop=stop, sigma_data=sigma_data)
            yield f"{sampler} {grid}", plan


def exact(counts: tuple[int, ...]) -> list[Error]:
    """W1 distance to the data of what a plan makes of the prior, by quantiles: no sampling error."""
    schedule, rows = EDM(), []
    for data, (mixture, sigma_data) in EXACT.items():
        truth = mixture.quantile(schedule, POINTS, 0.0)

        def denoise(x: np.ndarray, t: float, mixture: Mixture = mixture) -> np.ndarray:
            return mixture.denoise(schedule, x, t)

        for name, plan in _plans(schedule, counts, sigma_data):
            end = execute(plan, denoise, mixture.quantile(schedule, POINTS, plan.rows[0].t))
            rows.append(Error(data, name, len(plan), float(np.abs(np.sort(end) - truth).mean())))
        for name, run in _peers(denoise, mixture.quantile(schedule, POINTS, 80.0)).items():
            for count in counts:
                rows.append(Error(data, name, count, float(np.abs(np.sort(run(count)) - truth).mean())))
    return rows


def _peers(denoise: Callable[[np.ndarray, float], np.ndarray], start: np.ndarray) -> dict[str, Callable]:
    """The peers' samplers most used at few steps, on the same denoiser and start: evaluations -> end."""
    from diffusers import DPMSolverMultistepScheduler
    from k_diffusion import sampling

    def k_diffusion(count: int) -> np.ndarray:
        sigmas = sampling.get_sigmas_karras(count, 0.002, 80.0).double()

        def model(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(denoise(x[0].numpy(), float(sigma[0])))[None]

        return sampling.sample_dpmpp_2m(model, torch.from_numpy(start)[None], sigmas, disable=True)[0].numpy()

    def diffusers(count: int) -> np.ndarray:
        # variance preserving with its defaults, told the exact eps of the same data
        scheduler = DPMSolverMultistepScheduler(timestep_spacing="linspace")
        scheduler.set_timesteps(count)
        x = torch.from_numpy(start / 80.0)
        bar = scheduler.alphas_cumprod.double()
        for t in scheduler.timesteps:
            a, s = float(bar[t].sqrt()), float((1 - bar[t]).sqrt())
            eps = (x.numpy() - a * denoise(x.numpy() / a, s / a)) / s
            x = scheduler.step(torch.from_numpy(eps), t, x).prev_sample.double()
        return x.numpy()

    return {"k_diffusion dpmpp_2m karras": k_diffusion, "diffusers DPM++2M linspace": diffusers}


def trained(counts: tuple[int, ...], pipeline: Any, shape: tuple[int, ...], records: list[dict[str, Any]], name: str,
            reference: int, guidance: float = 1.0, stop: float = 0.0,
            chosen: tuple[tuple[str, str], ...] = CANDIDATES) -> list[Error]:  # fmt: skip
    """Relative RMS distance to where the probability flow ends, of the same starts: ||x_n - x*|| / ||x*||."""
    from diffx.guide import cfg

    seeds, process = range(len(records)), pipeline.process
    condition, null = (pipeline.condition(told, seeds) for told in (records, [{}] * len(records)))
    predict = cfg(pipeline.model.denoiser, guidance, null)
    sigma_data = process.sigma_data

    def run(plan: Plan) -> torch.Tensor:
        return sample(predict, process, plan, shape, seeds, condition)

    end = run(make_plan(process.schedule, "heun", reference, stop=stop))
    scale = end.square().mean().sqrt()
    return [
        Error(name, label, len(plan), float((run(plan) - end).square().mean().sqrt() / scale))
        for label, plan in _plans(process.schedule, counts, sigma_data, stop, chosen)
    ]


def evaluations_to(rows: list[Error], data: str, sampler: str, error: float) -> float:
    """Evaluations at which a sampler reaches an error, by interpolation in logarithms; inf where it does not."""
    points = sorted((r.evaluations, r.error) for r in rows if r.data == data and r.sampler == sampler)
    for (n0, e0), (n1, e1) in itertools.pairwise(points):
        if e1 <= error <= e0:
            share = np.log(e0 / error) / np.log(e0 / e1) if e0 > e1 else 0.0
            return float(np.exp(np.log(n0) + share * np.log(n1 / n0)))
    return float(points[0][0]) if points[0][1] <= error else float("inf")
