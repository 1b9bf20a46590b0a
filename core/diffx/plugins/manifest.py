"""The manifest: what a plugin says of itself in registry.yaml or diffx.yaml, before any of its code runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from diffx.errors import did_you_mean

API = "1.0"

_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")


class Task(NamedTuple):
    """A task: one line of help, and its function as "package.module:function"; `run` is "" for a task of the core."""

    help: str
    run: str = ""


class WeightsEntry(NamedTuple):
    """Weights that are shipped: `file` below the folder of the top-level package, `sha256` and `bytes` of it."""

    file: str
    sha256: str
    bytes: int
    licence: str
    card: str = ""


class Manifest(NamedTuple):
    """What is known of a plugin before any of its code runs; `diffx docs plugins` explains each field."""

    name: str
    summary: str
    module: str
    api: str
    config: str = ""
    check: str = ""
    extra: str = ""
    requires: tuple[str, ...] = ()
    default_task: str = ""
    tasks: Mapping[str, Task] = MappingProxyType({})
    presets: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    weights: Mapping[str, WeightsEntry] = MappingProxyType({})
    more_weights: Mapping[str, str] = MappingProxyType({})


def parse_manifest(name: str, row: Any) -> Manifest:
    """A row of registry.yaml or diffx.yaml, scalars as text. Raises ValueError that lists all that is wrong."""
    wrong: list[str] = []
    if not isinstance(row, dict):
        raise ValueError(f"{name}: expected a mapping")
    for key in row:
        if key not in Manifest._fields or key == "name":
            wrong.append(f"unknown field {key!r}{did_you_mean(key, Manifest._fields)}")

    def text(key: str) -> str:
        value = row.get(key)
        if value is not None and not isinstance(value, str):
            wrong.append(f"{key}: expected text")
        return value if isinstance(value, str) else ""

    def mapping(key: str) -> dict[str, Any]:
        value = row.get(key)
        if value is not None and not isinstance(value, dict):
            wrong.append(f"{key}: expected a mapping")
        return value if isinstance(value, dict) else {}

    values = {key: text(key) for key in ("summary", "module", "api", "config", "check", "extra", "default_task")}
    wrong += [f"{key} is missing" for key in ("summary", "module", "api") if row.get(key) is None]
    if not _NAME.match(name):
        wrong.append("a name has small letters, digits and underscores")
    if values["module"] and not _MODULE.match(values["module"]):
        wrong.append(f"module: {values['module']!r} is not a module's name")
    if values["api"] and not re.match(r"\d+(\.\d+)?\Z", values["api"]):
        wrong.append(f"api: {values['api']!r} is not a version such as {API}")
    for key, kind in (("config", "Class"), ("check", "function")):
        if values[key] and not _is_reference(values[key]):
            wrong.append(f"{key}: expected package.module:{kind}")
    requires = row.get("requires") or []
    if not (isinstance(requires, list) and all(isinstance(r, str) and _MODULE.match(r) for r in requires)):
        wrong.append("requires: expected a list of import names")
        requires = []
    tasks = {key: _task(key, entry, wrong) for key, entry in mapping("tasks").items()}
    if values["default_task"] and values["default_task"] not in tasks:
        wrong.append(f"default_task: {values['default_task']!r} is not one of its tasks")
    presets = mapping("presets")
    if not all(isinstance(preset, dict) for preset in presets.values()):
        wrong.append("presets: expected name: {key: value}")
    weights = {key: _weights(key, entry, wrong) for key, entry in mapping("weights").items()}
    more = mapping("more_weights")
    if not all(isinstance(distribution, str) for distribution in more.values()):
        wrong.append("more_weights: expected id: the distribution that brings it")
    if wrong:
        raise ValueError("; ".join(wrong))
    lists = {"requires": tuple(requires), "tasks": tasks, "presets": presets, "weights": weights, "more_weights": more}
    return Manifest(name=name, **lists, **values)  # type: ignore[arg-type]


def parse_weights(rows: Any) -> dict[str, tuple[str, WeightsEntry]]:
    """The mapping `weights` of a distribution that ships only such: id -> (whose plugin's, entry).

    Raises ValueError that lists all that is wrong.
    """
    wrong: list[str] = []
    found = {}
    if not isinstance(rows, dict) or not rows:
        raise ValueError("weights: expected a mapping")
    for key, row in rows.items():
        fields = dict(row) if isinstance(row, dict) else row
        plugin = fields.pop("plugin", None) if isinstance(fields, dict) else None
        if not (isinstance(plugin, str) and _NAME.match(plugin)):
            wrong.append(f"weights.{key}: plugin is missing, or no name of one")
        entry = _weights(key, fields, wrong)
        if entry is not None:
            found[key] = (str(plugin), entry)
    if wrong:
        raise ValueError("; ".join(wrong))
    return found


def _is_reference(text: str) -> bool:
    module, colon, attribute = text.partition(":")
    return bool(colon and _MODULE.match(module) and attribute.isidentifier())


def _task(key: str, entry: Any, wrong: list[str]) -> Task:
    if isinstance(entry, str):
        return Task(entry)
    fields = Task._fields
    if not isinstance(entry, dict) or set(entry) != set(fields) or not all(isinstance(v, str) for v in entry.values()):
        wrong.append(f"tasks.{key}: expected {{run: package.module:function, help: one line}}, or one line of help")
        return Task("")
    if not _is_reference(entry["run"]):
        wrong.append(f"tasks.{key}: run: expected package.module:function, not {entry['run']!r}")
    return Task(**entry)


def _weights(key: str, entry: Any, wrong: list[str]) -> WeightsEntry | None:
    fields = WeightsEntry._fields
    if not isinstance(entry, dict) or set(entry) - set(fields) or not all(isinstance(v, str) for v in entry.values()):
        wrong.append(f"weights.{key}: expected the fields {', '.join(fields)}")
        return None
    missing = [f for f in fields if f != "card" and f not in entry]
    if missing:
        wrong.append(f"weights.{key}: {', '.join(missing)} missing")
        return None
    path = Path(entry["file"])
    if path.is_absolute() or ".." in path.parts:
        wrong.append(f"weights.{key}: file has to lie in the package")
    if not re.match(r"[0-9a-f]{64}\Z", entry["sha256"]):
        wrong.append(f"weights.{key}: sha256 has 64 hexadecimal digits")
    if not entry["bytes"].isdigit():
        wrong.append(f"weights.{key}: bytes is a whole number")
        return None
    return WeightsEntry(**{**entry, "bytes": int(entry["bytes"])})
