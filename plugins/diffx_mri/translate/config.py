"""Options of mri_translate."""

from __future__ import annotations

from dataclasses import dataclass, field

from diffx.config import DataConfig, NetConfig, ProcessConfig, RunConfig, SampleConfig, TrainConfig, option

PLUGIN = "mri_translate"
WEIGHTS = "mri-translate-lgg"  # shipped with the package


@dataclass
class SliceData(DataConfig):
    """A BIDS folder in which subjects were scanned in several contrasts."""

    root: str | None = option(None, help="BIDS folder, or the .safetensors that task=pack made of one", common=True)
    contrasts: list[str] = option(["FLAIR", "T1ce"], help="what to learn: FLAIR, T1w, T1ce, T2w, PDw, ... each to each")
    size: int = option(128, help="edge of the square slices that the network sees", unit="pixels", min=16, max=512)
    spacing: float = option(2.0, help="edge of their pixels", unit="mm", min=0.25, max=8)
    gap: float = option(
        6.0, help="distance of the two neighbouring slices shown beside each; thicker slices show the adjacent ones",
        unit="mm", min=0,
    )  # fmt: skip
    cache: str | None = option(None, help="folder for the packed slices; by default the user's cache folder")
    split: float = option(0.1, help="share held out where participants.tsv has no split column", min=0, max=0.5)


@dataclass
class SliceNet(NetConfig):
    channels: list[int] = option([48, 64, 96], help="width of each resolution, finest first", min=4)
    blocks: int = option(1, help="residual blocks a resolution", min=1)
    attention: list[int] = option([2], help="resolutions with attention, 0 the finest", min=0)
    fold: int = option(4, help="edge of the squares of pixels that are folded into channels; 1 is none", min=1, max=8)


@dataclass
class SliceProcess(ProcessConfig):
    # The source decides most of the target: no noise above hides more than the network knows anyway.
    sigma_max: float = option(20.0, help="noise where sampling starts, for schedule edm", min=1)
    noise_mean: float = option(0.0, help="mean of log(sigma/alpha) of the training noise")


@dataclass
class SliceTraining(TrainConfig):
    steps: int = option(20_000, help="optimiser steps", min=1, common=True)
    batch: int = option(8, help="slices in one forward pass", min=1)
    lr: float = option(6e-4, help="peak learning rate", min=0)
    cond_dropout: float = option(0.0, help="share of slices trained without their source", min=0, max=1)


@dataclass
class SliceSampling(SampleConfig):
    sampler: str = option("dpmpp_2m", help="the solver, as for any plugin; the figures were measured with this one")
    steps: int = option(6, help="steps of the solver", min=1)
    batch: int = option(16, help="slices drawn together; changes the speed, not the slices", min=1)


@dataclass
class TranslateConfig(RunConfig):
    """A missing contrast from one at hand, in the scan's own space, with an uncertainty map."""

    n: int = option(
        8, help="samples of each volume; their spread is the uncertainty, one has none", min=1, max=1000, common=True
    )
    source: str | None = option(
        None, help="contrast at hand: FLAIR, T1w, T1ce, T2w, ...; evaluate: all, if not given", common=True
    )
    target: str | None = option(None, help="contrast to make of it", common=True)
    estimate: str = option(
        "regression",
        help="what is written: what the regression expects, or the mean or the median of the samples",
        choices=("regression", "mean", "median"),
        common=True,
    )
    regression: bool = option(
        False, help="task=train: a regression (L1), as the diffusion needs one in from=", common=True
    )
    data: SliceData = field(default_factory=SliceData)
    net: SliceNet = field(default_factory=SliceNet)
    process: SliceProcess = field(default_factory=SliceProcess)
    train: SliceTraining = field(default_factory=SliceTraining)
    sample: SliceSampling = field(default_factory=SliceSampling)
