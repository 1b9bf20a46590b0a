"""What a user writes after from= becomes a file that is whole, or one line that says why not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from diffx.errors import DataError
from diffx.plugins import weights
from diffx.plugins.manifest import WeightsEntry
from diffx.plugins.weights import Shipped, check_safetensors, newest_checkpoint, resolve_weights


def write(path: Path, **about: object) -> Path:
    """A safetensors file of two float32, made by hand from the format's description."""
    header = {"__metadata__": {"diffx": json.dumps(about)}, "x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    return path


def ship(path: Path, plugin: str = "one", key: str = "brain") -> Shipped:
    data = path.read_bytes()
    return Shipped(key, plugin, path, WeightsEntry(path.name, hashlib.sha256(data).hexdigest(), len(data), "CC0-1.0"))


def test_an_id_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "w.safetensors")
    one = ship(path)
    monkeypatch.setattr(weights, "shipped", lambda: [one])
    assert resolve_weights("brain") == resolve_weights("one/brain") == path
    with pytest.raises(DataError, match=r"weights 'brian': no such id, file or run folder; did you mean 'brain'\?"):
        resolve_weights("brian")
    data = path.read_bytes()
    path.write_bytes(data[:-1] + b"\1")
    with pytest.raises(DataError, match="is not the file that was shipped"):
        resolve_weights("brain")
    path.write_bytes(data[:-1])
    with pytest.raises(DataError, match=f"has {len(data) - 1} bytes instead of {len(data)}"):
        resolve_weights("brain")
    path.unlink()
    with pytest.raises(DataError, match="No such file or directory: reinstall the plugin"):
        resolve_weights("brain")


def test_an_id_of_two_plugins_needs_the_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = ship(write(tmp_path / "a.safetensors")), ship(write(tmp_path / "b.safetensors"), plugin="two")
    monkeypatch.setattr(weights, "shipped", lambda: [one, two])
    assert resolve_weights("brain", plugin="two") == two.path
    assert resolve_weights("one/brain", plugin="two") == one.path
    with pytest.raises(DataError, match="write one/brain or two/brain"):
        resolve_weights("brain")


def test_the_newest_checkpoint_of_a_run_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no checkpoint"):
        resolve_weights(tmp_path)
    folder = tmp_path / "checkpoints"
    last = write(folder / "last.safetensors", step=20, kind="checkpoint")
    averaged = write(folder / "weights.safetensors", step=20, kind="weights")
    write(folder / ".weights.safetensors.12.part", step=99)
    assert resolve_weights(tmp_path) == averaged  # of one step, what is made for sampling
    write(last, step=30, kind="checkpoint")
    assert newest_checkpoint(tmp_path) == last  # trained on, then stopped
    last.write_bytes(last.read_bytes()[:-1])
    assert newest_checkpoint(tmp_path) == averaged  # the other one is damaged


def test_a_file_that_is_not_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "w.safetensors", step=3)
    assert json.loads(check_safetensors(path)["diffx"]) == {"step": 3}
    whole = path.read_bytes()
    for data, reason in (
        (whole[:-1], "cut off or damaged"),
        (whole + b"\0", "cut off or damaged"),
        (whole[:20], "not a safetensors file, or cut off"),
        (b"", "not a safetensors file, or cut off"),
        (b"PK\3\4" + bytes(400), "not a safetensors file"),
        ((4).to_bytes(8, "little") + b"[1]" + bytes(9), "its header does not parse"),
    ):
        path.write_bytes(data)
        with pytest.raises(DataError, match=reason):
            resolve_weights(path)
