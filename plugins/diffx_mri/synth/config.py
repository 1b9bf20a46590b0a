"""Options of mri_synth."""

from __future__ import annotations

from dataclasses import dataclass, field

from diffx.config import GRIDS, DataConfig, NetConfig, ProcessConfig, RunConfig, SampleConfig, TrainConfig, option

PLUGIN = "mri_synth"
WEIGHTS = "mri-synth-ixi"  # shipped with the package
FINE = "mri-synth-ds002748-2to1"
VOXELS = (2, 1)  # mm, edges of a voxel that can be drawn
SPACE = "diffxbrain"
SPACE_SAID = (
    "Rigidly aligned to the mean of the training brains; the origin is near the anterior commissure and the axes are "
    "RAS+, so it lies roughly where MNI152 does, but head size is the person's own."
)
STAGE_NAMES = ("16to8", "8to4", "4to2", "2to1")  # of the cascade; from voxels of so many mm to half of that
AGES = (18, 90)  # years that the network can be told
WIDEST = 3.0  # standard deviations of log ventricle volume from what is usual


@dataclass
class BrainData(DataConfig):
    """A BIDS folder of T1-weighted scans."""

    root: str | None = option(None, help="BIDS folder with T1w scans; every task but sample reads it", common=True)
    head: bool = option(False, help="keep skull and skin; by default the brain alone, by mask derivative or atlas mask")
    components: int = option(16, help="principal components of a 4x4x4 patch that a new codec keeps", min=4, max=64)
    cache: str | None = option(None, help="folder for the encoded scans; by default the user's cache folder")
    file: str | None = option(None, help="inpaint, superres: a T1w scan to work on (NIfTI)", common=True)
    mask: str | None = option(None, help="inpaint: what to fill in data.file, a mask in its space", common=True)
    brain: str | None = option(None, help="inpaint, superres: brain mask of data.file; by default made with the atlas")
    voxel: float = option(2.0, help="superres: longest edge of a voxel that is not divided", unit="mm", min=0.3, max=8)
    crop: int = option(32, help="train, with stage: voxels along the edge of a training crop", min=8, max=96)
    split: float = option(0.1, help="share held out where participants.tsv has no split column", min=0, max=0.5)


@dataclass
class BrainNet(NetConfig):
    channels: list[int] = option([64, 80, 96], help="width of each resolution, finest first", min=4)
    blocks: int = option(1, help="residual blocks a resolution", min=1)
    positions: int = option(8, help="channels of the learned map of anatomical positions; 0 is none", min=0)


@dataclass
class BrainProcess(ProcessConfig):
    # Fine texture varies far less than shape, and the background not at all.
    per_element: bool = option(True, help="measure it on the training data, for each element of the state by itself")
    # Head size moves thousands of elements together: it shows through noise in which no single element does.
    sigma_max: float = option(400.0, help="noise where sampling starts, for schedule edm", min=1)
    noise_mean: float = option(-0.5, help="mean of log(sigma/alpha) of the training noise")
    noise_tail: float = option(0.12, help="share of the training noise spread evenly up to the top", min=0, max=0.9)


@dataclass
class BrainSampling(SampleConfig):
    sampler: str = option("dpmpp_2m", help="the solver, as for any plugin; the figures were measured with this one")
    steps: int = option(16, help="steps of the solver", min=1)
    # what counts is decided between noise of 10 and of 0.1; above, the modes of shape are known
    grid: str = option("angle", help="how the steps are spaced over the noise levels", choices=GRIDS)
    stop: float = option(0.05, help="noise (sigma/alpha) at which the prediction is taken", min=0, max=10)
    guidance: float = option(1.0, help="weight of classifier-free guidance by age and sex; 1 is off", min=0)
    autoguidance: float = option(1.5, help="weight of guidance away from weaker weights, for folds; 1 is off", min=0)
    ageing: float = option(
        1.5, help="how many times over the trend, whose slopes are shrunk, is told an age; 1 is once", min=0, max=3
    )
    weak: str | None = option(None, help="those weaker weights; by default what comes with the weights, if any does")
    batch: int = option(2, help="brains drawn together; changes the speed, not the brains", min=1)
    stages: list[str] | None = option(
        None,
        help="weights of the stages that draw voxels, coarsest first; [] is none; by default what the weights name",
    )
    fine: str = option(FINE, help="weights of the stage from 2 to 1 mm, for voxel=1")
    fine_steps: int = option(4, help="steps of that stage", min=1)
    stage_steps: int = option(6, help="steps of each of these stages", min=1)
    stage_autoguidance: float = option(
        1.6, help="weight of guidance of the stages away from weaker weights, for folds and contrast; 1 is off", min=0
    )
    weak_stages: list[str] | None = option(
        None, help="those weaker weights, one for each stage; by default those that the stages name"
    )


@dataclass
class BrainTraining(TrainConfig):
    steps: int = option(20_000, help="optimiser steps", min=1)
    batch: int = option(2, help="samples in one forward pass", min=1)
    lr: float = option(4e-4, help="peak learning rate", min=0)


@dataclass
class RestoreConfig:
    """How the prior is asked for what a scan does not show."""

    sampler: str = option("dpmpp_2m", help="the solver, as sample.sampler")
    steps: int = option(12, help="steps of the solver", min=1)
    stop: float = option(
        1.0, help="noise (sigma/alpha) at which the prediction is taken for the sample; less: more texture", min=0
    )
    iterations: int = option(2, help="conjugate gradients in a step, one backward pass each", min=1)
    noise: float = option(
        0.06, help="rms by which a scan may differ from what the prior can say; 1.0 is a brain's 99th percentile", min=0
    )
    margin: float = option(2.0, help="inpaint: how far around the mask the scan is not looked at", unit="mm", min=0)
    rim: float = option(
        3.0, help="inpaint: depth inside the mask at which the prior's filling has taken over", unit="mm", min=0
    )
    detail: bool = option(
        False, help="draw detail by the stages of the cascade: sharper, and farther from the truth than the prior alone"
    )
    detail_steps: int = option(6, help="steps of each of these stages", min=1)
    detail_autoguidance: float = option(
        1.6, help="weight of guidance of these stages away from weaker weights; 1 is off", min=0
    )


def stage_options(steps: int) -> SampleConfig:
    """How a stage of the cascade draws, in so many steps: down to noise of 0.2, where grain would begin."""
    return SampleConfig("unipc", steps, grid="angle")


@dataclass
class EvaluateConfig:
    """How synthetic brains are compared with real ones."""

    n: int = option(0, help="brains to draw; 0: one for each held-out scan, at most 30", min=0, max=10_000)
    measures: str = option("mri-measures-ixi", help="segmenter, encoder and age regression: an id, a file or a run")
    ceiling: bool = option(False, help="also put the held-out scans through the codec: what no prior can beat")
    segmenter_steps: int = option(900, help="task=train_measures: optimiser steps of the segmenter", min=1)
    encoder_steps: int = option(500, help="task=train_measures: optimiser steps of the encoder", min=1)


@dataclass
class SynthConfig(RunConfig):
    """Whole brains on a grid of 2 or 1 mm, conditioned on age, sex and the size of the ventricles."""

    n: int = option(
        4, help="how many brains; translate: samples of each scan, 8 if not given", min=1, max=100_000, common=True
    )
    age: float | None = option(
        None, help="age of the person; not given: any", unit="years", min=AGES[0], max=AGES[1], common=True
    )
    sex: str | None = option(None, help="sex of the person; not given: any", choices=("F", "M"), common=True)
    ventricles: float | None = option(
        None, help="size of the ventricles for the age and the sex, 0 is usual; not given: any",
        unit="standard deviations", min=-WIDEST, max=WIDEST, common=True,
    )  # fmt: skip
    voxel: int = option(
        VOXELS[0], help="sample: edge of a voxel; 1 refines the brain of 2", unit="mm", choices=VOXELS, common=True
    )
    stage: str | None = option(
        None, help="train: a stage of the cascade instead of the prior; its preset says how", choices=STAGE_NAMES
    )
    pose: str = option(WEIGHTS, help="train, with stage: weights in whose pose the scans are put")
    source: str | None = option(None, help="translate: the contrast at hand, FLAIR, T1w, T1ce, T2w, ...")
    target: str | None = option(None, help="translate: the contrast to make of it; more: plugin=mri_translate")
    data: BrainData = field(default_factory=BrainData)
    net: BrainNet = field(default_factory=BrainNet)
    process: BrainProcess = field(default_factory=BrainProcess)
    train: BrainTraining = field(default_factory=BrainTraining)
    sample: BrainSampling = field(default_factory=BrainSampling)
    restore: RestoreConfig = field(default_factory=RestoreConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
