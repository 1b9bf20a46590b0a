"""Weights that come in a distribution of their own, told from metadata alone: nothing of it is imported.

Such a distribution has an entry point of the group "diffx.weights" (any name, and a package) and, in that package's
folder, a diffx.yaml with the mapping `weights`. Anybody may ship one, for any plugin.
"""

from __future__ import annotations

import functools
import shlex
from collections.abc import Mapping
from typing import NamedTuple

from diffx.errors import in_one_line
from diffx.io.yamltext import read_mapping
from diffx.plugins.manifest import WeightsEntry, parse_weights
from diffx.plugins.registry import (
    block_reason,
    canonical,
    discover,
    entry_points,
    manifest_files,
    package_folders,
    registry_file,
)

GROUP = "diffx.weights"


class Pack(NamedTuple):
    """One distribution of weights: id -> (whose plugin's, entry), or the reason why it cannot be used."""

    module: str
    distribution: str
    version: str
    weights: Mapping[str, tuple[str, WeightsEntry]] = {}
    error: str = ""


@functools.cache
def packs() -> tuple[Pack, ...]:
    """Every installed distribution of weights, in the order of names; broken ones with their `error`."""
    found = [
        Pack(module, distribution, version, error=problem) if problem else _examine(module, distribution, version)
        for _, module, distribution, version, problem in entry_points(GROUP)
    ]
    return tuple(sorted(found, key=lambda pack: pack.distribution))


def installed() -> set[str]:
    """The canonical names of the distributions that bring plugins or weights."""
    return {canonical(one.distribution) for one in (*discover(), *packs())}  # type: ignore[attr-defined]


def install_pack(distribution: str) -> str:
    """The command that installs a distribution of weights: from the checkout diffx runs from, or from the index."""
    here = registry_file().parent / "weights" / distribution
    return f"pip install {shlex.quote(str(here)) if here.is_dir() else distribution}"


def _examine(module: str, distribution: str, version: str) -> Pack:
    pack = Pack(module, distribution, version)
    try:
        reason = block_reason(distribution)
        if reason:
            return pack._replace(error=reason)
        files = manifest_files(module, distribution)
        if not files or not package_folders(module):
            return pack._replace(error=f"no diffx.yaml in the folder of its package {module!r}: ask its author")
        return pack._replace(weights=parse_weights(read_mapping(files[0]).get("weights")))
    except Exception as error:  # whatever it is, other weights must not suffer
        text = str(error) if isinstance(error, ValueError) else in_one_line(error)
        return pack._replace(error=f"bad manifest: {text}")
