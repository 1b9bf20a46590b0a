"""Pictures that a plugin has which brings none: of what was drawn, and of samples on the way of its training."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Strangers
from PIL import Image
from test_contract import CONFIG, MANIFEST, WELL

from diffx.config import RunConfig
from diffx.defaults import diffx_write
from diffx.run.gallery import GAP, MOST, gallery, grey, window
from diffx.run.images import open_picture


def test_black_and_white_are_the_ends_of_the_window() -> None:
    image = np.array([[[-3.0, 0.0, 1.0], [3.0, np.nan, np.inf]]])
    np.testing.assert_array_equal(grey(image, -1, 1), [[0, 128, 255], [255, 0, 255]])
    assert grey(np.zeros((3, 4, 5)), 0, 1).shape == (4, 5, 3)
    assert window(np.array([np.nan, np.inf])) == (0.0, 1.0)
    assert window(np.append(np.linspace(0, 1, 201), np.nan)) == (0.005, 0.995)
    np.testing.assert_array_equal(grey(np.full((1, 2, 2), 7.0), 7, 7), np.zeros((2, 2)))  # constant


def test_images_lie_beside_each_other_each_pixel_where_it_was() -> None:
    samples = np.zeros((5, 1, 64, 128))
    samples[:, 0, 10, 20] = 1
    samples[4, 0, 10, 20] = 0  # darker than the window's low end: black too
    ((title, image, caption),) = gallery(samples + np.linspace(0, 1e-3, 128))
    assert title == "Samples" and image.dtype == np.uint8 and caption.startswith("Black is ")
    assert image.shape == (2 * 64 + GAP, 4 * 128 + 3 * GAP)
    assert [image[10, 20 + k * (128 + GAP)] for k in range(4)] == [255] * 4
    assert image[64 + GAP + 10, 20] < 255 and (image[64 + GAP :, 128 + GAP :] == 255).all()  # paper beside the fifth


@pytest.mark.parametrize(
    "shape, size",
    [
        ((2, 3, 32, 32), (128, 2 * 128 + GAP, 3)),  # colour, each pixel four times as wide
        ((2, 2, 128, 128), (128, 4 * 128 + 3 * GAP)),  # two channels beside each other
        ((2, 5, 128, 128), (2 * 128 + GAP, 5 * 128 + 4 * GAP)),
        ((40, 1, 128, 128), (4 * 128 + 3 * GAP, 4 * 128 + 3 * GAP)),  # sixteen at most
        ((1, 1, 64, 48, 32), (128, 3 * 96 + 2 * GAP)),  # planes 48x32, 64x32, 64x48, each voxel twice as wide
        ((9, 2, 128, 128, 128), (4 * 128 + 3 * GAP, 3 * 128 + 2 * GAP)),
    ],
)
def test_sizes(shape: tuple[int, ...], size: tuple[int, ...]) -> None:
    ((_, image, _),) = gallery(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    assert image.shape == size


def test_the_planes_of_a_volume_are_its_middle_ones() -> None:
    volume = np.random.default_rng(0).normal(size=(128, 128, 128))
    ((_, image, _),) = gallery(np.stack([volume, -volume])[None])
    low, high = window(np.stack([volume, -volume]))
    for k, plane in enumerate((volume[64], volume[:, 64], volume[:, :, 64])):
        np.testing.assert_array_equal(image[:, k * (128 + GAP) : k * (128 + GAP) + 128], grey(plane[None], low, high))


def drawn(monkeypatch: pytest.MonkeyPatch, samples: object) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """What is drawn with Matplotlib: (kind, positions, heights) of each plot."""
    from matplotlib.axes import Axes

    plots: list[tuple[str, np.ndarray, np.ndarray]] = []
    monkeypatch.setattr(Axes, "plot", lambda self, y, **_: plots.append(("line", np.arange(len(y)), np.asarray(y))))
    monkeypatch.setattr(Axes, "bar", lambda self, x, y, **_: plots.append(("bar", np.asarray(x), np.asarray(y))))
    monkeypatch.setattr(Axes, "hist", lambda self, x, **_: plots.append(("hist", np.asarray(x), np.asarray(x))))
    assert all(min(open_picture(picture.image).size) > 40 for picture in gallery(samples))
    return plots


def test_waves_are_lines_and_columns_histograms(monkeypatch: pytest.MonkeyPatch) -> None:
    waves = np.random.default_rng(0).normal(size=(11, 2, 30))
    lines = drawn(monkeypatch, waves)
    assert len(lines) == 2 * MOST["waves"]
    np.testing.assert_array_equal(lines[3][2], waves[1, 1])
    table = {"numbers": waves[:, :, 0], "kinds": np.array([[0], [2], [2]] + [[1]] * 8)}
    _, (kind, values, _), (other, names, counts) = drawn(monkeypatch, table)
    assert kind == "hist"
    np.testing.assert_array_equal(values, waves[:, 1, 0])
    assert (other, names.tolist(), counts.tolist()) == ("bar", [0, 1, 2], [1, 8, 2])
    assert drawn(monkeypatch, {"numbers": waves[:1, :, 0]}) == []  # a histogram of one says nothing


def test_an_image_has_a_png_beside_its_array(tmp_path: Path) -> None:
    cfg = RunConfig(seed=7)
    ramp = torch.linspace(-2, 2, 201).expand(2, 1, 3, 201)
    files = list(diffx_write(cfg, ramp, tmp_path))
    assert [path.name for path in files] == [f"sample-000{k}.{end}" for k in (7, 8) for end in ("npy", "png")]
    seen = np.asarray(Image.open(files[1]))
    assert seen.shape == (3, 201) and (seen[:, 0], seen[:, 200]) == (pytest.approx(0), pytest.approx(255))
    assert abs(int(seen[0, 100]) - 128) <= 1 and (np.diff(seen[0].astype(int)) >= 0).all()
    np.testing.assert_array_equal(np.load(files[0]), ramp[0].numpy())
    for other in (torch.zeros(1, 1, 8), torch.zeros(1, 4, 8, 8), torch.zeros(1, 1, 8, 8, 8)):
        (tmp_path / str(other.ndim)).mkdir(exist_ok=True)
        assert [path.suffix for path in diffx_write(cfg, other, tmp_path / str(other.ndim))] == [".npy"]


TRAIN = "plugin=well task=train train.batch=2 train.log_every=5 device=cpu sample.steps=3 train.steps=20"
STOP = """
import os, signal

@diffx.hookimpl
def diffx_step(run, step, values):
    if step == int(os.environ.get("STOP_AT", 0)):
        os.kill(os.getpid(), signal.SIGINT)
"""
SCRIPT = f"""if True:
    import os
    from diffx import preview
    from diffx.cli import main
    def run(words, code=0):
        found = main(["run", *words.split()])
        assert found == code, (words, found)
    run("{TRAIN} out=whole")
    os.environ["STOP_AT"] = "10"
    run("{TRAIN} out=cut", 130)
    os.environ["STOP_AT"] = "0"
    run("out=cut resume=true")
    run("plugin=well task=sample from=whole n=3 sample.steps=2 out=drawn")
    preview.LEAST = 1000
    run("{TRAIN} out=blind")
    preview.LEAST = 20
    def fails(samples):
        raise KeyError("no picture")
    preview.gallery = fails
    run("{TRAIN} out=failing")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    strangers = Strangers(tmp_path_factory.mktemp("gallery"))
    plugin = WELL.format(name="well") + STOP
    strangers.add("well", plugin=plugin, config=CONFIG, manifest=MANIFEST.format(name="well"))
    done = strangers.python("-c", SCRIPT)
    assert done.returncode == 0, done.stderr[-3000:]
    return strangers.folder


def weights(folder: Path) -> bytes:
    return (folder / "checkpoints/weights.safetensors").read_bytes()


def test_a_training_shows_samples_on_its_way_and_is_the_same_with_them(folder: Path) -> None:
    for name in ("whole", "cut"):
        page = (folder / name / "report.html").read_text()
        assert list(dict.fromkeys(re.findall(r"After (\d+) steps", page))) == ["5", "10", "15", "20"]
        assert len(list((folder / name / "previews").iterdir())) == 4
    assert not (folder / "blind/previews").exists()
    one, other = (np.asarray(Image.open(folder / name / "previews/step-000000020-0.png")) for name in ("whole", "cut"))
    np.testing.assert_array_equal(one, other)
    assert weights(folder / "whole") == weights(folder / "blind") == weights(folder / "cut")


def test_a_picture_that_fails_does_not_end_a_training(folder: Path) -> None:
    log = (folder / "failing/log.txt").read_text()
    assert log.count("note: no samples on the way: KeyError: 'no picture'") == 1
    assert json.loads((folder / "failing/status.json").read_text())["status"] == "ok"
    assert weights(folder / "failing") == weights(folder / "whole")


def test_what_was_trained_says_the_next_command_and_what_was_drawn_is_shown(folder: Path) -> None:
    command = "diffx run plugin=well task=sample from=whole"
    assert f"next: {command}" in (folder / "whole/log.txt").read_text()
    assert command in (folder / "whole/report.html").read_text()
    page = (folder / "drawn/report.html").read_text()
    assert "Samples" in page and page.count("data:image/") == 1
