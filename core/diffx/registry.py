"""Which plugins are installed, told from metadata alone: none is imported, and a broken one harms nobody else.

A plugin is an entry point of the group "diffx" (its name, and the module of its hooks) and a manifest: a row of
registry.yaml for those that ship with diffx, the package's own diffx.yaml for everybody else's.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from diffx.errors import PluginError, did_you_mean, in_one_line
from diffx.yamltext import read_mapping

API = "1.0"
GROUP = "diffx"
OURS = "diffx-suite"

_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")


class WeightsEntry(NamedTuple):
    """Weights that a plugin ships: `file` below the folder of its top-level package, `sha256` and `bytes` of it."""

    file: str
    sha256: str
    bytes: int
    licence: str
    card: str = ""


class Manifest(NamedTuple):
    """What is known of a plugin before any of its code runs; docs/plugins.md explains each field."""

    name: str
    summary: str
    module: str
    api: str
    config: str = ""
    extra: str = ""
    requires: tuple[str, ...] = ()
    default_task: str = ""
    tasks: Mapping[str, str] = MappingProxyType({})
    presets: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    weights: Mapping[str, WeightsEntry] = MappingProxyType({})


class Found(NamedTuple):
    """One installed plugin: its manifest, or the reason why it cannot be used."""

    name: str
    manifest: Manifest | None
    distribution: str
    version: str
    error: str = ""

    @property
    def label(self) -> str:
        """ "plugin 'x' (distribution 1.2)", as errors name it."""
        return f"plugin {self.name!r} ({self.distribution} {self.version})"


def registry_file() -> Path:
    """The catalogue: inside the installed package, or at the root of the checkout."""
    here = Path(__file__).resolve().parent
    for path in (here / "registry.yaml", here.parents[1] / "registry.yaml"):
        if path.is_file():
            return path
    raise PluginError("registry.yaml is missing from the installation: pip install --force-reinstall diffx-suite")


@functools.cache
def discover() -> tuple[Found, ...]:
    """Every installed plugin in the order of names, broken ones with their `error`. Cached for the process."""
    try:
        tree = read_mapping(registry_file())
        rows, blocked = tree.get("plugins") or {}, tree.get("blocked") or {}
    except ValueError as error:
        raise PluginError(f"the catalogue does not parse: {error}") from error
    found: dict[str, Found] = {}
    for name, value, distribution, version, problem in _entry_points():
        if problem:
            one = Found(name, None, distribution, version, problem)
        else:
            one = _examine(name, value, distribution, version, rows)
        reason = blocked.get(name) or blocked.get(distribution)
        if reason:
            one = one._replace(error=f"blocked: {reason}")
        other = found.get(name)
        if other is not None:  # ours keeps its name; of two strangers neither can be meant
            both = f"{other.distribution} and {distribution} both call a plugin {name!r}: uninstall one"
            one = other if _is_ours(other.distribution) else one if _is_ours(distribution) else one._replace(error=both)
        found[name] = one
    for name in rows:
        if name not in found:
            stale = "in the catalogue, but not installed: pip install --force-reinstall diffx-suite"
            found[name] = Found(name, None, OURS, "?", stale)
    return tuple(found[name] for name in sorted(found))


def find(name: str) -> Found:
    """The plugin of that name. Raises PluginError where it is unknown, broken, blocked or made for another API."""
    plugins = {found.name: found for found in discover()}
    if name not in plugins:
        usable = ", ".join(n for n, found in plugins.items() if not found.error) or "none"
        raise PluginError(f"unknown plugin {name!r}{did_you_mean(name, plugins)} (installed: {usable})")
    found = plugins[name]
    if found.error:
        raise PluginError(f"{found.label}: {found.error}")
    return found


def manifest_of(found: Found) -> Manifest:
    """The manifest of a plugin that `find` returned."""
    if found.manifest is None:
        raise PluginError(f"{found.label}: {found.error}")
    return found.manifest


def package_folders(module: str) -> list[Path]:
    """The folders of a module's top-level package, found without importing it; [] where there is none."""
    try:
        spec = importlib.util.find_spec(module.partition(".")[0])
    except (ImportError, ValueError, AttributeError):
        return []
    return [Path(folder) for folder in spec.submodule_search_locations or ()] if spec else []


def missing_requirements(manifest: Manifest) -> list[str]:
    """The names in `requires` that cannot be imported because they are not installed."""
    return [name for name in manifest.requires if not _findable(name)]


def install_hint(found: Found) -> str:
    """The command that installs what a plugin requires."""
    manifest = manifest_of(found)
    if manifest.extra:
        return f'pip install "{found.distribution}[{manifest.extra}]"'
    return f"pip install {' '.join(manifest.requires)}"


def _findable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


def _is_ours(distribution: str) -> bool:
    return distribution.lower().replace("_", "-") == OURS


def _entry_points() -> Iterator[tuple[str, str, str, str, str]]:
    """(name, module, distribution, version, problem) of each entry point; damaged metadata is reported or skipped."""
    try:
        points = list(metadata.entry_points(group=GROUP))
    except Exception:  # one distribution's metadata is damaged: find the others one by one
        points = []
        seen = set()
        for distribution in metadata.distributions():
            try:
                name = distribution.name
                if name not in seen:
                    seen.add(name)
                    points += [p for p in distribution.entry_points if p.group == GROUP]
            except Exception:
                continue
    for point in points:
        try:
            assert point.dist is not None
            yield point.name, point.value, point.dist.name or "?", point.dist.version or "?", ""
        except Exception as error:
            yield point.name, point.value, "?", "?", f"its distribution's metadata is damaged: {in_one_line(error)}"


def _examine(name: str, module: str, distribution: str, version: str, rows: dict[str, Any]) -> Found:
    def broken(reason: str) -> Found:
        return Found(name, None, distribution, version, reason)

    try:
        if _is_ours(distribution):
            source, row = "registry.yaml", rows.get(name)
        else:
            file = next((f for folder in package_folders(module) if (f := folder / "diffx.yaml").is_file()), None)
            if file is None:
                package = module.partition(".")[0]
                return broken(f"no diffx.yaml in the folder of its package {package!r}: ask its author")
            source, row = str(file), (read_mapping(file).get("plugins") or {}).get(name)
        if row is None:
            return broken(f"{source}: no row 'plugins: {name}:'")
        manifest = parse_manifest(name, row)
        if manifest.module != module:
            return broken(f"{source}: module {manifest.module!r} is not the entry point's {module!r}")
        if manifest.api.partition(".")[0] != API.partition(".")[0]:
            what = f"made for plugin API {manifest.api}, this diffx has {API}"
            return broken(f"{what}: install a version of {distribution} made for {API.partition('.')[0]}.x")
        return Found(name, manifest, distribution, version)
    except ValueError as error:
        return broken(f"bad manifest: {error}")
    except Exception as error:  # whatever it is, the other plugins must not suffer
        return broken(f"bad manifest: {in_one_line(error)}")


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

    values = {key: text(key) for key in ("summary", "module", "api", "config", "extra", "default_task")}
    wrong += [f"{key} is missing" for key in ("summary", "module", "api") if row.get(key) is None]
    if not _NAME.match(name):
        wrong.append("a name has small letters, digits and underscores")
    if values["module"] and not _MODULE.match(values["module"]):
        wrong.append(f"module: {values['module']!r} is not a module's name")
    if values["api"] and not re.match(r"\d+(\.\d+)?\Z", values["api"]):
        wrong.append(f"api: {values['api']!r} is not a version such as {API}")
    config_module, colon, config_class = values["config"].partition(":")
    if values["config"] and not (colon and _MODULE.match(config_module) and config_class.isidentifier()):
        wrong.append("config: expected package.module:Class")
    requires = row.get("requires") or []
    if not (isinstance(requires, list) and all(isinstance(r, str) and _MODULE.match(r) for r in requires)):
        wrong.append("requires: expected a list of import names")
        requires = []
    tasks = mapping("tasks")
    if not all(isinstance(line, str) for line in tasks.values()):
        wrong.append("tasks: expected name: one line")
    if values["default_task"] and values["default_task"] not in tasks:
        wrong.append(f"default_task: {values['default_task']!r} is not one of its tasks")
    presets = mapping("presets")
    if not all(isinstance(preset, dict) for preset in presets.values()):
        wrong.append("presets: expected name: {key: value}")
    weights = {key: _weights(key, entry, wrong) for key, entry in mapping("weights").items()}
    if wrong:
        raise ValueError("; ".join(wrong))
    return Manifest(name=name, requires=tuple(requires), tasks=tasks, presets=presets, weights=weights, **values)  # type: ignore[arg-type]


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
