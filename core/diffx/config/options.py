"""The options every run has. A plugin's own configuration inherits `RunConfig` and adds to it.

@dataclass
class BrainData(DataConfig):
    spacing: float = option(2.0, help="voxel size after resampling", unit="mm", min=0.5, max=8)

@dataclass
class BrainConfig(RunConfig):
    age: Optional[float] = option(None, help="age of the person", unit="years", min=0, max=120)
    data: BrainData = field(default_factory=BrainData)
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


def option(
    default: Any,
    *,
    help: str,
    unit: str = "",
    min: float | None = None,
    max: float | None = None,
    choices: Sequence[Any] | None = None,
    common: bool = False,
    former: str | None = None,
) -> Any:
    """Declare one option of a configuration dataclass.

    default: its value when nobody sets it; a list is copied for each instance.
    help: what it does, in a few words; unit: of the number, e.g. "mm".
    min, max: inclusive bounds of a number, or of each number of a list.
    choices: the allowed values, or the allowed elements of a list.
    common: one of the ten or so that people use first, which `--help` shows; the others are in `--help --all`.
    former: the name it had before in its group, which is accepted with a hint.
    """
    declared = {
        "help": help,
        "unit": unit,
        "min": min,
        "max": max,
        "choices": None if choices is None else tuple(choices),
        "common": common,
        "former": former,
    }
    if isinstance(default, list):
        return field(default_factory=lambda: copy.deepcopy(default), metadata=declared)
    return field(default=default, metadata=declared)


@dataclass
class DataConfig:
    """Where the data lies."""

    root: str | None = option(None, help="folder of the data to read", common=True)


@dataclass
class TrainConfig:
    """How a network is trained."""

    steps: int = option(10_000, help="optimiser steps", min=1, common=True)
    batch: int = option(4, help="samples in one forward pass", min=1)
    accumulate: int = option(1, help="forward passes in one optimiser step", min=1)
    optimizer: str = option(
        "adamw", help="adamw, or muon: orthogonal updates of matrices and convolutions", choices=("adamw", "muon")
    )
    lr: float = option(3e-4, help="peak learning rate", min=0)
    warmup: int = option(200, help="steps over which the learning rate rises", min=0)
    decay: str = option(
        "cosine", help="how the learning rate falls: cosine to the last step, or 1 / sqrt(step), which knows no end",
        choices=("cosine", "inverse_sqrt"),
    )  # fmt: skip
    constant: int = option(500, help="inverse_sqrt: step up to which the learning rate stays at its peak", min=1)
    clip: float = option(1.0, help="largest gradient norm; 0 is no clipping", min=0)
    weight_decay: float = option(0.0, help="decoupled weight decay", min=0)
    ema_std: float = option(
        0.05, help="relative width of the power-function average of the weights", min=0.005, max=0.27
    )
    ema_snapshots: int = option(
        0, help="steps between two snapshots, for an average of another width after training; 0 is none", min=0
    )
    uncertainty: bool = option(False, help="learn how well each noise level can be predicted, and weigh it by that")
    precision: str = option("auto", help="of the network; auto: the best", choices=("auto", "bf16", "fp16", "fp32"))
    log_every: int = option(20, help="steps between two lines of metrics", min=1)
    checkpoint_every: int = option(500, help="steps between two checkpoints", min=1)
    val_every: int = option(500, help="steps between two validations; 0 is none", min=0)
    checkpointing: bool = option(False, help="recompute activations in the backward pass: less memory, more time")
    compile: bool = option(False, help="compile the network with torch.compile")
    workers: int = option(0, help="processes that load data", min=0)
    lora_rank: int = option(
        0, help="train low-rank adapters beside the weights of from=, of this rank; 0 trains the weights", min=0
    )
    cond_dropout: float = option(0.1, help="share of samples trained without condition, for guidance", min=0, max=1)


@dataclass
class ProcessConfig:
    """What noise does to the state, and what the network predicts."""

    schedule: str = option(
        "edm",
        help="noise schedule: edm, ve, cosine, sigmoid, linear, linear_zero, subvp, flow, flow_shifted or a plugin's",
    )
    predict: str = option("edm", help="what the network outputs", choices=("edm", "v", "x0", "eps", "flow"))
    sigma_data: float = option(1.0, help="standard deviation of the clean state", min=1e-6)
    per_element: bool = option(False, help="measure it on the training data, for each element of the state by itself")
    sigma_max: float = option(80.0, help="noise where sampling starts, for schedule edm", min=1)
    noise_distribution: str = option(
        "lognormal",
        help="how the noise of training is distributed: lognormal in sigma/alpha, or uniform in time",
        choices=("lognormal", "uniform"),
        former="levels",
    )
    noise_mean: float = option(
        -0.4, help="lognormal: mean of log(sigma/alpha) of the training noise", former="level_mean"
    )
    noise_std: float = option(
        1.4,
        help="lognormal: standard deviation of log(sigma/alpha) of the training noise",
        min=0.01,
        former="level_std",
    )
    noise_tail: float = option(
        0.0,
        help="lognormal: share of the training noise spread evenly up to the top",
        min=0,
        max=0.9,
        former="level_tail",
    )
    weight: str = option(
        "edm", help="how much each noise level counts in the loss", choices=("edm", "min_snr", "sigmoid")
    )
    gamma: float = option(5.0, help="signal-to-noise ratio up to which min_snr and sigmoid weigh by it", min=0.01)


@dataclass
class NetConfig:
    """The network."""

    name: str = option("unet", help="network: unet, dit or an extension's")
    condition: int = option(64, help="width of the conditioning vector", min=1)
    self_condition: bool = option(False, help="show the network its own last estimate")
    channels: list[int] = option([64, 128, 192], help="unet: width of each resolution, finest first", min=4)
    blocks: int = option(2, help="unet: residual blocks a resolution", min=1)
    attention: list[int] = option([2], help="unet: resolutions with attention, 0 the finest", min=0)
    width: int = option(384, help="dit: width of a token", min=8)
    depth: int = option(12, help="dit: number of blocks", min=1)
    heads: int = option(6, help="dit: attention heads; they divide the width", min=1)
    patch: int = option(2, help="dit: edge of the patch that is one token", min=1)


GRIDS = ("uniform", "trailing", "karras", "log_snr", "exponential", "angle", "angle_least")  # of diffx.plan, torch-free


@dataclass
class SampleConfig:
    """How samples are drawn."""

    sampler: str = option(
        "unipc",
        help="the solver: ddpm, ddim, euler, euler_ancestral, heun, dpm2, dpmpp_2s, dpmpp_1m, dpmpp_2m, dpmpp_3m, "
        "unipc, unipc_3, ab2, ab3, ab4, lms, pndm, plms, adaptive or an extension's",
    )
    steps: int = option(24, help="steps of the solver", min=1)
    grid: str = option(
        "karras",
        help="how the steps are spaced over the noise levels",
        choices=GRIDS,
    )
    eta: float | None = option(
        None, help="share of fresh noise: 0 is deterministic; none: what is usual for the sampler", min=0
    )
    stop: float = option(0.0, help="noise (sigma/alpha) at which the prediction is taken for the sample", min=0, max=10)
    tolerance: float = option(
        1e-3, help="adaptive: error allowed in a step, as a share of the data's deviation", min=1e-6, max=1
    )
    correct_steps: int = option(0, help="ddim, ddpm, euler: Langevin corrections after each step; 0 is none", min=0)
    snr: float = option(0.16, help="signal-to-noise ratio of a Langevin correction", min=1e-3, max=1)
    guidance: float = option(1.0, help="weight of classifier-free guidance; 1 is off", min=0)
    guidance_interval: list[float] = option(
        [], help="noise (sigma/alpha) from which and up to which to guide, as 0.2,2; empty: all", min=0
    )
    guidance_rescale: float = option(
        0.0, help="share in which a guided prediction is scaled back to its usual deviation", min=0, max=1
    )
    batch: int = option(1, help="samples drawn together; changes the speed, not the samples", min=1)


@dataclass
class RunConfig:
    """What every run can be told. A field with a trailing underscore is named without it (`from_` is `from=`)."""

    plugin: str = option("", help="the plugin to run")
    task: str = option("", help="what to do; each plugin has a default")
    preset: str | None = option(None, help="a named set of values of the plugin")
    config: str | None = option(None, help="a YAML file of values")
    out: str | None = option(
        None, help="the run folder, exactly; default runs/<plugin>/<date-time>-<task>", common=True
    )
    from_: str | None = option(None, help="weights to start from: an id, a file or a run folder", common=True)
    resume: bool = option(False, help="go on with the run in out=, or with the newest of this task")
    seed: int = option(0, help="seed of everything random", min=0, max=2**62, common=True)
    n: int = option(1, help="how many samples", min=1, max=10**9, common=True)
    device: str = option("auto", help="where to compute", choices=("auto", "cpu", "cuda"))
    extensions: list[str] = option([], help="further plugins, for their samplers, schedules, networks and step hooks")
    data: DataConfig = field(default_factory=DataConfig)
    process: ProcessConfig = field(default_factory=ProcessConfig)
    net: NetConfig = field(default_factory=NetConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
