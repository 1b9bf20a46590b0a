"""The help of one plugin: its tasks, presets and weights, and every option with default, range, unit and meaning."""

from __future__ import annotations

from collections.abc import Sequence

from diffx.cli.chosen import Chosen
from diffx.cli.words import columns
from diffx.config import Option, schema
from diffx.config.dump import scalar
from diffx.config.options import DataConfig, RunConfig, SampleConfig, TrainConfig
from diffx.config.parse import expected
from diffx.config.schema import Schema


def describe(chosen: Chosen) -> str:
    """The text of `diffx run plugin=NAME --help`."""
    manifest = chosen.manifest
    parts = [f"usage: diffx run plugin={manifest.name} [key=value ...]\n\n{manifest.name}: {manifest.summary}"]
    mark = {manifest.default_task: " (default)"}
    parts.append(_section("tasks", [(f"task={n}", task.help + mark.get(n, "")) for n, task in manifest.tasks.items()]))
    parts.append(_section("presets", [(f"preset={n}", _settings(values)) for n, values in manifest.presets.items()]))
    weights = [(f"from={n}", f"{w.bytes / 1e6:.1f} MB, {w.licence} {w.card}") for n, w in manifest.weights.items()]
    parts.append(_section("weights", weights))
    table = schema(chosen.config_type)
    common = schema(RunConfig)
    top = [option for key, option in table.options.items() if "." not in key]
    parts.append(_section(f"options of {manifest.name}", [_row(o) for o in top if o.key not in common.options]))
    parts.append(_section("options of every run", [_row(o) for o in top if o.key in common.options]))
    for group in table.groups:
        inside = [_row(option) for key, option in table.options.items() if key.rpartition(".")[0] == group]
        parts.append(_section(_title(group, table), inside))
    return "\n\n".join(part for part in parts if part)


def _title(group: str, table: Schema) -> str:
    for kind, title in ((TrainConfig, "training"), (SampleConfig, "sampling"), (DataConfig, "data")):
        if issubclass(table.groups[group], kind):
            return title
    return group


def _section(title: str, rows: Sequence[tuple[str, ...]]) -> str:
    return f"{title}:\n{columns(rows, indent=2)}" if rows else ""


def _row(option: Option) -> tuple[str, str]:
    default = "none" if option.default is None else scalar(option.default)
    return f"{option.key}={default}", f"{option.help or '(no help)'} [{expected(option)}]"


def _settings(values: object, prefix: str = "") -> str:
    assert hasattr(values, "items")
    flat = [_settings(v, f"{prefix}{k}.") if isinstance(v, dict) else f"{prefix}{k}={v}" for k, v in values.items()]
    return " ".join(flat)
