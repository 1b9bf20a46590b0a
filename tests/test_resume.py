"""`resume=true`: it goes on with what the run was, or it is refused and the run stays as it was."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Strangers
from test_contract import CONFIG, MANIFEST, WELL

from diffx.config import RunConfig
from diffx.errors import DataError
from diffx.run import Run, execute

STOPS = """
import os, signal

@diffx.hookimpl
def diffx_step(run, step, values):
    if step == int(os.environ.get("STOP_AT", 0)):
        os.kill(os.getpid(), signal.SIGINT)
"""
FIRST = "train.steps=6 train.batch=2 train.log_every=1 net.channels=[8,16] train.checkpoint_every=100 device=cpu"


def config(out: Path, **values) -> RunConfig:
    return RunConfig(plugin="toy", task="learn", out=str(out), **values)


def contents(folder: Path) -> dict[str, bytes]:
    """All of a run folder but its log."""
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "log.txt"
    }


def stopped(run: Run) -> None:
    run.record(1, loss=1.0)
    run.metric("mae", 0.5)
    (run.checkpoints / "state.bin").write_text("of step 1")
    raise KeyboardInterrupt


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A run that was interrupted and left a checkpoint."""
    assert execute(config(tmp_path / "a", seed=3), stopped, ["first"]) == 130
    return tmp_path / "a"


# the record of a run


@pytest.mark.parametrize("error", [DataError("no data"), ValueError("a bug"), KeyboardInterrupt(), SystemExit(1)])
def test_a_resume_that_fails_before_its_work_leaves_the_run_as_it_was(begun, error, capsys) -> None:
    def refused(run: Run) -> None:
        assert run.checkpoints.is_dir() and run.samples.is_dir()  # asking for them is no work yet
        raise error

    before = contents(begun)
    assert execute(config(begun, resume=True, seed=4), refused, ["second"]) != 0
    assert contents(begun) == before
    assert "stays as it was" in capsys.readouterr().err
    assert "second" not in (begun / "command.txt").read_text()


@pytest.mark.parametrize(
    "work",
    [
        lambda run: run.record(2, loss=0.5),
        lambda run: run.metric("rmse", 1.0),
        lambda run: run.fail("b.nii", "empty"),
        lambda run: (run.checkpoints / "state.bin").write_text("of step 2"),
        lambda run: (run.samples / "a.npy").write_text("drawn"),
        lambda run: run.begin(),
    ],
)
def test_a_resume_that_fails_after_some_work_is_recorded(begun, work: Callable[[Run], object]) -> None:
    def task(run: Run) -> None:
        work(run)
        raise DataError("the disk is gone")

    assert execute(config(begun, resume=True, seed=4), task, ["second"]) == 5
    status = json.loads((begun / "status.json").read_text())
    assert status["status"] == "failed" and [s["status"] for s in status["sessions"]] == ["interrupted"]
    assert "seed: 4" in (begun / "config.yaml").read_text()
    assert json.loads((begun / "metrics.json").read_text())["mae"] == 0.5  # what was measured before is kept
    assert (begun / "command.txt").read_text() == "diffx first\ndiffx second\n"


def test_while_it_goes_on_its_status_says_so(begun) -> None:
    seen = []

    def task(run: Run) -> None:
        for work in (lambda: run.log("reading"), run.begin):
            work()
            seen.append(json.loads((run.folder / "status.json").read_text())["status"])

    assert execute(config(begun, resume=True), task) == 0
    assert seen == ["interrupted", "running"]


# what there is to resume


def test_there_has_to_be_something_to_resume(tmp_path, capsys) -> None:
    def nothing(run: Run) -> None:
        pass

    def weights(run: Run) -> None:
        (run.checkpoints / "weights.safetensors").write_text("what a training ends with")

    (tmp_path / "empty").mkdir()
    assert execute(config(tmp_path / "drawn"), nothing) == 0
    assert execute(config(tmp_path / "average"), weights) == 0
    for name, why in (
        ("absent", "holds no run"),
        ("empty", "holds no run"),
        ("drawn", "its run of task learn is ok and left no checkpoint"),
        ("average", "its run of task learn is ok and left no checkpoint"),
    ):
        folder = tmp_path / name
        before = contents(folder)
        capsys.readouterr()
        assert execute(config(folder, resume=True), stopped) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "nothing to resume" in said and why in said and str(folder) in said
        assert contents(folder) == before
    assert not (tmp_path / "absent").exists()


def test_a_run_that_is_alive_is_not_resumed_and_one_that_was_killed_is(tmp_path, capsys) -> None:
    out = tmp_path / "a"
    code = f"""if True:
        import time
        from diffx.config import RunConfig
        from diffx.run import execute
        def task(run):
            (run.checkpoints / "state.bin").write_text("of step 1")
            time.sleep(600)
        execute(RunConfig(plugin="toy", task="learn", out={str(out)!r}), task)
    """
    running = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not (out / "checkpoints/state.bin").exists() and time.monotonic() < until:
        time.sleep(0.05)
    before = contents(out)
    assert execute(config(out, resume=True), stopped) == 2
    said = capsys.readouterr().err
    assert f"its run is still going (process {running.pid})" in said and contents(out) == before
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert execute(config(out, resume=True), stopped) == 130
    assert json.loads((out / "status.json").read_text())["sessions"][0]["status"] == "killed"


# through the command line, with a real training


SCENARIO = f"""if True:
    import contextlib, io, json, os, shutil, sys, time
    from diffx.cli import main
    FIRST = {FIRST!r}
    def run(words, stop=0):
        os.environ["STOP_AT"] = str(stop)
        said = io.StringIO()
        begin = time.perf_counter()
        with contextlib.redirect_stderr(said):
            code = main(["run", *words.split()])
        return {{"code": code, "said": said.getvalue(), "seconds": time.perf_counter() - begin}}
    found = {{}}
    found["first"] = run("plugin=well out=a seed=7 " + FIRST, stop=2)
    for name in ("b", "c", "d"):
        shutil.copytree("a", name)
    found["net"] = run("plugin=well out=a resume=true net.blocks=2")
    found["task"] = run("plugin=well task=sample out=a resume=true from=a")
    found["cut"] = run("plugin=well out=a resume=true train.steps=1")
    found["typo"] = run("plugin=well out=a resume=true train.stepss=9")
    with open("c/checkpoints/last.safetensors", "r+b") as file:
        file.truncate(5000)
    found["damaged"] = run("plugin=well out=c resume=true")
    found["alone"] = run("out=b resume=true")
    found["done"] = run("plugin=well out=b resume=true")
    shutil.copytree("b", "b_done")
    found["worse"] = run("plugin=well out=b resume=true net.channels=[4] train.steps=9")
    found["more"] = run("plugin=well out=b resume=true train.steps=8 n=3")
    found["file"] = run("config=d/config.yaml out=d resume=true")
    found["unnamed"] = run("plugin=well " + FIRST, stop=3)
    found["drawn"] = run("plugin=well task=sample from=b sample.steps=1")
    found["newest"] = run("plugin=well resume=true")
    print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    strangers = Strangers(tmp_path_factory.mktemp("resume"))
    plugin = WELL.format(name="well") + STOPS
    strangers.add("well", plugin=plugin, config=CONFIG, manifest=MANIFEST.format(name="well"))
    done = strangers.python("-c", SCENARIO)
    assert done.returncode == 0, done.stderr
    return strangers.folder, json.loads(done.stdout.splitlines()[-1])


def lines(found: dict) -> list[str]:
    return [line.removeprefix("diffx: error: ") for line in found["said"].splitlines() if "error" in line]


def test_what_cannot_go_on_is_refused_at_once(scenario) -> None:
    folder, found = scenario
    assert found["first"]["code"] == 130, found["first"]
    for name, code, cause in (
        ("net", 2, "a cannot be resumed with another network: net.blocks=2 (trained with 1)"),
        ("task", 2, "a holds a run of well train, not of well sample; name another folder"),
        ("cut", 2, "nothing to resume in a: 2 steps are done, and train.steps=1; ask for more steps to train on"),
        ("typo", 2, "train.stepss=9: unknown option; did you mean 'train.steps'?"),
        ("damaged", 5, "c/checkpoints/last.safetensors: not a safetensors file, or cut off"),
        ("done", 2, "nothing to resume in b: 6 steps are done, and train.steps=6; ask for more steps to train on"),
        ("worse", 2, "b cannot be resumed with another network: net.channels=[4] (trained with [8, 16])"),
    ):
        assert found[name]["code"] == code, (name, found[name])
        (line,) = lines(found[name])
        assert line.startswith(cause) and found[name]["seconds"] < 1, (name, found[name])
    assert contents(folder / "a").keys() == contents(folder / "c").keys()
    same = {k: v for k, v in contents(folder / "c").items() if not k.endswith("last.safetensors")}
    assert {k: v for k, v in contents(folder / "a").items() if k in same} == same  # neither was touched


def test_a_resume_without_options_is_the_run_that_was_begun(scenario) -> None:
    """Seed, steps and network of the first command, which is not repeated; not even the plugin need be named."""
    folder, found = scenario
    assert found["alone"]["code"] == 0, found["alone"]
    assert "resumed at step 2 of 6" in found["alone"]["said"]
    text = (folder / "b_done/config.yaml").read_text()
    assert "seed: 7" in text and "steps: 6" in text and "channels: [8, 16]" in text
    assert json.loads((folder / "b_done/status.json").read_text())["status"] == "ok"
    assert found["file"]["code"] == 0 and "resumed at step 2 of 6" in found["file"]["said"]


def test_what_is_typed_goes_over_what_the_run_was(scenario) -> None:
    folder, found = scenario
    assert found["more"]["code"] == 0 and "resumed at step 6 of 8" in found["more"]["said"]
    text = (folder / "b/config.yaml").read_text()
    assert "seed: 7" in text and "steps: 8" in text and "n: 3" in text and "channels: [8, 16]" in text


def test_without_out_the_newest_that_can_go_on_does(scenario) -> None:
    """The newest run of the plugin is one of sample, which has no checkpoint."""
    folder, found = scenario
    assert (found["unnamed"]["code"], found["drawn"]["code"]) == (130, 0)
    assert found["newest"]["code"] == 0 and "resumed at step 3 of 6" in found["newest"]["said"]
    assert len(list((folder / "runs/well").iterdir())) == 2
