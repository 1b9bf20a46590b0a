"""The help of one plugin: its tasks, presets and weights, and its options with default, range, unit and meaning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from diffx.cli.chosen import Chosen
from diffx.cli.layout import columns, paragraphs
from diffx.config import Option, schema
from diffx.config.dump import scalar
from diffx.config.options import DataConfig, RunConfig, SampleConfig, TrainConfig
from diffx.config.parse import expected
from diffx.config.schema import Schema
from diffx.plugins.weights import absent, shipped

_LONG = 120  # characters of a preset's settings that the help shows without --all


def describe(chosen: Chosen, everything: bool = False) -> str:
    """The text of `diffx run plugin=NAME --help`: the options people use first, or, with --all, every one."""
    manifest = chosen.manifest
    head = f"usage: diffx run plugin={manifest.name} [key=value ...]\n\n{manifest.name}: {manifest.summary}"
    parts = [paragraphs(head)]
    mark = {manifest.default_task: " (default)"}
    parts.append(_section("tasks", [(f"task={n}", task.help + mark.get(n, "")) for n, task in manifest.tasks.items()]))
    presets = [(f"preset={n}", _settings(values, everything)) for n, values in manifest.presets.items()]
    parts.append(_section("presets", presets))
    mine = [w for w in shipped() if w.plugin == manifest.name]
    weights = [(f"from={w.id}", f"{w.size}, {w.entry.licence}") for w in mine]
    weights += [(f"from={w.id}", w.why) for w in absent() if w.plugin == manifest.name]
    parts.append(_section("weights", weights))
    table = schema(chosen.config_type)
    parts += _every_option(table, manifest.name) if everything else _common_options(table, manifest.name)
    return "\n\n".join(part for part in parts if part)


def _common_options(table: Schema, name: str) -> list[str]:
    """The marked options, a plugin's own first; where it marks none of its own, those are its top-level ones."""
    of_every_run = schema(RunConfig).options
    own = [o for o in table.options.values() if o.key not in of_every_run]
    own.sort(key=lambda option: "." in option.key)
    marked = [o for o in own if o.common] or [o for o in own if "." not in o.key]
    shown = marked + [o for o in table.options.values() if o.common and o.key in of_every_run]
    left = len(table.options) - len(shown)
    more = f"{left} more options, in groups: diffx run plugin={name} --help --all"
    return [_section("options that people use first", [_row(option) for option in shown]), paragraphs(more)]


def _every_option(table: Schema, name: str) -> list[str]:
    of_every_run = schema(RunConfig).options
    top = [option for key, option in table.options.items() if "." not in key]
    parts = [
        _section(f"options of {name}", [_row(o) for o in top if o.key not in of_every_run]),
        _section("options of every run", [_row(o) for o in top if o.key in of_every_run]),
    ]
    for group in table.groups:
        inside = [_row(option) for key, option in table.options.items() if key.rpartition(".")[0] == group]
        parts.append(_section(_title(group, table), inside))
    return parts


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


def _settings(values: Mapping[str, Any], everything: bool) -> str:
    """A preset's settings as they are typed; cut where they are many, unless everything is asked for."""
    text = " ".join(_typed(values))
    return text if everything or len(text) <= _LONG else f"{text[:_LONG].rpartition(' ')[0]} ..."


def _typed(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _typed(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}=" + (f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value))
