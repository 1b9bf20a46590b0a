"""Whether what a run names is there, before torch is loaded or a run folder made. Reads names and headers only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from diffx.config import RunConfig
from diffx.errors import DataError, did_you_mean
from diffx.io.home import expanded
from diffx.plugins.loader import check_own_inputs
from diffx.plugins.registry import Found, manifest_of
from diffx.plugins.weights import check_safetensors, resolve_weights

READ = ("root", "file")  # options of data. that name what is read


def check_inputs(found: Found, cfg: RunConfig) -> None:
    """The files and folders of `data.root`, `data.file` and `from=`, then what the plugin's own check looks at.

    Raises DataError with a line for each that is missing; whatever the plugin's check raises.
    """
    lacking = [line for name in READ for line in _missing(f"data.{name}", getattr(cfg.data, name, None))]
    if cfg.from_ and not cfg.resume:  # a run that goes on has its own weights
        try:
            _check_weights(found, cfg)
        except DataError as error:
            lacking.append(str(error))
    if lacking:
        raise DataError("\n".join(lacking))
    check_own_inputs(found, cfg)


def _missing(key: str, value: object) -> Iterator[str]:
    for one in value if isinstance(value, list | tuple) else [value]:
        if not isinstance(one, str | Path) or not str(one) or "://" in str(one):
            continue
        path = expanded(one)
        try:
            there = path.exists()
            beside = [p.name for p in path.parent.iterdir()] if not there and path.parent.is_dir() else []
        except OSError as error:
            yield f"{key}={one}: {(error.strerror or str(error)).lower()}"
            continue
        if not there:
            where = "" if path.is_absolute() else f" in {Path.cwd()}"
            yield f"{key}={one}: no such file or folder{where}{did_you_mean(path.name, beside)}"


def _check_weights(found: Found, cfg: RunConfig) -> None:
    """Raises DataError where `from=` names nothing, or what a task of the core cannot use."""
    path = resolve_weights(cfg.from_ or "", cfg.plugin)
    task = manifest_of(found).tasks.get(cfg.task)
    if task is not None and task.run:
        return  # a plugin's own task may take those of another
    try:
        owner = json.loads(check_safetensors(path).get("diffx", "{}")).get("plugin", cfg.plugin)
    except (ValueError, AttributeError):
        raise DataError(f"{path}: its header does not parse") from None
    if owner != cfg.plugin:
        raise DataError(f"{path} holds weights of {owner!r}, not of {cfg.plugin!r}")
