"""Checkpoints: what goes in comes out, and nothing else is believed."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from diffx.errors import DataError, PluginError
from diffx.io import checkpoint

TENSORS = {
    "model.weight": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)),
    "model.half": torch.tensor([1.5, -2.0], dtype=torch.float16),
    "model.brain": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "extra.count": torch.tensor(7),
    "extra.mask": torch.tensor([True, False]),
    "extra.empty": torch.zeros(0, 3),
    "extra.turned": torch.arange(6.0).view(2, 3).T,
}
META = {"plugin": "toy", "step": 12, "config": {"lr": 3e-4, "names": ["ä", "b"]}, "none": None}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "sub" / "x.safetensors"
    checkpoint.save(path, TENSORS, META)
    return path


def test_round_trip(path) -> None:
    tensors, meta = checkpoint.load(path)
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(tensors[name], tensor) and tensors[name].dtype == tensor.dtype
    assert {key: meta[key] for key in META} == META
    assert checkpoint.read_meta(path) == meta
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_same_content_gives_the_same_bytes(path) -> None:
    before = path.read_bytes()
    checkpoint.save(path, dict(reversed(TENSORS.items())), META)
    assert path.read_bytes() == before


def test_what_was_loaded_can_be_saved_with_other_facts(path) -> None:
    tensors, meta = checkpoint.load(path)
    checkpoint.save(path, tensors, {**meta, "step": 13})
    again, facts = checkpoint.load(path)
    assert facts["step"] == 13 and facts["sha256"] != meta["sha256"] and again.keys() == tensors.keys()


def test_any_flipped_byte_is_noticed(path) -> None:
    """Weights, names, shapes, the step, the configuration: every byte is under one of the hashes."""
    good = path.read_bytes()
    _, meta = checkpoint.load(path)
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= 0x04
        path.write_bytes(bad)
        try:
            tensors, read = checkpoint.load(path)
        except DataError as error:
            assert str(path) in str(error)
            continue
        # what is left are bytes that carry nothing: the name of the header's own hash
        assert read == meta and all(torch.equal(tensors[n], t) for n, t in TENSORS.items()), position


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_truncated_file_is_refused(path, keep) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match="not a safetensors file"):
        checkpoint.load(path)


def test_foreign_files_are_refused(tmp_path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(DataError, match="not written by diffx"):
        checkpoint.load(path)
    save_file({"a": torch.zeros(2)}, path, metadata={"format": "pt"})
    with pytest.raises(DataError, match="not written by diffx"):
        checkpoint.load(path)
    for text in ("not json", "5", "[1]"):
        save_file({"a": torch.zeros(2)}, path, metadata={"diffx": text})
        with pytest.raises(DataError):
            checkpoint.load(path)
    save_file({"a": torch.zeros(2)}, path, metadata={"diffx": json.dumps({"format": 99, "sha256": ""})})
    with pytest.raises(DataError, match="format 99, this diffx reads format 1"):
        checkpoint.load(path)
    with pytest.raises(DataError, match="no such file"):
        checkpoint.load(tmp_path / "absent.safetensors")
    with pytest.raises(DataError):
        checkpoint.load(tmp_path)


def test_pickles_are_never_loaded(tmp_path) -> None:
    fired = tmp_path / "fired"

    class Bomb:
        def __reduce__(self):
            return (open, (str(fired), "w"))

    by_pickle, by_torch = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    by_pickle.write_bytes(pickle.dumps({"model.weight": Bomb()}))
    torch.save({"model.weight": Bomb()}, by_torch)
    for path in (by_pickle, by_torch):
        with pytest.raises(DataError, match="not a safetensors file"):
            checkpoint.load(path)
    assert not fired.exists()
    pickle.loads(by_pickle.read_bytes())
    assert fired.exists()  # the bomb was live


@pytest.mark.parametrize("when", ["save_file", "fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file(path, monkeypatch, when) -> None:
    before = path.read_bytes()

    def fail(*args, **kwargs):
        if when == "save_file":
            args[1].write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint if when == "save_file" else checkpoint.os, when, fail)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(path, {"model.weight": torch.ones(4)}, {})
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_what_no_file_can_hold_is_refused_before_anything_is_written(tmp_path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(PluginError, match="the fact 'codec' of the weights cannot be saved: cannot write object"):
        checkpoint.save(path, {}, {"codec": {"deep": [object()]}})
    with pytest.raises(PluginError, match=r"'extra\.name' of the weights cannot be saved"):
        checkpoint.save(path, {"extra.name": "text"}, {})  # type: ignore[dict-item]
    assert not list(tmp_path.iterdir())


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    LARGE = 3


@dataclasses.dataclass
class Fact:
    where: Path
    count: int


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (Path("a/b"), "a/b"),
        ((1, (2, 3)), [1, [2, 3]]),
        ({"b", "a"}, ["a", "b"]),
        (Colour.RED, "red"),
        (Size.LARGE, 3),
        (np.float32(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.arange(3), [0, 1, 2]),
        (torch.tensor([1.5, 2.5]), [1.5, 2.5]),
        (datetime.date(2024, 2, 29), "2024-02-29"),
        (datetime.datetime(2024, 2, 29, 12, 30), "2024-02-29T12:30:00"),
        (datetime.timedelta(minutes=2), 120.0),
        (Fact(Path("x"), 2), {"where": "x", "count": 2}),
        ({Colour.RED: 1, 2: "two", np.int64(4): 3}, {"red": 1, "2": "two", "4": 3}),
        (float("inf"), float("inf")),
    ],
)
def test_facts_of_every_kind_are_read_back_in_jsons_own_types(tmp_path, given, read) -> None:
    path = tmp_path / "x.safetensors"
    for value, expected in ((given, read), ({"deep": [given]}, {"deep": [read]})):
        checkpoint.rehearse(path, {"w": torch.ones(2)}, {"fact": value})
        assert not list(tmp_path.iterdir())
        checkpoint.save(path, {"w": torch.ones(2)}, {"fact": value})
        found = checkpoint.load(path)[1]["fact"]
        assert found == expected and type(found) is type(expected)
        path.unlink()


def test_tensors_that_share_memory_are_saved_each_by_itself(tmp_path) -> None:
    whole = torch.arange(12.0)
    shared = {"a": whole, "b": whole, "part": whole[2:5], "turned": whole.view(3, 4).T, "twice": whole[:1].expand(3)}
    checkpoint.save(tmp_path / "x.safetensors", shared, {})
    found = checkpoint.load(tmp_path / "x.safetensors")[0]
    assert found.keys() == shared.keys() and all(torch.equal(found[name], value) for name, value in shared.items())


def test_a_rehearsal_finds_what_is_read_back_as_another_thing(tmp_path, monkeypatch) -> None:
    path = tmp_path / "x.safetensors"
    true = checkpoint.save_file
    monkeypatch.setattr(checkpoint, "digest", lambda tensors, meta: "0")
    monkeypatch.setattr(checkpoint, "save_file", lambda t, p, metadata: true({"w": t["w"] + 1}, p, metadata))
    with pytest.raises(PluginError, match="tensor 'w' of the weights cannot be saved: it is read back as another one"):
        checkpoint.rehearse(path, {"w": torch.ones(2)}, {})
    assert not list(tmp_path.iterdir())


def test_under_takes_whole_names() -> None:
    tensors = {"model.a": 1, "model.b.c": 2, "models.a": 3, "model": 4}
    assert checkpoint.under(tensors, "model") == {"a": 1, "b.c": 2}


def test_load_into_says_what_does_not_fit() -> None:
    module = nn.Linear(3, 2)
    state = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
    checkpoint.load_into(module, {k: v.half() for k, v in state.items()}, "file")
    assert torch.equal(module.weight, torch.ones(2, 3)) and module.weight.dtype == torch.float32
    for tensors, text in (
        ({"weight": state["weight"]}, "file does not fit this network: it lacks bias"),
        ({**state, "gain": torch.ones(1)}, "has unknown gain"),
        ({**state, "weight": torch.ones(3, 2)}, "has other shapes for weight"),
    ):
        with pytest.raises(DataError, match=text):
            checkpoint.load_into(module, tensors, "file")
    assert torch.equal(module.weight, torch.ones(2, 3))


class Earlier(nn.Module):
    """With names of today beside one that is still its own."""

    def __init__(self) -> None:
        super().__init__()
        self.denoiser = nn.Module()
        self.denoiser.register_buffer("element_sigma_data", torch.zeros(2))
        self.denoiser.preconditioners = nn.ModuleDict({"x": nn.Module()})
        self.denoiser.preconditioners["x"].register_buffer("element_sigma_data", torch.zeros(3))
        self.encoder = nn.Module()
        self.encoder.register_buffer("spread", torch.zeros(1))


def test_tensors_of_an_earlier_release_are_found_under_their_new_names() -> None:
    saved = {
        "denoiser.spread": torch.tensor([1.0, 2.0]),
        "denoiser.frames.x.spread": torch.tensor([3.0, 4.0, 5.0]),
        "encoder.spread": torch.tensor([6.0]),  # not renamed there
    }
    model = Earlier()
    checkpoint.load_into(model, saved, "weights")
    assert model.denoiser.element_sigma_data.tolist() == [1, 2] and model.encoder.spread.tolist() == [6]
    assert model.denoiser.preconditioners["x"].element_sigma_data.tolist() == [3, 4, 5]
    again = Earlier()
    checkpoint.load_into(again, model.state_dict(), "weights")  # and those of today as they are
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), model.state_dict().values(), strict=True))
    with pytest.raises(DataError, match=r"has unknown head.spread"):
        checkpoint.load_into(model, {**saved, "head.spread": torch.zeros(1)}, "weights")


def test_a_file_is_as_readable_as_any_other(path) -> None:
    """safetensors makes files that only their owner may read, which is no good for weights in a package."""
    other = path.with_name("other")
    other.touch()
    assert path.stat().st_mode == other.stat().st_mode
