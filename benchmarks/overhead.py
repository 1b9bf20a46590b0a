"""What a sampler costs beside the network: microseconds a step on a small state, with a network that costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from timing import medians

STEPS = 50
SHAPE = (4, 3)


def ours() -> dict[str, Callable[[], Any]]:
    from diffx.plan import make_plan
    from diffx.process import Gaussian
    from diffx.sampling import sample
    from diffx.schedule import EDM

    process, out = Gaussian(EDM()), torch.zeros(SHAPE)
    start = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))

    def run(name: str, **options: Any) -> Callable[[], Any]:
        plan = make_plan(process.schedule, name, STEPS, **options)
        return lambda: sample(lambda x, t, c=None: out, process, plan, SHAPE[1:], range(4), start=start)

    return {
        "diffx ab2": run("ab2", grid="angle"),
        "diffx dpmpp_2m": run("dpmpp_2m"),
        "diffx unipc": run("unipc"),
        "diffx ddpm": run("ddpm"),
    }


def diffusers() -> dict[str, Callable[[], Any]]:
    from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler

    out = torch.zeros(SHAPE)

    def run(scheduler: Any) -> Callable[[], Any]:
        @torch.no_grad()
        def call() -> Any:
            scheduler.set_timesteps(STEPS)  # its state has to be reset for every use
            x = torch.zeros(SHAPE)
            for t in scheduler.timesteps:
                x = scheduler.step(out, t, x).prev_sample
            return x

        return call

    return {
        "diffusers DPMSolverMultistep": run(DPMSolverMultistepScheduler()),
        "diffusers DDIM": run(DDIMScheduler()),
        "diffusers UniPC": run(UniPCMultistepScheduler()),
        "diffusers DDPM": run(DDPMScheduler()),
    }


def k_diffusion() -> dict[str, Callable[[], Any]]:
    from k_diffusion import sampling

    out, sigmas = torch.zeros(SHAPE), sampling.get_sigmas_karras(STEPS, 0.002, 80.0)

    def run(name: str) -> Callable[[], Any]:
        solver = getattr(sampling, name)
        return lambda: solver(lambda x, sigma: out, torch.ones(SHAPE), sigmas, disable=True)

    return {"k_diffusion dpmpp_2m": run("sample_dpmpp_2m"), "k_diffusion euler": run("sample_euler")}


def monai() -> dict[str, Callable[[], Any]]:
    from monai.networks.schedulers import DDIMScheduler

    out = torch.zeros(SHAPE)
    scheduler = DDIMScheduler(1000)

    @torch.no_grad()
    def call() -> Any:
        scheduler.set_timesteps(STEPS)
        x = torch.zeros(SHAPE)
        for t in scheduler.timesteps:
            x, _ = scheduler.step(out, int(t), x)
        return x

    return {"monai DDIM": call}


def azula() -> dict[str, Callable[[], Any]]:
    from azula.denoise import Denoiser, DiracPosterior
    from azula.noise import VPSchedule
    from azula.sample import DDIMSampler, vABSampler

    class Zero(Denoiser):
        def __init__(self) -> None:
            super().__init__()
            self.schedule, self.out = VPSchedule(), torch.zeros(SHAPE)

        def forward(self, x_t: Any, t: Any, **kwargs: Any) -> Any:
            return DiracPosterior(mean=self.out)

    start = torch.zeros(SHAPE)
    samplers = {"azula DDIM": DDIMSampler(Zero(), steps=STEPS, silent=True)}
    samplers["azula vAB"] = vABSampler(Zero(), steps=STEPS, silent=True)
    return {name: (lambda sampler=sampler: sampler(start)) for name, sampler in samplers.items()}


#: the call of each that is compared: its usual deterministic solver of second order, or the nearest it has
COMPARED = {
    "diffx": "diffx dpmpp_2m",
    "diffusers": "diffusers DPMSolverMultistep",
    "k_diffusion": "k_diffusion dpmpp_2m",
    "monai": "monai DDIM",
    "azula": "azula vAB",
}


def measure(repeats: int) -> dict[str, float]:
    """Microseconds a step, by name."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a state this small gains nothing from a second thread
    try:
        calls = ours() | diffusers() | k_diffusion() | monai() | azula()
        return {name: value / STEPS * 1e6 for name, value in medians(calls, repeats, warmup=2).items()}
    finally:
        torch.set_num_threads(threads)
