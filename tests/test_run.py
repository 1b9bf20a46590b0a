"""The run folder: how runs end, what they leave behind, and that nothing is ever half written."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

from diffx.config import RunConfig
from diffx.errors import DataError, UsageError
from diffx.io.files import append_line, plain, read_lines, write_json
from diffx.run import Run, atomic, atomic_folder, execute
from diffx.run.progress import Bar, Screen
from diffx.run.resources import energy, power_limits
from diffx.run.words import duration, figure, rate, size


@dataclass
class Config(RunConfig):
    age: float | None = None


def config(**values) -> Config:
    return Config(**{"plugin": "toy", "task": "sample", **values})


def status(folder) -> dict:
    return json.loads((folder / "status.json").read_text())


def nothing(run):
    pass


# how a run ends


def test_a_run_that_works_returns_0_and_leaves_every_file(tmp_path, capsys):
    def task(run):
        run.log("hello")
        run.record(1, loss=np.float32(0.5))
        run.metric("mae", {"value": 0.25, "baseline": 1})
        assert status(run.folder)["status"] == "running"

    out = tmp_path / "here"
    assert execute(config(out=str(out), seed=7), task, ["run", "plugin=toy", "age=a b"]) == 0
    assert status(out)["status"] == "ok" and status(out)["exit_code"] == 0 and status(out)["error"] is None
    assert (out / "command.txt").read_text() == "diffx run plugin=toy 'age=a b'\n"
    assert "seed: 7" in (out / "config.yaml").read_text()
    assert json.loads((out / "env.json").read_text())["python"] == ".".join(map(str, sys.version_info[:3]))
    assert "hello" in (out / "log.txt").read_text()
    assert read_lines(out / "metrics.jsonl") == [{"step": 1, "loss": 0.5}]
    assert json.loads((out / "metrics.json").read_text()) == {"mae": {"value": 0.25, "baseline": 1}}
    assert str(out / "report.html") in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {
        *("command.txt", "config.yaml", "env.json", "log.txt"),
        *("metrics.json", "metrics.jsonl", "report.html", "status.json"),
    }


def test_a_known_error_gives_its_code_and_one_line(tmp_path, capsys):
    def task(run):
        raise DataError("x.nii: no such file")

    assert execute(config(out=str(tmp_path / "a")), task) == 5
    captured = capsys.readouterr()
    assert captured.err == "diffx: error: x.nii: no such file\n"
    assert status(tmp_path / "a")["status"] == "failed" and status(tmp_path / "a")["error"] == "x.nii: no such file"
    assert "x.nii: no such file" in (tmp_path / "a" / "report.html").read_text()


def test_an_unknown_error_gives_1_one_line_and_the_traceback_in_the_log(tmp_path, capsys):
    def task(run):
        run.metric("done", 3)
        raise ValueError("two\nlines")

    assert execute(config(out=str(tmp_path / "a")), task) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("diffx: error: ValueError: two lines")
    assert "Traceback (most recent call last)" in (tmp_path / "a" / "log.txt").read_text()
    assert json.loads((tmp_path / "a" / "metrics.json").read_text()) == {"done": 3}
    assert execute(config(out=str(tmp_path / "b")), task, traceback=True) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_failed_items_of_a_batch_let_the_rest_go_on_and_are_listed(tmp_path, capsys):
    def task(run):
        for name in ("a", "b", "c"):
            if name == "b":
                run.fail(name, DataError("empty\nmask"))
            else:
                (run.samples / name).write_text(name)

    out = tmp_path / "a"
    assert execute(config(out=str(out)), task) == 1
    assert status(out)["status"] == "failed" and status(out)["failures"] == [{"item": "b", "reason": "empty mask"}]
    assert sorted(path.name for path in (out / "samples").iterdir()) == ["a", "c"]
    assert capsys.readouterr().err.endswith("diffx: error: 1 item failed, the rest is done\n  b: empty mask\n")
    page = (out / "report.html").read_text()
    assert "1 item failed, the rest is done" in page and "empty mask" in page


def test_ctrl_c_gives_130(tmp_path):
    def task(run):
        raise KeyboardInterrupt

    assert execute(config(out=str(tmp_path / "a")), task) == 130
    assert status(tmp_path / "a")["status"] == "interrupted"
    assert (tmp_path / "a" / "report.html").exists()


def test_sigterm_reaches_the_task_as_an_interrupt_and_gives_130(tmp_path):
    saved = []

    def task(run):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        except KeyboardInterrupt:
            saved.append("checkpoint")
            raise

    assert execute(config(out=str(tmp_path / "a")), task) == 130
    assert saved == ["checkpoint"]
    assert status(tmp_path / "a")["error"] == "stopped by SIGTERM"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # put back


def test_flags_and_figures_that_are_not_finite_are_told(tmp_path, capsys):
    def task(run):
        run.flag("sample 2 is constant")
        run.flag("sample 2 is constant")
        run.metric("fid", {"value": float("nan"), "floor": 1.0})
        run.metric("missing", {"value": 1.0, "floor": None})

    assert execute(config(out=str(tmp_path / "a")), task) == 0
    assert status(tmp_path / "a")["flags"] == ["sample 2 is constant", "metric fid is not finite"]
    assert capsys.readouterr().err.count("sample 2 is constant") == 1
    assert json.loads((tmp_path / "a" / "metrics.json").read_text())["fid"] == {"value": None, "floor": 1.0}


def test_a_report_that_cannot_be_drawn_does_not_lose_the_work(tmp_path):
    def task(run):
        run.metric("mae", 1.0)
        run.report.sections.append(None)

    assert execute(config(out=str(tmp_path / "a")), task) == 1
    assert "report" in status(tmp_path / "a")["error"]
    assert json.loads((tmp_path / "a" / "metrics.json").read_text()) == {"mae": 1.0}


# where a run lives


def test_out_is_not_overwritten(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine")
    assert execute(config(out=str(tmp_path)), nothing) == 2
    assert "resume=true" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert execute(config(out=str(tmp_path), resume=True), nothing) == 2  # not a run folder either
    assert execute(config(out=str(tmp_path / "thesis.txt")), nothing) == 2


def test_resuming_keeps_the_log_the_curve_and_the_earlier_sessions(tmp_path):
    def first(run):
        run.record(1, loss=3.0)
        (run.checkpoints / "state.bin").write_text("of step 1")
        raise KeyboardInterrupt

    def second(run):
        run.record(2, loss=2.0)

    out = tmp_path / "a"
    assert execute(config(out=str(out)), first, ["one"]) == 130
    assert execute(config(out=str(out), resume=True, task="train"), second) == 2  # another task's folder
    assert execute(config(out=str(out), resume=True), second, ["two"]) == 0
    assert [line["step"] for line in read_lines(out / "metrics.jsonl")] == [1, 2]
    assert (out / "command.txt").read_text() == "diffx one\ndiffx two\n"
    assert [session["status"] for session in status(out)["sessions"]] == ["interrupted"]
    write_json(out / "status.json", {**status(out), "status": "running"})  # as a kill -9 leaves it
    assert execute(config(out=str(out), resume=True), nothing) == 0
    assert [session["status"] for session in status(out)["sessions"]] == ["interrupted", "killed"]


def test_resume_without_out_finds_the_newest_of_the_same_task(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert execute(config(resume=True), nothing) == 2
    assert "nothing to resume" in capsys.readouterr().err
    runs = [Run.open(config()) for _ in range(4)]  # within one second: each needs a name of its own
    other = Run.open(config(task="train"))
    assert len({run.folder for run in [*runs, other]}) == 5
    assert all(run.folder.parent.as_posix() == "runs/toy" and run.folder.name.endswith("-sample") for run in runs)
    for run, hour in zip([*runs, other], (10, 12, 11, 14, 13), strict=True):
        head = {"plugin": "toy", "task": run.cfg.task, "started": f"2026-01-01T{hour}:00:00+00:00"}
        write_json(run.folder / "status.json", head)
        if hour != 14:  # that one stopped before its first checkpoint: there is nothing to go on from
            (run.checkpoints / "state.bin").write_text("")
    assert Run.open(config(resume=True)).folder == runs[1].folder


def test_several_processes_share_one_folder_and_one_writes(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.chdir(tmp_path)
    assert execute(config(), nothing) == 2
    assert "out=DIR" in capsys.readouterr().err
    monkeypatch.setenv("RANK", "1")

    def task(run):
        run.log("from the second")
        run.record(1, loss=1.0)
        run.metric("mae", 1)

    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "status.json").write_text("{}")  # the first process was faster
    assert execute(config(out="a"), task) == 0
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["log.rank1.txt", "status.json"]
    assert capsys.readouterr() == ("", "")


# files


def test_atomic_leaves_nothing_when_the_writer_raises(tmp_path):
    target = tmp_path / "deep" / "brain.nii.gz"
    with pytest.raises(RuntimeError), atomic(target) as part:
        assert part.name.endswith("brain.nii.gz") and part.parent == target.parent
        part.write_text("half")
        raise RuntimeError
    assert list(target.parent.iterdir()) == []
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic(target) as part:
        part.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "old" and len(list(target.parent.iterdir())) == 1
    with atomic(target) as part:
        part.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new" and len(list(target.parent.iterdir())) == 1
    with pytest.raises(FileNotFoundError), atomic(target):
        pass
    assert target.read_text() == "new"


def test_atomic_folder_comes_whole_or_not_at_all(tmp_path):
    target = tmp_path / "set"
    with pytest.raises(RuntimeError), atomic_folder(target) as part:
        (part / "a").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(target) as part:
        (part / "a").write_text("1")
        assert not target.exists()
    with pytest.raises(FileExistsError), atomic_folder(target):
        pass
    with atomic_folder(target, replace=True) as part:
        (part / "b").write_text("2")
    assert [path.name for path in target.iterdir()] == ["b"] and list(tmp_path.iterdir()) == [target]


def test_a_line_torn_by_a_kill_does_not_swallow_the_next(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "lo')
    append_line(path, '{"step": 3}')
    assert read_lines(path) == [{"step": 1}, {"step": 3}]


def test_plain_takes_arrays_and_refuses_what_json_cannot_say():
    assert plain({1: np.array([1.5, np.inf]), "n": np.int64(3), "t": (True, None)}) == {
        "1": [1.5, None],
        "n": 3,
        "t": [True, None],
    }
    with pytest.raises(TypeError, match="object"):
        plain([object()])


def test_importing_it_is_light():
    heavy = ("torch", "numpy", "matplotlib", "jinja2", "rich", "PIL", "omegaconf")
    code = f"import sys, diffx.run; print(*(m for m in sys.modules if m in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


# progress and words


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_progress_off_a_terminal_is_a_line_now_and_then():
    clock, stream = Clock(), io.StringIO()
    for _ in Bar(Screen(stream, every=15, clock=clock), range(10), "reading", unit="volume"):
        clock.now += 4.0
    lines = stream.getvalue().splitlines()
    assert lines == [
        "reading 4/10  4.0 s/volume  24 s left",
        "reading 8/10  4.0 s/volume  8.0 s left",
        "reading 10/10 in 40 s",
    ]


def test_progress_of_a_resumed_training_counts_its_rate_from_where_it_began():
    clock, stream = Clock(), io.StringIO()
    with Bar(Screen(stream, every=1, clock=clock), 1000, "training", done=900) as bar:
        clock.now = 5.0
        bar.advance(10, loss=0.123456)
        assert bar.rate == 2.0
    assert stream.getvalue().splitlines()[0] == "training 910/1000  2 steps/s  45 s left  loss 0.123"


def test_progress_on_a_terminal_draws_a_bar_and_lets_lines_through():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    screen = Screen(stream)
    for i in Bar(screen, 3, "sampling"):
        if i == 1:
            screen.print("a [line]")
    assert "3/3" in stream.getvalue() and "a [line]" in stream.getvalue()
    assert screen.open_bars() is not None  # the display is gone and a new one can be opened
    screen.close_bars()


def test_figures_read_as_people_read_them():
    assert [duration(s) for s in (0.04, 41.4, 59.7, 200, 3900, 3600 * 51)] == [
        *("0.0 s", "41 s", "1 min 00 s", "3 min 20 s", "1 h 05 min", "2 d 3 h"),
    ]
    assert [size(n) for n in (812, 1_400_000, 12e9)] == ["812 B", "1.4 MB", "12 GB"]
    assert [rate(r, "step") for r in (0.0, 0.25, 12.34)] == ["", "4.0 s/step", "12.3 steps/s"]
    assert [figure(v) for v in (None, True, 12345, 0.123456, 12345.6, (1.0, 2.5), float("nan"))] == [
        *("–", "yes", "12,345", "0.1235", "12346", "1 to 2.5", "not finite"),
    ]


@pytest.mark.parametrize(
    "value, text",
    [
        (np.float32(1 / 3), "0.3333"),
        (np.float64(1 / 3), "0.3333"),
        (np.float16(1 / 3), "0.3333"),
        (np.float32("nan"), "not finite"),
        (np.array(1 / 3), "0.3333"),
        (np.array([1.0, 2.5], dtype=np.float32), "1 to 2.5"),
        (np.array([[0.5, 1.5]]), "0.5 to 1.5"),
        (np.int64(12345), "12,345"),
        (np.uint8(7), "7"),
        (np.bool_(True), "yes"),
        (np.array(False), "no"),
        (np.array([True, False]), "yes, no"),
        (np.str_("kettle"), "kettle"),
        (torch.tensor(1 / 3), "0.3333"),
        (torch.tensor(1 / 3, dtype=torch.bfloat16), "0.334"),
        (torch.tensor(1 / 3, requires_grad=True), "0.3333"),
        (torch.tensor(20000), "20,000"),
        (torch.tensor(True), "yes"),
        (torch.tensor([1.0, 2.5]), "1 to 2.5"),
        (Decimal(1) / 3, "0.3333"),
        (Decimal(12345), "12,345"),
        (Decimal("Infinity"), "not finite"),
        (Decimal("NaN"), "not finite"),
        (Fraction(1, 3), "0.3333"),
        ((np.float32(1 / 3), Decimal("0.5")), "0.3333 to 0.5"),
        ({"mae": np.float32(1 / 3), "n": np.int64(3)}, "mae 0.3333, n 3"),
        ([np.float32(1 / 3)] * 3, "0.3333, 0.3333, 0.3333"),
    ],
)
def test_numbers_of_other_libraries_read_like_pythons(value, text):
    assert figure(value) == text


def test_a_figure_that_is_a_decimal_can_be_recorded(tmp_path):
    def task(run):
        run.metric("price", {"value": Decimal("0.25"), "interval": (Fraction(1, 4), Decimal("NaN"))})

    assert execute(config(out=str(tmp_path / "a")), task) == 0
    assert json.loads((tmp_path / "a/metrics.json").read_text()) == {"price": {"value": 0.25, "interval": [0.25, None]}}


# resources


def test_energy_is_the_sum_of_its_assumptions():
    # 10 W x 3600 core-seconds = 10 Wh; 0.3725 W/GB x 2 GB x 1 h = 0.745 Wh; 400 W x 1 h = 400 Wh
    told = energy(wall_s=3600, cpu_s=3600, peak_bytes=2 * 10**9, gpu_watts=[400.0])
    assert told["wh"] == pytest.approx(410.745)
    unknown = energy(3600, 3600, None, [None])
    assert unknown["wh"] == pytest.approx(10.0) and any("not counted" in line for line in unknown["assumptions"])


def test_power_limits_are_read_from_the_listing():
    assert power_limits("GPU-aa-bb, 700.00\nGPU-cc, [N/A]\n") == {"aa-bb": 700.0}


def test_the_card_measures_this_run(tmp_path):
    def task(run):
        total = 0
        while sum(os.times()[:2]) < start + 0.3:
            total += 1

    start = sum(os.times()[:2])
    execute(config(out=str(tmp_path / "a")), task)
    card = status(tmp_path / "a")["resources"]
    assert 0.2 < card["cpu_s"] < 2 and card["wall_s"] >= 0.2
    assert 10e6 < card["peak_memory_bytes"] < 20e9


def test_out_error_is_a_usage_error(tmp_path):
    (tmp_path / "f").write_text("")
    with pytest.raises(UsageError):
        Run.open(config(out=str(tmp_path / "f")))
