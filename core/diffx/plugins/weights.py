"""From what a user writes - an id, a file, a run folder - to a file of weights that is whole. No torch here."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from diffx.errors import DataError, did_you_mean
from diffx.io.home import expanded
from diffx.plugins.manifest import WeightsEntry
from diffx.plugins.packs import install_pack, packs
from diffx.plugins.registry import canonical, discover, package_folders

__all__ = ["Shipped", "check_safetensors", "newest_checkpoint", "resolve_weights", "shipped", "verify"]


class Shipped(NamedTuple):
    """Installed weights of a plugin; `path` is where they have to lie."""

    id: str
    plugin: str
    path: Path
    entry: WeightsEntry
    distribution: str = "the plugin"

    @property
    def size(self) -> str:
        """Of the file: 16.7 MB, 25 kB."""
        mega = self.entry.bytes / 1e6
        return f"{mega:.1f} MB" if mega >= 1 else f"{1000 * mega:.0f} kB"


class Absent(NamedTuple):
    """Weights of an installed plugin that come in another distribution, which is not installed or cannot be used."""

    id: str
    plugin: str
    why: str


def shipped() -> list[Shipped]:
    """The weights that usable plugins bring, and those of distributions that ship nothing else."""
    found = []
    for plugin in discover():
        if plugin.manifest is not None and not plugin.error:
            for key, entry in plugin.manifest.weights.items():
                path = _place(plugin.manifest.module, entry)
                found.append(Shipped(key, plugin.name, path, entry, plugin.distribution))
    for pack in packs():
        for key, (name, entry) in pack.weights.items():
            found.append(Shipped(key, name, _place(pack.module, entry), entry, pack.distribution))
    return found


def absent() -> list[Absent]:
    """The weights that usable plugins know of, but that are not installed."""
    here = {(w.plugin, w.id) for w in shipped()}
    errors = {canonical(pack.distribution): f"{pack.distribution}: {pack.error}" for pack in packs() if pack.error}
    found = []
    for plugin in discover():
        if plugin.manifest is not None and not plugin.error:
            for key, distribution in plugin.manifest.more_weights.items():
                if (plugin.name, key) not in here:
                    missing = f"not installed: {install_pack(distribution)}"
                    found.append(Absent(key, plugin.name, errors.get(canonical(distribution), missing)))
    return found


def _place(module: str, entry: WeightsEntry) -> Path:
    paths = [folder / entry.file for folder in package_folders(module) or [Path()]]
    return next((path for path in paths if path.is_file()), paths[0])


def resolve_weights(reference: str | Path, plugin: str = "") -> Path:
    """The file that `from=` names, verified.

    reference: the id of shipped weights ("id", or "plugin/id" where two plugins have one); a .safetensors file; or a
    run folder, of which the newest checkpoint is taken. An id goes before a path of the same name: write "./name".
    plugin: whose id is meant where several plugins have it.
    Raises DataError: nothing of that name, or a file that is missing, truncated or not the one that was shipped.
    """
    text = str(reference)
    matching = [w for w in shipped() if text in (w.id, f"{w.plugin}/{w.id}")]
    if len(matching) > 1:
        own = [w for w in matching if w.plugin == plugin]
        if len(own) != 1:
            names = dict.fromkeys(f"{w.plugin}/{w.id}" for w in matching)
            if len(names) == 1 or own:
                both = " and ".join(w.distribution for w in own or matching)
                raise DataError(f"weights {text!r}: {both} both bring them; uninstall one")
            raise DataError(f"weights {text!r}: several plugins have them; write {' or '.join(names)}")
        matching = own
    if matching:
        return verify(matching[0])
    path = expanded(text)
    if path.is_dir():
        path = newest_checkpoint(path)
    elif not path.exists():
        for one in absent():
            if text in (one.id, f"{one.plugin}/{one.id}"):
                raise DataError(f"weights {text!r}: {one.why}")
        hint = did_you_mean(text, [*(w.id for w in shipped()), *(w.id for w in absent())])
        raise DataError(f"weights {text!r}: no such id, file or run folder{hint} (`diffx weights list` shows the ids)")
    check_safetensors(path)
    return path


def verify(weights: Shipped) -> Path:
    """The path of shipped weights whose size and SHA-256 are the manifest's. Raises DataError."""
    name = f"weights {weights.id!r} of plugin {weights.plugin!r}"
    try:
        size = weights.path.stat().st_size
        if size != weights.entry.bytes:
            what = f"has {size} bytes instead of {weights.entry.bytes}"
            raise DataError(f"{name}: {weights.path} {what}: reinstall {weights.distribution}")
        with weights.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        what = f"{weights.path}: {error.strerror or error}"
        raise DataError(f"{name}: {what}: reinstall {weights.distribution}") from error
    if digest != weights.entry.sha256:
        what = "is not the file that was shipped (its SHA-256 differs)"
        raise DataError(f"{name}: {weights.path} {what}: reinstall {weights.distribution}")
    return weights.path


def newest_checkpoint(folder: Path) -> Path:
    """The checkpoint of the latest step in a run folder's checkpoints/, or in the folder itself.

    Of the same step, weights made for sampling go before a state to resume from. Raises DataError where there is none.
    """
    found = [*(folder / "checkpoints").glob("*.safetensors"), *folder.glob("*.safetensors")]
    candidates = [path for path in found if not path.name.startswith(".")]
    if not candidates:
        raise DataError(f"{folder}: no checkpoint (*.safetensors) in it or in its checkpoints/")
    return max(candidates, key=_age)


def _age(path: Path) -> tuple[int, bool, str]:
    try:
        about = json.loads(check_safetensors(path).get("diffx", "{}"))
    except DataError:  # the damaged one is not the newest that can be used
        return -2, False, path.name
    return about.get("step", -1), about.get("kind") == "weights", path.name


def check_safetensors(path: Path) -> dict[str, str]:
    """The metadata in the header of a safetensors file that is as long as its header says. Raises DataError."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= size - 8:
                raise DataError(f"{path}: not a safetensors file, or cut off")
            header = json.loads(file.read(length))
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        end = max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
        metadata = header.get("__metadata__", {})
    except OSError as error:
        raise DataError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise DataError(f"{path}: not a safetensors file: its header does not parse") from error
    if size != 8 + length + end:
        raise DataError(f"{path}: {size} bytes instead of the {8 + length + end} its header states: cut off or damaged")
    return metadata
