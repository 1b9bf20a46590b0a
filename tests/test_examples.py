"""The extensions in examples/, each a distribution of its own: built, installed, named in extensions=, and right."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from conftest import ROOT, Strangers, build_wheels

from diffx.cli import new
from diffx.plan.grids import GRIDS
from diffx.process import Gaussian
from diffx.sampling import sample
from diffx.schedule import EDM, Cosine, Linear, RectifiedFlow

EXAMPLES = ROOT / "examples"
EXTENSIONS = ("addons", "tensorboard", "mlflow")
OURS = ["train.steps=40", "train.log_every=10", "train.checkpoint_every=20", "train.val_every=40", "data.edge=16"]

sys.path.insert(0, str(EXAMPLES / "diffx-addons/src"))
from diffx_addons.kutta import kutta3  # noqa: E402
from diffx_addons.laplace import Laplace  # noqa: E402


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Strangers:
    """The wheels of the extensions and of a scaffolded domain, unpacked as an installer does for pure Python."""
    folder = tmp_path_factory.mktemp("examples")
    new.write("waves-domain", "waves_domain", folder / "waves-domain")
    projects = [folder / "waves-domain", *(EXAMPLES / f"diffx-{name}" for name in EXTENSIONS)]
    strangers = Strangers(folder / "site")
    for wheel in build_wheels(projects, folder / "wheels"):
        with zipfile.ZipFile(wheel) as file:
            file.extractall(strangers.folder)
    return strangers


def test_they_are_listed_for_what_they_are(site: Strangers) -> None:
    rows = {row["name"]: row for row in json.loads(site.diffx("plugins", "list", "--json").stdout)}
    for name in EXTENSIONS:
        there = name == "addons" or importlib.util.find_spec(name) is not None
        assert rows[name]["usable"] == there and rows[name]["distribution"] == f"diffx-{name}"
    assert "configuration  none: an extension" in site.diffx("plugins", "info", "addons").stdout


def test_the_addons_keep_the_contract_and_work_in_a_domain(site: Strangers) -> None:
    done = site.diffx("plugins", "check", "addons")
    assert done.returncode == 0, done.stderr
    theirs = ["extensions=addons", "net.name=mlp", "net.width=64", "net.depth=2", "process.schedule=laplace"]
    words = ["run", "plugin=waves_domain", *theirs, "process.predict=v", *OURS]
    done = site.diffx(*words, "train.steps=400", "train.val_every=400", "out=trained")
    assert done.returncode == 0, done.stderr
    asked = ["task=evaluate", "from=trained", OURS[-1], "sample.batch=32", "sample.sampler=kutta3"]
    done = site.diffx("run", "plugin=waves_domain", "extensions=addons", *asked, "sample.grid=log_snr", "out=drawn")
    assert done.returncode == 0, done.stderr
    error = json.loads((site.folder / "drawn/metrics.json").read_text())["level_error"]
    assert error["value"] < 0.4 < error["baseline"], error

    # the weights name a schedule and a network of the extension: without it that is said, and nothing is run
    done = site.diffx("run", "plugin=waves_domain", "task=sample", "from=trained", "out=without")
    assert done.returncode == 2 and "net.name=mlp: unknown" in done.stderr


class Logged(NamedTuple):
    """A training run with every logger whose library is here, and what metrics.jsonl says of it."""

    folder: Path
    curves: dict[str, dict[int, float]]


@pytest.fixture(scope="module")
def logged(site: Strangers) -> Logged:
    """Interrupted at step 30, and resumed from step 20: the steps between are recorded twice."""
    stop = """
        import diffx
        @diffx.hookimpl
        def diffx_step(run, step, values):
            if step == 30 and not run.cfg.resume:
                raise KeyboardInterrupt
    """
    manifest = "plugins:\n  stopping:\n    summary: s\n    module: stranger_stopping.plugin\n    api: 1.0\n"
    site.add("stopping", plugin=stop, manifest=manifest)
    loggers = [name for name in ("tensorboard", "mlflow") if importlib.util.find_spec(name)]
    folder = site.folder / "stopped"
    words = ["run", "plugin=waves_domain", f"extensions={','.join([*loggers, 'stopping'])}", *OURS, f"out={folder}"]
    assert site.diffx(*words).returncode == 130
    done = site.diffx(*words, "resume=true")
    assert done.returncode == 0, done.stderr
    curves: dict[str, dict[int, float]] = {}
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        for name in row.keys() - {"step"}:
            curves.setdefault(name, {})[row["step"]] = row[name]
    assert sorted(curves["loss"]) == [10, 20, 30, 40]
    return Logged(folder, curves)


def test_training_curves_in_tensorboard(site: Strangers, logged: Logged) -> None:
    """What metrics.jsonl holds stands in the event files, once each, though training was stopped and resumed."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(logged.folder / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) >= {"loss", "lr", "grad_norm", "val_loss"}
    for name, curve in logged.curves.items():
        found = {event.step: event.value for event in events.Scalars(name)}
        assert len(found) == len(events.Scalars(name)) and found == pytest.approx(curve, rel=1e-6)

    words = ["run", "plugin=waves_domain", "task=evaluate", f"from={logged.folder}", OURS[-1], "sample.batch=32"]
    done = site.diffx(*words, "extensions=tensorboard", "out=figures")
    assert done.returncode == 0, done.stderr
    events = EventAccumulator(str(site.folder / "figures/tensorboard"))
    events.Reload()
    figure = json.loads((site.folder / "figures/metrics.json").read_text())["level_error"]["value"]
    assert [event.value for event in events.Scalars("final/level_error")] == pytest.approx([figure], rel=1e-6)


def test_training_runs_in_mlflow(site: Strangers, logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped and resumed run is one MLflow run, with its options, its curves and how it ended."""
    pytest.importorskip("mlflow")
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = MlflowClient((logged.folder / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("waves_domain")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED" and run.info.run_name == "stopped"
    assert run.data.params["train.steps"] == "40" and run.data.params["net.name"] == "unet"
    for name, curve in logged.curves.items():
        found = {m.step: m.value for m in client.get_metric_history(run.info.run_id, name)}
        assert found == pytest.approx(curve)


SPREAD, MEAN = 0.5, 1.5


def error_of(schedule, steps: int) -> float:
    """Of kutta3 on data N(1.5, 0.5^2): against the exact flow x(t) = alpha mean + x_T's offset scaled with the spread.

    A log-SNR grid up to a little noise, where the flow is smooth; double precision would be hidden by the sampler's
    float32 below 1e-6.
    """
    start, stop = 20.0, 0.05

    def spread(t: float) -> float:
        return math.hypot(float(schedule.alpha(t)) * SPREAD, float(schedule.sigma(t)))

    def predict(x, t, condition=None):
        a, s = float(schedule.alpha(t)), float(schedule.sigma(t))
        return (x * a * SPREAD**2 + s**2 * MEAN) / (a**2 * SPREAD**2 + s**2)

    times = [float(schedule.time(q)) for q in np.geomspace(start, stop, steps + 1)]
    plan = kutta3(schedule, times)
    assert len(plan) == 3 * steps
    first, last = times[0], times[-1]
    offset = torch.linspace(-1, 1, 7)[None]
    x = float(schedule.alpha(first)) * MEAN + offset * spread(first)
    found = sample(predict, Gaussian(schedule), plan, (7,), [0], start=x)
    exact = float(schedule.alpha(last)) * MEAN + offset * spread(last)
    return float((found - exact).abs().max())


@pytest.mark.parametrize("schedule", [EDM(), Cosine(), Linear(), RectifiedFlow(), Laplace()])
def test_kutta_is_of_third_order(schedule) -> None:
    errors = [error_of(schedule, n) for n in (8, 16, 32)]
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert errors[-1] < 2e-3 and orders[-1] > 2.6, (errors, orders)  # second order would give 2


def test_a_plan_of_kutta_ends_clean() -> None:
    plan = kutta3(EDM(), GRIDS["karras"](EDM(), 5))
    assert (plan.rows[-1].s, plan.rows[-1].a, plan.rows[-1].b) == (0.0, 0.0, (1.0,)) and len(plan) == 13


def test_the_log_snr_of_laplace_is_distributed_as_its_name_says() -> None:
    """For t uniform, log-SNR has the quantiles of a Laplace distribution, and both ends are exact."""
    schedule = Laplace(mean=0.7, scale=0.4)
    t = np.linspace(0.001, 0.999, 999)
    p = 1 - t  # log-SNR falls with t
    quantile = 0.7 - 0.4 * np.sign(p - 0.5) * np.log1p(-2 * np.abs(p - 0.5))
    np.testing.assert_allclose(schedule.log_snr(t), quantile, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2, 1, rtol=1e-12)
    assert (schedule.alpha(0.0), schedule.sigma(0.0)) == (1.0, 0.0)
    assert (schedule.alpha(1.0), schedule.sigma(1.0)) == (0.0, 1.0)
