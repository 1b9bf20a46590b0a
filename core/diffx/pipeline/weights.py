"""What a file of weights holds: tensors for sampling, and in its header what rebuilds the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from diffx.config import RunConfig, renamed, resolve, schema
from diffx.config.dump import flat
from diffx.config.resolve import escape
from diffx.data.spec import Spec
from diffx.errors import DataError, UsageError
from diffx.io import checkpoint

C = TypeVar("C", bound=RunConfig)

# Which call it was, and on which machine, is no property of the weights.
_OF_THE_RUN = (
    *("plugin", "task", "preset", "config", "out", "from", "resume", "device", "n", "extensions"),
    *("data.root", "data.cache"),
)


def describe(cfg: RunConfig, spec: Spec) -> dict[str, Any]:
    """What the header of a file must say so that a :class:`Pipeline` can rebuild the model."""
    values = {key: value for key, value in flat(cfg) if key not in _OF_THE_RUN and not _is_a_place(key, value)}
    return {"plugin": cfg.plugin, "config": values, "spec": spec.to_json()}


def _is_a_place(key: str, value: object) -> bool:
    """Whether it names a file or folder of the machine; what samples are drawn with (``sample.``) stays."""
    return isinstance(value, str) and not key.startswith("sample.") and Path(value).expanduser().is_absolute()


def recorded(config_type: type[C], meta: Mapping[str, Any], path: Path | str) -> C:
    """The configuration in a header; options that have since gone are passed over.

    Args:
        config_type: of the plugin.
        meta: the header.
        path: of the file, for errors.

    Raises:
        DataError: the header holds no configuration, or one that this plugin's options do not allow.
    """
    lacking = [key for key in ("plugin", "config", "spec") if key not in meta]
    if lacking:
        raise DataError(f"{path}: its header does not say what rebuilds the model ({', '.join(lacking)} missing)")
    known = schema(config_type).options
    values = {key: escape(value) for key, value in renamed(config_type, meta["config"]).items() if key in known}
    try:
        return resolve(config_type, preset={**values, "plugin": meta["plugin"]})
    except UsageError as error:
        wrong = "; ".join(line.removeprefix("preset: ") for line in str(error).splitlines())
        raise DataError(f"{path}: its header does not fit the options of {meta['plugin']}: {wrong}") from None


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the network and the process that two flat configurations do not share, with their values in one."""
    return {k: v for k, v in theirs.items() if k.startswith(("net.", "process.")) and ours.get(k) != v}


def export(
    path: Path | str, tensors: Mapping[str, Tensor], meta: Mapping[str, Any], extra: Mapping[str, Tensor] | None
) -> None:
    """Write weights for sampling.

    Args:
        path: of the file.
        tensors: the model's state dict, stored in fp16 under ``model.``.
        meta: what :func:`describe` says, and further facts.
        extra: tensors that belong to the weights though they are not trained, stored under ``extra.`` as given.
    """
    checkpoint.save(path, for_sampling(tensors, extra), {**meta, "kind": "weights"})


def for_sampling(tensors: Mapping[str, Tensor], extra: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """The tensors of :func:`export` under their names in the file."""
    return {f"model.{k}": v for k, v in half(tensors).items()} | {f"extra.{k}": v for k, v in (extra or {}).items()}


def half(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """fp32 tensors as fp16, others as they are."""
    return {name: t.half() if t.dtype == torch.float32 else t for name, t in tensors.items()}
