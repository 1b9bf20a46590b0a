"""Configuration: declared options, layers merged by declared type, every problem reported at once. Torch-free."""

from diffx.config.dump import to_yaml
from diffx.config.options import (
    GRIDS,
    DataConfig,
    NetConfig,
    ProcessConfig,
    RunConfig,
    SampleConfig,
    TrainConfig,
    option,
)
from diffx.config.resolve import last_given, renamed, resolve
from diffx.config.schema import Option, Schema, schema

__all__ = [
    "GRIDS", "DataConfig", "NetConfig", "Option", "ProcessConfig", "RunConfig", "SampleConfig", "Schema", "TrainConfig",
    "last_given", "option", "renamed", "resolve", "schema", "to_yaml",
]  # fmt: skip
