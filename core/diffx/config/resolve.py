"""Merge the layers of a configuration: dataclass, preset, file, command line; the later one wins.

OmegaConf merges and resolves the `${...}` of files, and builds the dataclass; the values are parsed here, by declared
type, and all that is wrong is collected before anything is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from diffx.config.options import RunConfig
from diffx.config.parse import Mismatch, check, read
from diffx.config.schema import Option, Schema, schema
from diffx.errors import PluginError, UsageError, did_you_mean
from diffx.io.yamltext import read_mapping

C = TypeVar("C", bound=RunConfig)


def resolve(
    config_type: type[C],
    preset: str | Mapping[str, Any] | None = None,
    file: str | Path | None = None,
    overrides: Sequence[str] = (),
    *,
    base: str | Path | None = None,
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    tasks: Iterable[str] = (),
    default_task: str = "",
    hints: list[str] | None = None,
) -> C:
    """The configuration of a run, as an instance of `config_type`.

    preset: its values, or its name in `presets`; else the name that `preset=` or the file gives.
    file: a YAML file; else the one that `config=` names.
    base: a YAML file that takes the place of the defaults: the configuration of a run to go on with.
    overrides: "key=value" texts, parsed by the declared type of the key; the last one of a key wins.
    tasks, default_task: the names that `task=` may have, and the one that stands where none is given.
    hints: one line is added for each option that was given by its former name.

    Raises UsageError with one line for each problem; PluginError where `config_type` itself is at fault.
    """
    table = schema(config_type)
    layers = _Layers(table)
    file = file if file is not None else last_given(overrides, "config")
    from_file, from_base = ({} if path is None else _read(path, layers) for path in (file, base))
    if not isinstance(preset, Mapping):
        preset = _preset(preset or last_given(overrides, "preset") or from_file.get("preset"), presets or {}, layers)
    if default_task:
        layers.add_tree({"task": default_task}, "default: ")
    layers.add_tree(from_base, f"{base}: ")
    layers.add_tree(preset, "preset: ")
    layers.add_tree(from_file, f"{file}: ")
    if from_file.get("config") is not None:
        layers.problems.append(f"{file}: config={from_file['config']}: a configuration file cannot name another")
    layers.add_overrides(overrides)
    task = layers.values.get(("task",), "")
    names = list(tasks)
    if names and task not in names:
        layers.problems.append(f"task={task}: unknown task{did_you_mean(str(task), names)} (tasks: {', '.join(names)})")
    layers.stop_if_problems()
    if hints is not None:
        hints += dict.fromkeys(layers.hints)
    return _build(config_type, layers)


def renamed(config_type: type[RunConfig], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by key, such as a header of weights holds them, with former names of options replaced by today's."""
    former = schema(config_type).former
    return {former[key]: value for key, value in values.items() if key in former} | {
        key: value for key, value in values.items() if key not in former
    }


def last_given(overrides: Iterable[str], key: str) -> str | None:
    """The text of the last `key=text` among the overrides; None where there is none or it is empty."""
    found = None
    for item in overrides:
        name, equals, text = item.partition("=")
        if equals and name == key:
            found = text
    return found or None


def _read(file: str | Path, layers: _Layers) -> Mapping[str, Any]:
    try:
        return read_mapping(file)
    except ValueError as error:
        layers.problems.append(f"config={error}")
        return {}


def _preset(name: Any, presets: Mapping[str, Mapping[str, Any]], layers: _Layers) -> Mapping[str, Any]:
    if name in (None, "", "none"):
        return {}
    if name not in presets:
        has = f" (presets: {', '.join(presets)})" if presets else " (the plugin has none)"
        layers.problems.append(f"preset={name}: unknown preset{did_you_mean(str(name), presets)}{has}")
        return {}
    return presets[name]


class _Layers:
    """Values by attribute path, and the problems met on the way."""

    def __init__(self, table: Schema) -> None:
        self.table = table
        self.values: dict[tuple[str, ...], Any] = {}
        self.problems: list[str] = []
        self.hints: list[str] = []
        self.references: dict[tuple[str, ...], tuple[Option, str]] = {}

    def add_tree(self, tree: Mapping[str, Any], source: str, prefix: str = "") -> None:
        """A layer as a preset or file gives it: nested groups, or dotted keys, or both."""
        for name, raw in tree.items():
            key = self._current(f"{prefix}{name}", source)
            if key in self.table.groups:
                if isinstance(raw, Mapping):
                    self.add_tree(raw, source, f"{key}.")
                elif raw is not None:
                    self._is_group(key, raw, source)
            elif self._known(key, raw, source):
                option = self.table.options[key]
                if any(isinstance(one, str) and "${" in one for one in (raw if isinstance(raw, list) else [raw])):
                    self.references[option.path] = (option, source)
                    self.values[option.path] = raw
                else:
                    self._set(option, raw, source, typed=False)

    def add_overrides(self, overrides: Iterable[str]) -> None:
        """The layer of the command line."""
        for item in overrides:
            key, equals, text = item.partition("=")
            plain = key.lstrip("-")
            key = self._current(key, "")
            if key != plain and plain in self.table.options:
                self.problems.append(f"{item}: options are written without dashes: {plain}=VALUE")
            elif not equals:
                hint = f"; write {key}=VALUE" if key in self.table.options else did_you_mean(key, self.table.names())
                self.problems.append(f"{item}: expected key=value{hint}")
            elif key in self.table.groups:
                self._is_group(key, text, "")
            elif self._known(key, text, ""):
                self._set(self.table.options[key], text, "", typed=True)

    def _set(self, option: Option, raw: Any, source: str, *, typed: bool) -> None:
        try:
            self.values[option.path] = read(option, raw, typed=typed)
            self.references.pop(option.path, None)
        except Mismatch as error:
            self.problems.append(f"{source}{option.key}={_shown(raw)}: {error}")

    def _current(self, key: str, source: str) -> str:
        """Today's name of an option that is given by its former one."""
        if key not in self.table.former:
            return key
        new = self.table.former[key]
        self.hints.append(f"{source}{key} is now called {new}; the old name will go with the next release")
        return new

    def _known(self, key: str, raw: Any, source: str) -> bool:
        if key in self.table.options:
            return True
        base = key.partition("[")[0]
        if "[" in key and base in self.table.options:
            hint = f"; a list is set as a whole: {base}=[a,b]"
        else:
            hint = did_you_mean(key, self.table.options)
        self.problems.append(f"{source}{key}={_shown(raw)}: unknown option{hint}")
        return False

    def _is_group(self, key: str, raw: Any, source: str) -> None:
        some = [k for k in self.table.options if k.startswith(f"{key}.")][:3]
        hint = f"a group of options; set one, as {' or '.join(some)}"
        self.problems.append(f"{source}{key}={_shown(raw)}: {hint}")

    def stop_if_problems(self) -> None:
        if self.problems:
            raise UsageError("\n".join(dict.fromkeys(self.problems)))


def _shown(raw: Any) -> str:
    if raw is None:
        return ""
    text = " ".join(str(raw).split()) if not isinstance(raw, Mapping) else "{...}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _build(config_type: type[C], layers: _Layers) -> C:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    tree: dict[str, Any] = {}
    for path, value in layers.values.items():
        group = tree
        for name in path[:-1]:
            group = group.setdefault(name, {})
        group[path[-1]] = value if path in layers.references else escape(value)
    try:
        built = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(config_type), tree))
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or ""
        line = str(error).partition("\n")[0]
        if not layers.references:
            raise PluginError(f"{config_type.__qualname__}: {key} {line}") from error
        raise UsageError(f"{key}: {line}") from error
    except ValueError as error:  # from a __post_init__ that compares options
        raise UsageError(str(error)) from error
    assert isinstance(built, config_type)
    for option, source in layers.references.values():
        resolved: Any = built
        for name in option.path:
            resolved = getattr(resolved, name)
        try:
            check(option, resolved)
        except Mismatch as error:
            layers.problems.append(f"{source}{option.key}={_shown(resolved)}: {error}")
    layers.stop_if_problems()
    return built


def escape(value: Any) -> Any:
    """Escape text, so that `${` in a prompt is a dollar and a brace and no reference."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", value)
    if isinstance(value, (list, tuple)):
        return type(value)(escape(item) for item in value)
    return value
