"""`diffx runs`: earlier runs are found, compared, opened and removed; weights are not lost unasked."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from diffx.cli import main
from diffx.config import RunConfig, option
from diffx.run import execute
from diffx.run.history import Past, differing, find_run, past_runs


@dataclass
class Config(RunConfig):
    age: float | None = option(None, help="age", min=0, max=120)


def make(folder: Path, age: float, task: str = "sample", work: Callable | None = None, **status: object) -> Path:
    """A real run, whose status.json is then changed where the test needs it."""

    def usual(run):
        run.metric("seconds_per_volume", 3.5)
        run.metric("dice", {"value": age / 100, "floor": 0.9})

    execute(Config(plugin="toy", task=task, out=str(folder), age=age), work or usual, ["run", "plugin=toy"])
    file = folder / "status.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **status}))
    return folder


def train(run):
    for step in (1, 2):
        run.record(step, loss=1 / step)
    run.record(2, val_loss=0.25)
    (run.checkpoints / "last.safetensors").write_bytes(b"0" * 1000)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    home = tmp_path / "runs"
    make(home / "toy/2024-01-01-sample", 20, started="2024-01-01T10:00:00+00:00")
    make(home / "toy/2024-03-01-sample", 30, started="2024-03-01T10:00:00+01:00")
    make(home / "mine/first", 40, "train", train, started="2024-02-01T10:00:00+00:00")
    (home / "mine/notes").mkdir()
    (home / "mine/notes/status.json").write_text("[]")
    return home


def said(capsys, *words: str) -> list[str]:
    assert main(list(words)) == 0
    return capsys.readouterr().out.splitlines()


def test_the_newest_first_with_how_they_ended(runs: Path, capsys) -> None:
    capsys.readouterr()
    lines = [line.split() for line in said(capsys, "runs")]
    assert [line[0] for line in lines] == ["toy/2024-03-01-sample", "mine/first", "toy/2024-01-01-sample"]
    assert lines[0][1:4] == ["toy", "sample", "ok"] and lines[0][-2:] == ["dice", "0.3"]
    assert lines[1][1:4] == ["toy", "train", "ok"] and lines[1][-2:] == ["val_loss", "0.25"]
    assert said(capsys, "runs", "list", "-n", "1")[1] == "and 2 earlier ones: -n 0"
    assert len(said(capsys, "runs", "list", "--task", "train")) == 1
    assert said(capsys, "runs", "list", "--plugin", "other") == ["no runs in runs"]
    found = json.loads("\n".join(said(capsys, "runs", "list", "--json")))
    assert [run["main_figure"] for run in found] == [{"dice": 0.3}, {"val_loss": 0.25}, {"dice": 0.2}]
    assert [run["weights"] for run in found] == [False, True, False]


def test_a_run_that_never_ended_was_killed(runs: Path) -> None:
    folder = make(runs / "x", 1, status="running", pid=os.getpid())
    assert find_run("runs/x").outcome == "running"
    make(runs / "y", 1, status="running", pid=2**22 + 1)  # above the most that Linux gives
    assert find_run("runs/y").outcome == "killed"
    assert Past(folder, {"plugin": "toy"}).seconds is None
    both = {"resources": {"wall_s": 2.0}, "sessions": [{"resources": {"wall_s": 3.0}}, {"resources": None}]}
    assert Past(folder, both).seconds == 5


def test_a_figure_with_a_goal_goes_first(tmp_path: Path) -> None:
    def work(run):
        run.metric("n_real", 3)
        run.metric("mae", {"value": 1.0})
        run.metric("fid", {"value": 2.0, "goal": 3.0})

    make(tmp_path / "a", 1, work=work)
    assert find_run(str(tmp_path / "a")).main_figure() == ("fid", 2.0)


def test_side_by_side(runs: Path, capsys) -> None:
    capsys.readouterr()
    lines = [line.split() for line in said(capsys, "runs", "compare", "2024-01", "2024-03")]
    assert ["A", "runs/toy/2024-01-01-sample"] in lines and ["B", "runs/toy/2024-03-01-sample"] in lines

    assert ["age", "20", "30"] in lines and ["dice.value", "0.2", "0.3"] in lines
    assert not [line for line in lines if line[:1] in (["seed"], ["dice.floor"], ["seconds_per_volume"])]
    three = json.loads("\n".join(said(capsys, "runs", "compare", "2024-01", "2024-03", "first", "--json")))
    assert three["options"]["age"] == ["20", "30", "40"]
    assert three["options"]["task"] == ["sample", "sample", "train"]
    assert three["figures"]["val_loss"] == [None, None, 0.25]
    assert differing([{"a": 1}, {"a": 1, "b": 2}]) == {"b": [None, 2]}


@pytest.mark.parametrize(
    "words, line",
    [
        (["compare", "first"], "compare what? name two runs or more"),
        (["compare", "first", "sample"], "sample: 2 runs are called so: "),
        (["open", "2024-30-01-sample"], "2024-30-01-sample: no such run; did you mean '2024-03-01-sample'?"),
        (["open", "--root", "nowhere"], "no runs in nowhere"),
        (["clean"], "remove 2 runs, "),
        (["lsit"], "diffx runs lsit: unknown; did you mean 'list'?"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(runs: Path, capsys, words: list[str], line: str, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    capsys.readouterr()
    assert main(["runs", *words]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith(f"diffx: error: {line}"), error
    assert len(past_runs(runs)) == 3


def test_open_prints_the_path_and_asks_a_browser(runs: Path, capsys, monkeypatch) -> None:
    import webbrowser

    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    capsys.readouterr()
    report = runs / "toy/2024-03-01-sample/report.html"
    assert said(capsys, "runs", "open") == [str(report)] and opened == []
    monkeypatch.setenv("DISPLAY", ":0")
    assert said(capsys, "runs", "open", "first") == [str(runs / "mine/first/report.html")]
    assert opened == [(runs / "mine/first/report.html").as_uri()]
    said(capsys, "runs", "open", "--no-browser")
    assert len(opened) == 1
    report.unlink()
    assert main(["runs", "open"]) == 2 and "has no report: it is ok" in capsys.readouterr().err


def test_clean_keeps_weights_and_what_is_running(runs: Path, capsys, monkeypatch) -> None:
    going = make(runs / "going", 1, status="running", pid=os.getpid())
    stranger = runs / "mine/notes"
    capsys.readouterr()

    class Asked:
        def __init__(self, answer: str):
            self.isatty, self.readline = lambda: True, lambda: answer

    monkeypatch.setattr(sys, "stdin", Asked("n\n"))
    lines = said(capsys, "runs", "clean")
    assert f"kept {Path('runs/mine/first')}: it holds weights (--weights removes it too)" in lines
    assert f"kept {Path('runs/going')}: it is running" in lines and lines[-1].endswith("nothing was removed")
    assert len(past_runs(runs)) == 4
    monkeypatch.setattr(sys, "stdin", Asked("y\n"))
    said(capsys, "runs", "clean", "2024-01")
    assert [run.folder.name for run in past_runs(runs)] == ["going", "2024-03-01-sample", "first"]
    assert said(capsys, "runs", "clean", "--yes", "--older", "100000")[-1] == "nothing to remove"
    said(capsys, "runs", "clean", "--yes")
    assert [run.folder.name for run in past_runs(runs)] == ["going", "first"]
    said(capsys, "runs", "clean", "first", "--weights", "--yes")
    assert [run.folder for run in past_runs(runs)] == [going] and stranger.is_dir()


def test_a_link_to_a_run_is_not_followed(runs: Path, tmp_path: Path, capsys) -> None:
    elsewhere = make(tmp_path / "elsewhere", 1)
    (runs / "link").symlink_to(elsewhere)
    assert main(["runs", "clean", "--yes", "--weights"]) == 0
    assert past_runs(runs) == [] and yaml.safe_load((elsewhere / "config.yaml").read_text())["age"] == 1
