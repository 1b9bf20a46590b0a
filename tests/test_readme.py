"""Everything in the README is run: its plugin is installed as a stranger's, trained, killed, resumed and sampled."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import build_wheels
from safetensors.torch import load_file

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SMALL = ["net.channels=[16,32]", "net.blocks=1", "net.attention=[1]", "train.lr=3e-3", "train.warmup=20"]


def block(kind: str) -> str:
    found = re.search(rf"```{kind}\n(.*?)```", README, re.S)
    assert found, f"the README has no block {kind!r}"
    return found[1]


@pytest.fixture
def waves(strangers, monkeypatch, tmp_path):
    """The README's plugin: its three files as they stand there, built and installed."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (wheel,) = build_wheels([project(tmp_path / "waves")], tmp_path / "wheels")
    words = [
        "-m",
        "pip",
        "install",
        "--no-index",
        "--no-deps",
        "--quiet",
        "--target",
        str(strangers.folder),
        str(wheel),
    ]
    done = strangers.python(*words)
    assert done.returncode == 0, done.stderr
    return strangers


def project(folder: Path) -> Path:
    """The README's plugin as its three files."""
    folder.mkdir(parents=True)
    for name, kind in (("waves.py", "python plugin"), ("diffx.yaml", "yaml plugin"), ("pyproject.toml", "toml plugin")):
        (folder / name).write_text(block(kind))
    return folder


def test_the_plugin_is_under_thirty_lines():
    lines = [line for line in block("python plugin").splitlines() if line.strip()]
    assert len(lines) < 30


def test_the_plugin_trains_and_its_samples_have_the_pitch_asked_for(waves):
    listed = waves.diffx("plugins")
    assert "waves" in listed.stdout and "sine waves of a pitch" in listed.stdout
    steps = ["train.steps=400", "train.batch=16", "train.ema_std=0.1"]
    trained = waves.diffx("run", "plugin=waves", "out=runs/waves", *steps, *SMALL)
    assert trained.returncode == 0, trained.stderr
    drawn = {}
    for pitch in (1, 4):
        asked = ["task=sample", "from=runs/waves", f"pitch={pitch}", "n=8", "sample.batch=8", f"out=runs/{pitch}"]
        done = waves.diffx("run", "plugin=waves", *asked)
        assert done.returncode == 0, done.stderr
        files = sorted((waves.folder / f"runs/{pitch}/samples").glob("*.npy"))
        drawn[pitch] = np.stack([np.load(f)[0] for f in files])
        assert drawn[pitch].shape == (8, 64)
        heard = np.abs(np.fft.rfft(drawn[pitch], axis=1))[:, 1:].argmax(1) + 1
        assert abs(heard.mean() - pitch) <= 0.9, heard  # 400 steps on a tiny net: near, and 1 is never taken for 4
    alone = ["task=sample", "from=runs/waves", "pitch=4", "seed=3", "n=1", "out=runs/alone"]  # sample 3, by itself
    assert waves.diffx("run", "plugin=waves", *alone).returncode == 0
    again = np.load(waves.folder / "runs/alone/samples/sample-0003.npy")
    np.testing.assert_allclose(again[0], drawn[4][3], atol=0.05)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_training_killed_at_any_point_and_resumed_ends_with_the_same_weights(waves, how):
    steps = ["train.steps=60", "train.batch=4", "train.checkpoint_every=7", *SMALL]
    straight = waves.diffx("run", "plugin=waves", "out=runs/straight", *steps)
    assert straight.returncode == 0, straight.stderr
    last = waves.folder / "runs/cut/checkpoints/last.safetensors"
    command = ["run", "plugin=waves", "out=runs/cut", *steps]
    running = subprocess.Popen(
        [sys.executable, "-m", "diffx", *command],
        cwd=waves.folder,
        env=waves.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 120
    while not last.exists() and running.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.05)
    running.send_signal(how)
    code = running.wait(60)
    weights = last.with_name("weights.safetensors")
    assert not weights.exists(), "it was killed too late to prove anything"
    if how is signal.SIGTERM:
        assert code == 130, running.stderr and running.stderr.read()
    resumed = waves.diffx(*command, "resume=true")
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed at step" in resumed.stderr
    one = load_file(waves.folder / "runs/straight/checkpoints/weights.safetensors")
    two = load_file(weights)
    assert one.keys() == two.keys()
    assert all(one[name].equal(two[name]) for name in one)


@pytest.mark.parametrize("page", ["README.md", "docs/guides/mri_synth.md"])
def test_the_pages_python_runs_as_it_stands(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[1] / page).read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.S)
    assert code
    names: dict = {}
    exec(code[1], names)
    assert names["image"].shape == (96, 120, 96)
    if page == "README.md":
        assert (tmp_path / "brain.nii.gz").stat().st_size > 100_000
    else:
        assert len(names["volumes"]) == 2


def test_a_model_of_ones_own_draws_the_digit_it_is_asked_for(tmp_path, monkeypatch, capsys):
    """At most 15 lines and one import of diffx; a classifier of real digits reads what was drawn."""
    from sklearn.svm import SVC

    monkeypatch.chdir(tmp_path)
    code = block("python own")
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 15 and sum("import diffx" in line or "from diffx" in line for line in lines) == 1
    names: dict = {}
    exec(code, names)
    reader = SVC(gamma=0.001, C=10).fit(names["images"], names["digits"])
    drawn, draw = {3: names["threes"]}, names["pipeline"].draw
    drawn |= {digit: list(draw({"digit": digit}, range(16), guidance=2.0, batch=16)) for digit in (0, 8)}
    for digit, samples in drawn.items():
        x = np.stack([sample.numpy() for sample in samples])
        assert x.shape == (16, 1, 8, 8) and np.abs(x.std() - 0.75) < 0.15
        assert len(np.unique(x.round(2), axis=0)) == 16, "they are different pictures"
        assert (reader.predict((x.reshape(16, 64) + 1) * 8) == digit).mean() >= 0.8
    assert "step 400 of 400: loss 0." in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("page", ["README.md", "docs/guides/nilm.md"])
def test_the_pages_python_of_households_runs(page):
    text = (Path(__file__).parents[1] / page).read_text(encoding="utf-8")
    code = re.search(r"```python(?: nilm)?\n(from diffx_nilm.*?)```", text, re.S)
    assert code
    names: dict = {}
    exec(code[1], names)
    energy, power = names["result"].energy, names["result"].power
    assert len(power) == len(names["house"])
    assert (energy.kWh_low <= energy.kWh).all() and (energy.kWh <= energy.kWh_high).all()
    assert power[["kettle", "kettle_low", "kettle_high", "kettle_on"]].notna().all().all()


def test_the_readmes_python_of_anomalies_finds_the_lesion_of_the_example(tmp_path, monkeypatch):
    import nibabel as nib

    from diffx_mri.anomaly.example import example

    monkeypatch.chdir(tmp_path)
    image, made = example()
    nib.save(image, "patient_T1w.nii.gz")
    names: dict = {}
    exec(block("python anomaly"), names)
    found = names["found"]
    assert found.mask.shape == found.healthy.shape == image.shape and np.array_equal(found.mask.affine, image.affine)
    score = found.anomaly.get_fdata()
    assert score[made.truth].mean() > 3 * score[(image.get_fdata() > 0) & ~made.truth].mean()


def test_the_readmes_python_of_docking_finds_the_pose_of_the_crystal(tmp_path, monkeypatch):
    import shutil
    from importlib import resources

    from rdkit import Chem

    from diffx_docking.known import with_rmsd

    monkeypatch.chdir(tmp_path)
    for name in ("protein.pdb.gz", "ligand.sdf"):
        shutil.copy(str(resources.files("diffx_docking") / "example" / name), name)
    names: dict = {}
    exec(block("python docking"), names)
    assert len(names["molecules"]) == len(names["docking"].poses) and 0 < names["best"].confidence < 1
    (crystal,) = Chem.SDMolSupplier("ligand.sdf")
    assert with_rmsd(names["docking"], crystal).poses[0].rmsd < 2.0


def test_the_readmes_python_of_audio_draws_changes_and_plays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(block("python audio"), names)
    from diffx_audio.files import read_sound

    drawn, changed, tune = (read_sound(tmp_path / name)[0] for name in ("oboe.flac", "other.flac", "tune.wav"))
    assert drawn.shape == changed.shape == (1, round(0.8 * 44_100)) and tune.shape[1] > 2 * 44_100
    assert (drawn[:, : round(0.3 * 44_100)] == changed[:, : round(0.3 * 44_100)]).all() and (drawn != changed).any()


def test_every_diffx_line_of_the_pages_resolves():
    """Each `diffx run ...` of the pages, up to the point where it would begin to compute."""
    from diffx.cli.chosen import choose, configure
    from diffx.errors import PluginError

    root = Path(__file__).parents[1]
    lines = [
        line.split("#")[0].split()[1:]
        for page in (root / "README.md", *sorted((root / "docs").glob("**/*.md")))
        if page.name not in ("plugins.md", "configuration.md")  # plugins of nobody, and errors
        for line in re.findall(r"(diffx run plugin=(?!x )[^`|\n]*)", page.read_text(encoding="utf-8"))
    ]
    assert len(lines) >= 8
    for words in lines:
        words = [re.sub(r"[<>]", "", w) for w in words[1:] if "=" in w]
        if "plugin=waves" in words:
            with pytest.raises(PluginError, match="unknown plugin 'waves'"):  # the README's own, tested above
                choose(words, "run")
            continue
        cfg = configure(choose(words, "run"), words)
        assert cfg.plugin in ("mri_anomaly", "mri_synth", "mri_translate", "nilm", "docking", "audio")
