"""What a user writes after from= becomes a file that is whole, or one line that says why not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from conftest import MANIFEST, Strangers

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
    entry = WeightsEntry(path.name, hashlib.sha256(data).hexdigest(), len(data), "CC0-1.0")
    return Shipped(key, plugin, path, entry, "stranger-one")


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
    with pytest.raises(DataError, match="No such file or directory: reinstall stranger-one"):
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


# distributions that ship nothing but weights

PACK = """
weights:
  {key}:
    plugin: {plugin}
    file: north.safetensors
    sha256: {sha}
    bytes: {size}
    licence: CC-BY-NC-4.0
"""


def pack(strangers: Strangers, name: str, text: str | None = None, key: str = "north", plugin: str = "one") -> Path:
    """Install the distribution `pack-NAME` as pip would; its package raises when it is imported."""
    package = strangers.folder / f"pack_{name}"
    file = write(package / "north.safetensors", step=1)
    data = file.read_bytes()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    usual = PACK.format(key=key, plugin=plugin, sha=hashlib.sha256(data).hexdigest(), size=len(data))
    (package / "diffx.yaml").write_text(usual if text is None else text)
    info = strangers.folder / f"pack_{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: pack-{name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[diffx.weights]\n{name} = pack_{name}\n")
    return file


def resolved(strangers: Strangers, reference: str) -> str:
    code = """if True:
        import sys
        from diffx.errors import DataError
        from diffx.plugins.weights import resolve_weights
        try:
            print(resolve_weights(sys.argv[1], "one"))
        except DataError as error:
            print(error)
    """
    done = strangers.python("-c", code, reference)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_weights_of_a_distribution_of_their_own(strangers: Strangers) -> None:
    known = MANIFEST.format(name="one") + "    more_weights: {north: pack-good, south: pack-south}\n"
    strangers.add("one", manifest=known)
    assert resolved(strangers, "north") == "weights 'north': not installed: pip install pack-good"
    file = pack(strangers, "good")
    assert resolved(strangers, "north") == resolved(strangers, "one/north") == str(file)
    assert resolved(strangers, "south") == "weights 'south': not installed: pip install pack-south"
    assert "did you mean 'south'?" in resolved(strangers, "soth")
    listed = strangers.diffx("weights", "list").stdout
    assert "CC-BY-NC-4.0" in listed and "not installed: pip install pack-south" in listed
    assert "from=north" in strangers.diffx("run", "plugin=one", "--help").stdout
    assert strangers.diffx("_complete", "diffx run plugin=one from=n").stdout == "from=north\n"
    assert strangers.diffx("plugins", "check", "one", "--to", "import").returncode == 0
    file.write_bytes(file.read_bytes()[:-1] + b"1")
    assert resolved(strangers, "north").endswith("(its SHA-256 differs): reinstall pack-good")
    verified = strangers.diffx("weights", "verify", "north")
    assert verified.returncode == 5 and "reinstall pack-good" in verified.stderr


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "bad manifest: weights: expected a mapping"),
        ("weights: [", "diffx.yaml:2: did not find"),
        ("weights: {north: {file: x}}", "weights.north: plugin is missing, or no name of one"),
        ("weights: {north: 3}", "weights.north: expected the fields file, sha256, bytes, licence, card"),
    ],
)
def test_broken_weights_harm_nobody(strangers: Strangers, text: str, reason: str) -> None:
    strangers.add("one", manifest=MANIFEST.format(name="one") + "    more_weights: {north: pack-bad}\n")
    pack(strangers, "bad", text)
    file = pack(strangers, "good", key="south")
    assert resolved(strangers, "south") == str(file)
    said = resolved(strangers, "north")
    assert said.startswith("weights 'north': pack-bad: bad manifest: ") and reason in said
    listed = strangers.diffx("weights", "list")
    assert listed.returncode == 0 and "diffx: error: weights of pack-bad 1: bad manifest: " in listed.stderr


def test_blocked_and_doubled_weights(strangers: Strangers) -> None:
    strangers.add("one", manifest=MANIFEST.format(name="one") + "    more_weights: {north: pack-good}\n")
    pack(strangers, "good")
    assert strangers.diffx("plugins", "block", "pack-good", "not", "ours").returncode == 0
    assert resolved(strangers, "north") == "weights 'north': pack-good: blocked: not ours"
    assert strangers.diffx("plugins", "unblock", "pack-good").returncode == 0
    pack(strangers, "other")
    assert resolved(strangers, "north") == "weights 'north': pack-good and pack-other both bring them; uninstall one"
    assert "pack_" not in strangers.diffx("plugins").stdout
