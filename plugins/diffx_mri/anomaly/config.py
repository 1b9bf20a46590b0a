"""Options of mri_anomaly."""

from __future__ import annotations

from dataclasses import dataclass, field

from diffx.config import DataConfig, NetConfig, ProcessConfig, RunConfig, SampleConfig, TrainConfig, option

PLUGIN = "mri_anomaly"
WEIGHTS = {"FLAIR": "mri-anomaly-flair", "T1w": "mri-anomaly-t1w"}  # FLAIR: of diffx-weights-research


@dataclass
class AnomalyData(DataConfig):
    """A BIDS folder of scans."""

    root: str | None = option(None, help="BIDS folder of scans; task=train takes a packed file, too", common=True)
    masks: bool = option(True, help="look inside the brain masks of derivatives/, where there are; false: whole heads")
    cache: str | None = option(None, help="folder for the packed slices; by default the user's cache folder")
    split: float = option(0.1, help="share held out where participants.tsv has no split column", min=0, max=0.5)
    shapes: str | None = option(
        None, help="train: folder of lesion masks whose shapes are put into healthy slices; none: made-up shapes"
    )


@dataclass
class HealthyNet(NetConfig):
    channels: list[int] = option([32, 64, 96, 112], help="width of each resolution, finest first", min=4)
    blocks: int = option(1, help="residual blocks a resolution", min=1)
    attention: list[int] = option([3], help="resolutions with attention, 0 the finest", min=0)
    fold: int = option(2, help="edge of the squares of pixels that are folded into channels; 1 is none", min=1, max=8)


@dataclass
class HealthyProcess(ProcessConfig):
    # A lesion is many pixels that change together: less noise than this does not hide it, and the network would read
    # it from the state instead of the scan.
    sigma_max: float = option(80.0, help="noise where sampling starts, for schedule edm", min=1)
    sigma_data: float = option(0.1, help="standard deviation of the clean state", min=1e-6)
    noise_mean: float = option(2.0, help="mean of log(sigma/alpha) of the training noise")
    noise_std: float = option(1.4, help="standard deviation of log(sigma/alpha) of the training noise", min=0.01)
    noise_tail: float = option(0.3, help="share of the training noise spread evenly up to the top", min=0, max=0.9)


@dataclass
class HealthyTraining(TrainConfig):
    steps: int = option(4000, help="optimiser steps", min=1, common=True)
    batch: int = option(16, help="slices in one forward pass", min=1)
    lr: float = option(1e-3, help="peak learning rate", min=0)
    cond_dropout: float = option(0.0, help="share of slices trained without their scan", min=0, max=1)


@dataclass
class HealthySampling(SampleConfig):
    sampler: str = option("euler", help="the solver, as for any plugin; the figures were measured with this one")
    steps: int = option(4, help="steps of the solver, of which those below stop are left out", min=1)
    # One evaluation, at the noise where sampling starts, ranks voxels best; at stop=1 three draw sharper images.
    stop: float = option(
        30.0, help="noise (sigma/alpha) at which the prediction is taken for the sample", min=0, max=100
    )
    batch: int = option(16, help="slices drawn together; changes the speed, not the slices", min=1)


@dataclass
class ScoreConfig:
    """What is done to the anomaly score. Thresholds hold for the values that they were counted with."""

    median: int = option(5, help="edge of the median filter in a slice, odd; 1 is none", unit="pixels", min=1, max=15)
    layers: int = option(3, help="slices that the median goes through, odd", min=1, max=9)
    ring: float = option(2.0, help="depth below a head's surface in which nothing is marked", unit="pixels", min=0)


@dataclass
class EvaluateConfig:
    """What task=evaluate compares with, and lesions it makes itself."""

    others: list[str] = option([], help="weights of other methods to compare with (method=regression, autoencoder)")
    simulate: str | None = option(
        None,
        help="put lesions into healthy scans: `ellipsoids`, or a folder of lesion masks whose shapes to use",
        common=True,
    )
    volumes: list[float] = option([5.0, 60.0], help="simulate: least and greatest volume", unit="ml", min=0.05)
    lesions: int = option(1, help="simulate: lesions in each scan", min=1, max=20)
    small: float = option(2.0, help="lesions below this volume are called small", unit="ml", min=0)
    large: float = option(20.0, help="lesions above this volume are called large", unit="ml", min=0)
    false_lesions: float = option(
        1.0, help="false lesions that a healthy scan may show, for lesion_f1_strict", min=1e-3, max=1000
    )
    all: bool = option(False, help="all scans of data.root, and not the held-out ones alone")


@dataclass
class AnomalyConfig(RunConfig):
    """What is not healthy in a brain scan, where, and how sure, in the scan's own space."""

    n: int = option(
        0, help="healthy images drawn of each scan, whose agreement is the certainty; 0: as many as thresholds were "
        "counted with", min=0, max=1000, common=True,
    )  # fmt: skip
    image: str | None = option(None, help="the scan, NIfTI; or a BIDS folder in data.root=", common=True)
    mask: str | None = option(None, help="brain mask of image=; a BIDS folder has them in derivatives/", common=True)
    contrast: str | None = option(None, help="FLAIR or T1w, where the file's name does not tell", common=True)
    fpr: float = option(0.005, help="share of healthy voxels that may be marked", min=1e-6, max=0.2, common=True)
    false_lesions: float | None = option(
        None, help="false lesions that a healthy scan may show; takes the place of fpr", min=1e-3, max=1000
    )
    calibration: str | None = option(
        None, help="thresholds of your own healthy scans, the file that task=calibrate wrote", common=True
    )
    smallest: float = option(0.1, help="marked regions below this volume are dropped", unit="ml", min=0)
    method: str = option(
        "diffusion",
        help="train: the diffusion that heals, or what it is compared with: a regression, a denoising autoencoder",
        choices=("diffusion", "regression", "autoencoder"),
    )
    data: AnomalyData = field(default_factory=AnomalyData)
    net: HealthyNet = field(default_factory=HealthyNet)
    process: HealthyProcess = field(default_factory=HealthyProcess)
    train: HealthyTraining = field(default_factory=HealthyTraining)
    sample: HealthySampling = field(default_factory=HealthySampling)
    score: ScoreConfig = field(default_factory=ScoreConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
