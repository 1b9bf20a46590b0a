"""The core's answers to the hooks, asked after the plugin and its extensions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from diffx.condition import Conditioning
from diffx.config import RunConfig
from diffx.data.spec import Spec
from diffx.io.files import atomic
from diffx.nets import DiT, UNet
from diffx.plan import SOLVERS, JointPlan, Plan
from diffx.plugins import plugins_of
from diffx.plugins.hookspecs import hookimpl
from diffx.process import WEIGHTS, Gaussian, Process
from diffx.run.gallery import gallery, grey, window
from diffx.run.images import open_picture
from diffx.sampling import Adaptive, Sampler, plan_for
from diffx.schedule import SCHEDULES, lognormal, uniform_time
from diffx.schedule.distribution import NoiseDistribution
from diffx.state import each

__all__ = [
    "diffx_denoiser",
    "diffx_metrics",
    "diffx_networks",
    "diffx_plan",
    "diffx_process",
    "diffx_report",
    "diffx_samplers",
    "diffx_schedules",
    "diffx_write",
    "dit",
    "unet",
]


@hookimpl
def diffx_denoiser(cfg: RunConfig, spec: Spec, conditioning: Conditioning) -> nn.Module:
    """The network ``net.name``; a U-Net by default."""
    make = plugins_of(cfg).named("diffx_networks", "net.name", cfg.net.name)
    return make(cfg=cfg, spec=spec, conditioning=conditioning)


@hookimpl
def diffx_process(cfg: RunConfig, spec: Spec) -> Gaussian:
    """Gaussian diffusion on ``process.schedule``, with the noise distribution and weights of ``process.*``."""
    options = cfg.process
    make = plugins_of(cfg).named("diffx_schedules", "process.schedule", options.schedule)
    schedule = make(sigma_max=options.sigma_max) if "sigma_max" in signature(make).parameters else make()
    spread: NoiseDistribution = uniform_time
    if options.noise_distribution == "lognormal":
        spread = lognormal(options.noise_mean, options.noise_std, options.noise_tail)
    return Gaussian(schedule, options.sigma_data, spread, WEIGHTS[options.weight](options.sigma_data, options.gamma))


@hookimpl
def diffx_plan(cfg: RunConfig, process: Process) -> Plan | JointPlan | Sampler:
    """What ``sample.*`` asks for, of all solvers loaded; all leaves of a mixed state in step."""
    return plan_for(process, cfg.sample, plugins_of(cfg).table("diffx_samplers"))


@hookimpl
def diffx_write(cfg: RunConfig, samples: Any, folder: Path) -> Iterable[Path]:
    """One .npy file a sample, and a .png beside it for an image; one .npz with an array a leaf for a mixed state.

    An image [1 or 3, H, W] is shown from its 0.5th to its 99.5th percentile.
    """
    mixed = isinstance(samples, Mapping)
    arrays = each(lambda leaf: leaf.numpy(), samples)
    files = []
    for number in range(len(next(iter(arrays.values())) if mixed else arrays)):
        path = folder / f"sample-{cfg.seed + number:04d}.{'npz' if mixed else 'npy'}"
        with atomic(path) as partial, open(partial, "wb") as file:
            if mixed:
                np.savez(file, **{name: leaf[number] for name, leaf in arrays.items()})
            else:
                np.save(file, arrays[number], allow_pickle=False)
        files.append(path)
        if not mixed and arrays[number].ndim == 3 and len(arrays[number]) in (1, 3):
            files.append(_picture(arrays[number], path.with_suffix(".png")))
    return files


def _picture(image: np.ndarray, path: Path) -> Path:
    with atomic(path) as partial:
        open_picture(grey(image, *window(image))).save(partial)
    return path


@hookimpl
def diffx_metrics(cfg: RunConfig, samples: Any) -> Mapping[str, float]:
    """Mean and standard deviation over all samples, of each leaf of a mixed state."""
    leaves = samples if isinstance(samples, Mapping) else {"sample": samples}
    figures = {"mean": lambda leaf: leaf.double().mean(), "std": lambda leaf: leaf.double().std()}
    return {f"{name}_{what}": float(of(leaf)) for name, leaf in leaves.items() for what, of in figures.items()}


@hookimpl
def diffx_report(cfg: RunConfig, run: Any, samples: Any) -> bool:
    """How many samples, how they were drawn, and a gallery of them."""
    run.report.facts({"samples": cfg.n, "sampler": cfg.sample.sampler, "steps": cfg.sample.steps})
    for picture in gallery(each(lambda leaf: leaf.numpy(), samples)):
        run.report.picture(*picture)
    return True


@hookimpl
def diffx_samplers() -> Mapping[str, Callable[..., Any]]:
    return {**SOLVERS, "adaptive": Adaptive}


@hookimpl
def diffx_schedules() -> Mapping[str, Callable[..., Any]]:
    return SCHEDULES


@hookimpl
def diffx_networks() -> Mapping[str, Callable[..., Any]]:
    return {"unet": unet, "dit": dit}


def unet(cfg: RunConfig, spec: Spec, conditioning: Conditioning, **options: Any) -> UNet:
    """The U-Net that ``net.*`` describes, for a state of this spec and what the conditioners say."""
    net = cfg.net
    options |= {"channels": net.channels, "blocks": net.blocks, "attention": net.attention}
    return UNet(spec.dims, spec.channels, **_told(cfg, conditioning), **options)


def dit(cfg: RunConfig, spec: Spec, conditioning: Conditioning, **options: Any) -> DiT:
    """The diffusion transformer that ``net.*`` describes, for a state of this spec and what the conditioners say."""
    net = cfg.net
    options |= {"patch": net.patch, "width": net.width, "depth": net.depth, "heads": net.heads}
    return DiT(spec.dims, spec.channels, **_told(cfg, conditioning), **options)


def _told(cfg: RunConfig, conditioning: Conditioning) -> dict[str, Any]:
    widths = {"vector": conditioning.vector, "tokens": conditioning.tokens, "spatial": conditioning.spatial}
    return {**widths, "checkpointing": cfg.train.checkpointing}
