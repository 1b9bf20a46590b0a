"""Options of nilm."""

from __future__ import annotations

from dataclasses import dataclass, field

from diffx.config import DataConfig, NetConfig, ProcessConfig, RunConfig, SampleConfig, TrainConfig, option


@dataclass
class PowerData(DataConfig):
    """A household's power, and how to read it."""

    file: str | None = option(
        None, help="mains to disaggregate: CSV, TSV, Parquet, REFIT, UK-DALE or REDD folder, NILMTK HDF5", common=True
    )
    root: str | None = option(
        None, help="folder of metered houses (Time, Aggregate, appliances), or a packed file", common=True
    )
    houses: list[str] = option([], help="of those in root, by file name without its ending; empty: all")
    unknown: list[str] = option(
        [], help="of root, house.appliance: meters that are not what their name says, taken as not known"
    )
    time: str | None = option(None, help="column of the time; by default guessed, and said")
    mains: str | None = option(
        None,
        help="column of the whole household's power, or a sum: L1+L2+L3, grid+solar; by default guessed, and said",
        common=True,
    )
    unit: str | None = option(None, help="of the power columns", choices=("W", "kW"), common=True)
    power: str | None = option(None, help="which power to read where there are two", choices=("active", "apparent"))
    timezone: str | None = option(
        None, help="of times without offset, and of the days energy is counted in", common=True
    )
    separator: str | None = option(None, help="between the columns of a text file; by default guessed")
    decimal: str | None = option(None, help="sign in numbers of a text file; by default guessed", choices=(".", ","))
    day_first: bool | None = option(None, help="whether 01/02/2014 is in February")
    period: float = option(30.0, help="the grid on which power is read, learnt and given", unit="s", min=1, max=3600)
    building: str | None = option(None, help="which home, of a NILMTK file or of a table of several homes")
    holdout: float = option(14.0, help="end of each house kept for validation in training", unit="days", min=0)
    days: float = option(0.0, help="evaluate on the last days of each house only; 0 is all", unit="days", min=0)


@dataclass
class PowerNet(NetConfig):
    channels: list[int] = option([48, 64, 96, 128, 160], help="width of each resolution, finest first", min=4)
    blocks: int = option(1, help="residual blocks a resolution", min=1)
    attention: list[int] = option([4], help="resolutions with attention, 0 the finest", min=0)
    window: int = option(512, help="periods that the network looks at together", min=64)


@dataclass
class PowerProcess(ProcessConfig):
    # off nearly always, and about 1 when on
    sigma_data: float = option(0.2, help="standard deviation of the clean state", min=1e-6)
    sigma_max: float = option(20.0, help="noise where sampling starts, for schedule edm", min=1)
    # whose a heater is shows through noise of several times its power, since it lasts for many periods
    noise_mean: float = option(-0.2, help="mean of log(sigma/alpha) of the training noise")
    noise_std: float = option(1.8, help="standard deviation of log(sigma/alpha) of the training noise", min=0.01)
    # on for two fifths of the time, a fridge would be two thirds of the loss
    cycling: float = option(0.3, help="weight in the loss of an appliance that runs all day, such as a fridge", min=0)


@dataclass
class PowerSampling(SampleConfig):
    sampler: str = option("dpmpp_2m", help="the solver, as for any plugin; the figures were measured with this one")
    steps: int = option(12, help="steps of the solver", min=1)
    stop: float = option(
        0.01, help="noise (sigma/alpha) at which the prediction is taken for the sample", min=0, max=10
    )
    batch: int = option(32, help="windows in one evaluation; changes the speed, not the samples", min=1)


@dataclass
class PowerTraining(TrainConfig):
    steps: int = option(20_000, help="optimiser steps", min=1)
    batch: int = option(24, help="windows in one forward pass", min=1)
    lr: float = option(6e-4, help="peak learning rate", min=0)
    cond_dropout: float = option(0.0, help="share of windows trained without condition", min=0, max=1)


@dataclass
class SimulateConfig:
    """The household that is made up where nobody brought one."""

    days: float = option(7.0, help="how much of it", unit="days", min=0.1, max=3660)
    start: str = option("2024-01-15", help="its first day; winters have longer evenings and colder water")
    missing: float = option(0.0, help="share of the time that its mains meter does not know", min=0, max=0.9)


@dataclass
class PowerConfig(RunConfig):
    """Power of each appliance from the power of the household."""

    n: int = option(32, help="samples of the household; the bands and medians are theirs", min=2, max=1000, common=True)
    appliances: list[str] = option(
        [],
        help="what to train on, by NILM Metadata names; by default those of from=, or kettle, dishwasher, "
        "washing_machine and microwave",
    )
    describe: str | None = option(None, help="YAML file that describes further appliances: thresholds, lengths, ...")
    usage: list[float] = option(
        [],
        help="activations a day of each appliance, if known; by default learnt from the mains",
        min=0,
        max=100,
        common=True,
    )
    price: float | None = option(
        None, help="of a kWh, for a page that tells the householder what each appliance costs", min=0, common=True
    )
    currency: str = option("", help="of price, as it is to be written: €, £, USD")
    folds: list[str] = option([], help="calibrate: weights@house for weights that never saw that house")
    format: str = option("csv", help="of the files of power", choices=("csv", "parquet"))
    baselines: str | None = option(
        None, help="for evaluate: a file of fitted baselines, or a folder of houses to fit them on; by default shipped"
    )
    data: PowerData = field(default_factory=PowerData)
    simulate: SimulateConfig = field(default_factory=SimulateConfig)
    net: PowerNet = field(default_factory=PowerNet)
    process: PowerProcess = field(default_factory=PowerProcess)
    train: PowerTraining = field(default_factory=PowerTraining)
    sample: PowerSampling = field(default_factory=PowerSampling)
