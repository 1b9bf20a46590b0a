"""The options. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field

import diffx
from diffx.config import NetConfig


@dataclass
class TableData(diffx.DataConfig):
    """Which table, and what its columns are."""

    root: str | None = diffx.option(None, help="CSV file with a header; none: scikit-learn's diabetes study")
    numbers: list[str] = diffx.option([], help="columns that are numbers, whatever they look like")
    categories: list[str] = diffx.option([], help="columns that are categories, whatever they look like")
    omit: list[str] = diffx.option([], help="columns to leave out, such as names and keys")
    missing: list[str] = diffx.option(
        ["NA", "NaN", "nan", "null"], help="what stands for a missing value, beside nothing"
    )
    held_out: float = diffx.option(0.25, help="share of the rows that is never trained on", min=0.01, max=0.9)


@dataclass
class TableNet(NetConfig):
    """The residual perceptron."""

    width: int = diffx.option(128, help="of the hidden layers", min=8)
    depth: int = diffx.option(3, help="residual blocks", min=1)


@dataclass
class TableTraining(diffx.TrainConfig):
    """A small network on a small table: large batches, few steps."""

    steps: int = diffx.option(1000, help="optimiser steps", min=1)
    batch: int = diffx.option(256, help="rows in one step", min=1)
    lr: float = diffx.option(1e-3, help="peak learning rate", min=0)
    warmup: int = diffx.option(50, help="steps over which the learning rate rises", min=0)
    ema_std: float = diffx.option(0.1, help="relative width of the average of the weights", min=0.005, max=0.27)
    cond_dropout: float = diffx.option(
        0.3, help="share of rows trained without any of condition=, and without each alone", min=0, max=1
    )
    val_every: int = diffx.option(100, help="steps between two looks at the rows held out; 0 is none", min=0)


@dataclass
class TableSampling(diffx.SampleConfig):
    """Rows are cheap, and categories that are decided in one step are so without regard to one another."""

    steps: int = diffx.option(64, help="steps of the solver", min=1)
    batch: int = diffx.option(512, help="rows drawn together; changes the speed, not the rows", min=1)


@dataclass
class TabularConfig(diffx.RunConfig):
    """What a user can ask for."""

    n: int = diffx.option(100, help="rows to draw", min=1, max=10**9)
    condition: list[str] = diffx.option([], help="number columns that given= may name later; categories it always may")
    given: list[str] = diffx.option(
        [], help="columns of the new rows, [sex=2,age=40]; nothing after = is a missing value"
    )
    target: str | None = diffx.option(None, help="column that evaluate predicts from the others; none: the last")
    levels: list[int] = diffx.option([], help="number of levels of each category; task=train counts them itself", min=1)
    data: TableData = field(default_factory=TableData)
    net: TableNet = field(default_factory=TableNet)
    train: TableTraining = field(default_factory=TableTraining)
    sample: TableSampling = field(default_factory=TableSampling)

    def __post_init__(self) -> None:
        names = [entry.partition("=")[0] for entry in self.given]
        if bare := [entry for entry in self.given if "=" not in entry]:
            raise ValueError(f"given: column=value, not {bare[0]!r}")
        if len(set(names)) < len(names):
            raise ValueError("given: a column is named twice")
