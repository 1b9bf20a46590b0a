"""Tensors on disk: safetensors with what they mean in the header. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from diffx.errors import DataError, PluginError, in_one_line
from diffx.io.files import plain
from diffx.io.renamed import current

__all__ = ["digest", "header", "load", "load_into", "read_meta", "rehearse", "save", "under"]

FORMAT = 1


def digest(tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> str:
    """sha256 over names, dtypes, shapes and bytes, in order of name, and over the meta."""
    sha = hashlib.sha256(json.dumps(meta).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.flatten().view(torch.uint8).numpy().data)
    return sha.hexdigest()


def save(path: Path | str, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write tensors and ``meta``; the file appears whole or not at all.

    Args:
        path: of the file.
        tensors: on any device; of those that share memory, such as tied weights, each is written by itself.
        meta: what :func:`diffx.io.files.plain` takes; the hash that :func:`load` found in another file is left out.

    Raises:
        PluginError: an entry of ``meta`` or a tensor that no file can hold.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    ready = _apart(tensors)
    facts = _hashed({"format": FORMAT, **header(meta)})
    text = {"diffx": json.dumps({**facts, "sha256": digest(ready, facts)})}
    partial = path.with_name(f".{path.name}.part")  # what a kill leaves of it, the next save takes up
    try:
        partial.touch()
        mode = partial.stat().st_mode  # what the umask says; save_file makes files that only their owner can read
        save_file(ready, partial, metadata=text)
        partial.chmod(mode)
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())  # the rename must never become durable before the content
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def rehearse(path: Path | str, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Save to a file beside ``path``, read it back, compare and delete it: so that no training is lost at its end.

    Raises:
        PluginError: what cannot be saved, or is another thing when read back.
    """
    trial = Path(path).with_name(f".{Path(path).name}.trial")
    try:
        save(trial, tensors, meta)
        found, facts = load(trial)
        unlike = [name for name, tensor in tensors.items() if not _equal(found[name], tensor)]
        if unlike:
            raise PluginError(f"tensor {unlike[0]!r} of the weights cannot be saved: it is read back as another one")
        for key, value in header(meta).items():
            if not _same(facts[key], value):
                raise PluginError(f"the fact {key!r} of the weights cannot be saved: it is read back as another one")
    finally:
        trial.unlink(missing_ok=True)


def header(meta: Mapping[str, Any]) -> dict[str, Any]:
    """``meta`` in JSON's own types; numbers that are not finite stay. PluginError names what has no such form."""
    facts = {}
    for key, value in meta.items():
        try:
            facts[str(key)] = plain(value, finite=False)
        except TypeError as error:
            raise PluginError(f"the fact {key!r} of the weights cannot be saved: {error}") from None
    return facts


def _hashed(meta: Mapping[str, Any]) -> dict[str, Any]:
    """What of a header its hash is taken of: all but the hash."""
    return {key: value for key, value in meta.items() if key != "sha256"}


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """On the host, contiguous, and each with memory of its own, as the format wants it."""
    ready: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, value in tensors.items():
        try:
            tensor = torch.as_tensor(value).detach().cpu().contiguous()
        except (TypeError, ValueError, RuntimeError) as error:
            raise PluginError(f"{name!r} of the weights cannot be saved: {in_one_line(error)}") from None
        memory = tensor.untyped_storage().data_ptr()
        if memory in taken:
            tensor = tensor.clone()
            memory = tensor.untyped_storage().data_ptr()
        ready[name] = tensor
        taken.add(memory)
    return ready


def _equal(found: Tensor, tensor: Tensor) -> bool:
    given = torch.as_tensor(tensor).detach().cpu()
    return found.dtype == given.dtype and torch.equal(found.nan_to_num(), given.nan_to_num())


def _same(found: Any, given: Any) -> bool:
    return json.dumps(found) == json.dumps(given)  # NaN is equal to NaN there


def read_meta(path: Path | str) -> dict[str, Any]:
    """The header's ``meta``, without reading a tensor. Raises DataError for a file that is not ours."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} is not a safetensors file ({error})") from None
    if "diffx" not in header:
        raise DataError(f"{path} was not written by diffx: its header does not say what the tensors are")
    try:
        meta = dict(json.loads(header["diffx"]))
    except (TypeError, ValueError):
        raise DataError(f"{path} is damaged: its header is not readable") from None
    if meta.get("format") != FORMAT:
        raise DataError(f"{path} has format {meta.get('format')}, this diffx reads format {FORMAT}")
    return meta


def load(path: Path | str, verify: bool = True) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, meta). Raises DataError for a file that is missing, foreign, of another format or damaged."""
    meta = read_meta(path)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if verify and digest(tensors, _hashed(meta)) != meta.get("sha256"):
        raise DataError(f"{path} is damaged: it does not match the hash in its header")
    return tensors, meta


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors below ``prefix.``, without it."""
    return {name[len(prefix) + 1 :]: t for name, t in tensors.items() if name.startswith(prefix + ".")}


def load_into(module: torch.nn.Module, tensors: Mapping[str, Tensor], source: Path | str) -> None:
    """Load a state dict strictly, of this release or an earlier one; DataError names what does not fit."""
    expected = module.state_dict()
    tensors = current(tensors, expected)
    missing, surplus = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    shapes = [n for n in expected.keys() & tensors.keys() if expected[n].shape != tensors[n].shape]
    for what, names in (("lacks", missing), ("has unknown", surplus), ("has other shapes for", shapes)):
        if names:
            some = f"{', '.join(names[:3])} ({len(names)} in all)"
            raise DataError(f"{source} does not fit this network: it {what} {some}")
    module.load_state_dict(dict(tensors))
