"""Which plugins are installed, told from metadata alone: none is imported, and a broken one harms nobody else.

A plugin is an entry point of the group "diffx" (its name, and the module of its hooks) and a manifest: a row of
registry.yaml for those that ship with diffx, the package's own diffx.yaml for everybody else's.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from diffx.errors import PluginError, did_you_mean, in_one_line
from diffx.io.yamltext import read_mapping
from diffx.plugins.manifest import API, Manifest, parse_manifest
from diffx.plugins.userfile import read_choices
from diffx.version import __version__

GROUP = "diffx"
OURS = "diffx-suite"
BLOCKED = "blocked: "


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
    here = Path(__file__).resolve().parents[1]
    for path in (here / "registry.yaml", here.parents[1] / "registry.yaml"):
        if path.is_file():
            return path
    raise PluginError("registry.yaml is missing from the installation: pip install --force-reinstall diffx-suite")


def block_reason(*names: str) -> str:
    """Why a plugin or distribution of one of these names is not to be loaded; "" where it may be."""
    reasons = _blocked()
    return next((f"{BLOCKED}{reasons[name]}" for name in map(canonical, names) if name in reasons), "")


@functools.cache
def _catalogue() -> dict[str, Any]:
    try:
        return read_mapping(registry_file())
    except ValueError as error:
        raise PluginError(f"the catalogue does not parse: {error}") from error


@functools.cache
def _blocked() -> dict[str, str]:
    both = {**read_choices().blocked, **(_catalogue().get("blocked") or {})}
    return {canonical(name): reason for name, reason in both.items()}


@functools.cache
def discover() -> tuple[Found, ...]:
    """Every installed plugin in the order of names, broken ones with their `error`. Cached for the process.

    Of several of one name the one that can be used, if any, comes first. Raises PluginError where the catalogue or the
    user's own list (`diffx.plugins.userfile`) does not parse: what is blocked is not known then.
    """
    rows = _catalogue().get("plugins") or {}
    found: list[Found] = []
    for name, value, distribution, version, problem in entry_points(GROUP):
        if problem:
            one = Found(name, None, distribution, version, problem)
        else:
            one = _examine(name, value, distribution, version, rows)
        reason = block_reason(name, distribution)
        found.append(one._replace(error=reason) if reason else one)
    for name in set(rows) - {one.name for one in found if _is_ours(one.distribution)}:
        stale = "in the catalogue, but not installed: pip install --force-reinstall diffx-suite"
        found.append(Found(name, None, OURS, "?", stale))
    settled = [_without_clash(one, found) for one in found]
    return tuple(sorted(settled, key=lambda one: (one.name, bool(one.error), one.distribution)))


def _without_clash(one: Found, everybody: list[Found]) -> Found:
    """Ours keeps its name; of two strangers neither can be meant, until one is removed or blocked."""
    others = [o for o in everybody if o.name == one.name and o is not one and not o.error.startswith(BLOCKED)]
    if one.error or not others or _is_ours(one.distribution):
        return one
    other = next((o for o in others if _is_ours(o.distribution)), others[0])
    both = f"{other.distribution} {other.version} also has a plugin {one.name!r}"
    loser = one.distribution if _is_ours(other.distribution) else "one of the two"
    return one._replace(error=f"{both}: diffx plugins remove, or block, {loser}")


@functools.cache
def core() -> Found:
    """The core as a plugin: its row in the catalogue."""
    return Found("core", parse_manifest("core", _catalogue().get("core")), OURS, __version__)


def find(name: str) -> Found:
    """The plugin of that name. Raises PluginError where it is unknown, broken, blocked or made for another API."""
    plugins = {found.name: found for found in reversed(discover())}
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


def canonical(name: str) -> str:
    """The name of a distribution as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def package_folders(module: str) -> list[Path]:
    """The folders of a module's top-level package, found without importing it; [] where there is none.

    Of a single file, the folder in which it lies.
    """
    try:
        spec = importlib.util.find_spec(module.partition(".")[0])
    except (ImportError, ValueError, AttributeError):
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations is None:
        return [Path(spec.origin).parent] if spec.has_location and spec.origin else []
    return [Path(folder) for folder in spec.submodule_search_locations]


def manifest_files(module: str, distribution: str) -> list[Path]:
    """The files that may be a plugin's diffx.yaml, the likeliest first.

    In the folder of its package or one above; for a plugin that is a single file, beside it. Last come those that its
    distribution installed elsewhere, as in its dist-info: single files share one folder, and would overwrite each
    other's there.
    """
    inner = module.split(".")[1:]
    near = [
        folder.joinpath(*inner[:depth], "diffx.yaml")
        for folder in package_folders(module)
        for depth in range(len(inner), -1, -1)  # a namespace package is shared: the plugin's own part goes first
    ]
    try:
        installed = metadata.distribution(distribution).files or []
    except metadata.PackageNotFoundError:
        installed = []
    far = [Path(str(file.locate())) for file in installed if file.name == "diffx.yaml"]
    return [file for file in dict.fromkeys([*near, *far]) if file.is_file()]


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
    return canonical(distribution) == OURS


def entry_points(group: str) -> Iterator[tuple[str, str, str, str, str]]:
    """(name, module, distribution, version, problem) of each entry point; damaged metadata is reported or skipped."""
    try:
        points = list(metadata.entry_points(group=group))
    except Exception:  # one distribution's metadata is damaged: find the others one by one
        points = []
        seen = set()
        for distribution in metadata.distributions():
            try:
                name = distribution.name
                if name not in seen:
                    seen.add(name)
                    points += [p for p in distribution.entry_points if p.group == group]
            except Exception:
                continue
    for point in points:
        try:
            assert point.dist is not None
            yield point.name, point.value, point.dist.name or "?", point.dist.version or "?", ""
        except Exception as error:
            yield point.name, point.value, "?", "?", f"its distribution's metadata is damaged: {in_one_line(error)}"


def _row(name: str, files: list[Path]) -> tuple[str, Any, str]:
    """(file, row, "") of the first file with a row of that name, ("", None, what is wrong with the first) else."""
    problems = []
    for file in files:
        try:
            row = (read_mapping(file).get("plugins") or {}).get(name)
        except ValueError as error:  # perhaps another's, in a folder that they share
            problems.append(f"bad manifest: {error}")
            continue
        if row is not None:
            return str(file), row, ""
        problems.append(_no_row(file, name))
    return "", None, problems[0]


def _no_row(source: str | Path, name: str) -> str:
    return f"{source}: no row 'plugins: {name}:'"


def _examine(name: str, module: str, distribution: str, version: str, rows: dict[str, Any]) -> Found:
    def broken(reason: str) -> Found:
        return Found(name, None, distribution, version, reason)

    try:
        if _is_ours(distribution):
            source, row = "registry.yaml", rows.get(name)
        else:
            files = manifest_files(module, distribution)
            if not files:
                top = module.partition(".")[0]
                return broken(f"no diffx.yaml in the folder of its package {top!r}, or beside {top}.py: ask its author")
            source, row, problem = _row(name, files)
            if problem:
                return broken(problem)
        if row is None:
            return broken(_no_row(source, name))
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
