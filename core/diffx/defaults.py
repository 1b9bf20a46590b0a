"""The core's answers to the hooks, asked after the plugin and its extensions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from diffx import tasks
from diffx.config import RunConfig
from diffx.hookspecs import hookimpl
from diffx.nets import UNet
from diffx.plan import SOLVERS
from diffx.process import SCHEDULES, Gaussian, lognormal
from diffx.run.files import atomic
from diffx.spec import Spec


@hookimpl
def diffx_denoiser(cfg: RunConfig, spec: Spec, conditioners: Mapping[str, Any]) -> nn.Module:
    """The network ``net.name``; a U-Net by default."""
    make = tasks.plugins_of(cfg).named("diffx_networks", "net.name", cfg.net.name)
    return make(cfg=cfg, spec=spec, vector=cfg.net.condition if conditioners else 0)


@hookimpl
def diffx_process(cfg: RunConfig, spec: Spec) -> Gaussian:
    """Gaussian diffusion on ``process.schedule`` with log-normal training levels."""
    options = cfg.process
    make = tasks.plugins_of(cfg).named("diffx_schedules", "process.schedule", options.schedule)
    schedule = make(sigma_max=options.sigma_max) if "sigma_max" in signature(make).parameters else make()
    levels = lognormal(options.level_mean, options.level_std, options.level_tail)
    return Gaussian(schedule, options.sigma_data, levels)


@hookimpl
def diffx_write(cfg: RunConfig, samples: Tensor, folder: Path) -> Iterable[Path]:
    """One .npy file a sample."""
    files = []
    for number, one in enumerate(samples):
        path = folder / f"sample-{cfg.seed + number:04d}.npy"
        with atomic(path) as partial, open(partial, "wb") as file:
            np.save(file, one.numpy(), allow_pickle=False)
        files.append(path)
    return files


@hookimpl
def diffx_metrics(cfg: RunConfig, samples: Tensor) -> Mapping[str, float]:
    """Mean and standard deviation over all samples."""
    return {"sample_mean": float(samples.mean()), "sample_std": float(samples.std())}


@hookimpl
def diffx_report(cfg: RunConfig, run: Any) -> bool:
    """How many samples, and how they were drawn."""
    run.report.facts({"samples": cfg.n, "sampler": cfg.sample.sampler, "steps": cfg.sample.steps})
    return True


@hookimpl
def diffx_tasks() -> Mapping[str, Callable[[Any], None]]:
    return {"train": tasks.train, "sample": tasks.sample}


@hookimpl
def diffx_samplers() -> Mapping[str, Callable[..., Any]]:
    return SOLVERS


@hookimpl
def diffx_schedules() -> Mapping[str, Callable[..., Any]]:
    return SCHEDULES


@hookimpl
def diffx_networks() -> Mapping[str, Callable[..., Any]]:
    return {"unet": unet}


def unet(cfg: RunConfig, spec: Spec, vector: int, **options: Any) -> UNet:
    """The U-Net that ``net.*`` describes for a state of this spec."""
    return UNet(
        spec.dims,
        spec.shape[0],
        channels=cfg.net.channels,
        blocks=cfg.net.blocks,
        attention=cfg.net.attention,
        vector=vector,
        checkpointing=cfg.train.checkpointing,
        **options,
    )
