"""The command line in a process of its own: what it says, how it exits, and what it does not import."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import CONFIG, MANIFEST, PLUGIN, Strangers

HEAVY = ("torch", "numpy", "monai", "nibabel", "scipy", "matplotlib", "accelerate", "rich", "rdkit", "pandas")

LAW = """
import contextlib, io, json, sys
from diffx.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    try:
        code = main(sys.argv[2:])
    except SystemExit as end:
        code = end.code or 0
print(json.dumps([code, [name for name in sys.argv[1].split(",") if name in sys.modules]]))
"""


@pytest.mark.parametrize(
    "code, words",
    [
        (0, ["--help"]),
        (0, ["--version"]),
        (0, ["plugins"]),
        (0, ["plugins", "list", "--json"]),
        (0, ["plugins", "info", "mri_synth"]),
        (0, ["plugins", "hooks"]),
        (0, ["plugins", "new", "own-domain", "."]),
        (0, ["plugins", "block", "mri_synth", "because"]),
        (0, ["plugins", "install", "--help"]),
        (0, ["plugins", "install", "--restore"]),
        (3, ["plugins", "remove", "mri_synth"]),
        (3, ["plugins", "unblock", "mri_synth"]),
        (0, ["run", "--help"]),
        (0, ["run", "plugin=mri_synth", "--help"]),
        (0, ["config", "show", "plugin=mri_synth", "age=70"]),
        (0, ["run", "plugin=mri_synth", "--help", "--all"]),
        (0, ["config", "show", "plugin=mri_synth", "--json"]),
        (0, ["weights", "list"]),
        (0, ["weights", "list", "--json"]),
        (0, ["docs"]),
        (0, ["docs", "weights"]),
        (0, ["completion", "bash"]),
        (0, ["_complete", "diffx run plugin=mri_synth age"]),
        (2, ["run", "plugin=mri_synth", "train.lrr=3", "age=old"]),
        (2, ["run", "plugin=mri_synth", "task=trian"]),
        (2, ["run", "plugin=mri_synth", "config=no.yaml"]),
        (2, ["rnu"]),
        (3, ["run", "plugin=mri_snyth"]),
    ],
)
def test_no_heavy_package_and_no_plugin_code_is_imported(strangers: Strangers, code: int, words: list[str]) -> None:
    watched = ",".join([*HEAVY, "diffx_mri.synth.plugin", "diffx.defaults", "diffx.run"])
    done = strangers.python("-c", LAW, watched, *words)
    assert json.loads(done.stdout) == [code, []], done.stderr


def test_earlier_runs_are_read_without_a_heavy_package(strangers: Strangers) -> None:
    done = strangers.python("-c", LAW, ",".join([*HEAVY, "PIL", "jinja2"]), "runs")
    assert json.loads(done.stdout) == [0, []], done.stderr


def test_a_run_folder_that_cannot_be_is_told_before_anything_heavy_is_imported(strangers: Strangers) -> None:
    watched = ",".join([*HEAVY, "diffx_mri.synth.plugin", "diffx.defaults"])
    done = strangers.python("-c", LAW, watched, "run", "plugin=mri_synth", "out=/dev/null")
    assert json.loads(done.stdout) == [2, []], done.stderr


def test_names_that_nobody_brings_are_told_before_there_is_a_run_folder(strangers: Strangers, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = strangers.diffx("run", "plugin=mri_synth", "sample.sampler=unipcc", "process.schedule=edn", f"out={out}")
    first, second = done.stderr.splitlines()
    assert first.startswith("diffx: error: sample.sampler=unipcc: unknown; did you mean 'unipc'? (known: ")
    assert second.startswith("diffx: error: process.schedule=edn: unknown; did you mean 'edm'? (known: ")
    assert done.returncode == 2 and not out.exists()


@pytest.mark.parametrize(
    "words, most", [(["--help"], 60), (["plugins"], 160), (["run", "plugin=mri_synth", "x=1"], 210)]
)
def test_few_modules_are_imported(strangers: Strangers, words: list[str], most: int) -> None:
    """They decide how quickly a command starts, and a busy machine does not change them (benchmarks/startup.py)."""
    told = "import sys; from diffx.cli import main\ntry: main(sys.argv[1:])\nfinally: print(len(sys.modules))"
    bare = int(strangers.python("-c", "import sys; print(len(sys.modules))").stdout)
    assert int(strangers.python("-c", told, *words).stdout.split()[-1]) - bare < most


@pytest.mark.parametrize(
    "words, code, line",
    [
        (["rnu"], 2, "unknown verb 'rnu'; did you mean 'run'?"),
        (["plugin=mri_synth"], 2, "plugin=mri_synth: expected a verb first; write diffx run plugin=mri_synth"),
        (["run"], 2, "which plugin? diffx run plugin=NAME (installed: "),
        (["run", "mri_synth"], 2, "mri_synth: expected plugin=mri_synth"),
        (["run", "pluging=mri_synth"], 2, "pluging=mri_synth: unknown option; did you mean 'plugin'?"),
        (["run", "plugin=mri_snyth"], 3, "unknown plugin 'mri_snyth'; did you mean 'mri_synth'? (installed: "),
        (["run", "plugin=mri_synth", "task=trian"], 2, "task=trian: unknown task; did you mean 'train'? (tasks: "),
        (["run", "plugin=mri_synth", "seed=one"], 2, "seed=one: expected a whole number from 0 to "),
        (["run", "plugin=mri_synth", "trian.lr=1"], 2, "trian.lr=1: unknown option; did you mean 'train.lr'?"),
        (["run", "plugin=mri_synth", "extensions=mri_snyth"], 3, "unknown plugin 'mri_snyth'; did you mean"),
        (["plugins", "lsit"], 2, "diffx plugins lsit: unknown; did you mean 'list'?"),
        (["plugins", "info"], 2, "the following arguments are required: plugin (see diffx plugins info --help)"),
        (["plugins", "install"], 2, "install what? a name, a folder or a wheel"),
        (["plugins", "install", "./nowhere"], 2, "./nowhere: no such file or folder"),
        (
            ["plugins", "remove", "mri_synth"],
            3,
            "mri_synth came with diffx-suite itself and stays; diffx plugins block",
        ),
        (["plugins", "remove", "mri_snyth"], 3, "no plugin or distribution 'mri_snyth' is installed; did you mean"),
        (["plugins", "remove", "numpy"], 3, "no plugin or distribution 'numpy' is installed"),
        (["plugins", "unblock", "mri_synth"], 3, "mri_synth is not on your list of blocked plugins"),
        (["config"], 2, "diffx config: expected one of show, copy"),
        (["weights", "verify", "nothing"], 5, "weights 'nothing': no such id"),
        (["completion", "tcsh"], 2, "argument shell: invalid choice: 'tcsh'"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(strangers: Strangers, words: list[str], code: int, line: str) -> None:
    done = strangers.diffx(*words)
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"diffx: error: {line}"), said
    assert done.returncode == code


def test_every_problem_has_its_line(strangers: Strangers) -> None:
    done = strangers.diffx("run", "plugin=mri_synth", "train.lrr=1", "age=old", "sex=Q")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 3 and all(line.startswith("diffx: error: ") for line in lines)


def test_traceback_on_request(strangers: Strangers) -> None:
    done = strangers.diffx("run", "plugin=nothing", "--traceback")
    assert done.returncode == 3 and "Traceback (most recent call last)" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("diffx: error: unknown plugin 'nothing'")


def test_the_help_of_a_plugin_lists_every_option(strangers: Strangers) -> None:
    strangers.add("one")
    text = strangers.diffx("run", "plugin=one", "--help", "--all").stdout
    unwrapped = " ".join(text.split())
    for part in (
        "task=greet say hello (default)",
        "preset=big size=9 train.steps=7",
        "size=1.0 how big [a number from 0 to 10 (mm)]",
        "subject=none whose [text, or none]",
        "from=none weights to start from",
        "train.lr=0.0003",
        "sample.steps=24",
    ):
        assert part in unwrapped, text


def options_in(text: str) -> list[str]:
    return re.findall(r"^  ([a-z_.]+)=", text.partition("options that people use first:")[2], re.M)


def test_the_help_shows_first_what_people_use_first(strangers: Strangers) -> None:
    text = strangers.diffx("run", "plugin=mri_synth", "--help").stdout
    assert options_in(text) == [
        *("age", "sex", "ventricles", "voxel", "data.file", "data.mask", "out", "from", "seed", "n", "data.root"),
    ]
    every = strangers.diffx("run", "plugin=mri_synth", "--help", "--all").stdout
    assert "stage=8to4 net.channels=[16,96,128]" in " ".join(text.split())
    assert "train.weight_decay=0.01" not in text and "train.weight_decay=0.01" in every  # of the presets of stages
    left = len(re.findall(r"^  ([a-z_.]+)=", every.partition("options of mri_synth:")[2], re.M)) - 11
    assert f"{left} more options, in groups: diffx run plugin=mri_synth --help --all" in text
    strangers.add("one")  # marks none: its own
    assert options_in(strangers.diffx("run", "plugin=one", "--help").stdout)[:2] == ["size", "subject"]
    marked = CONFIG.replace('help="whose"', 'help="whose", common=True')
    strangers.add("two", config=marked)
    assert options_in(strangers.diffx("run", "plugin=two", "--help").stdout)[:2] == ["subject", "out"]


@pytest.mark.parametrize("width", [80, 50])
def test_no_table_is_wider_than_the_terminal(strangers: Strangers, width: int, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    entry = "{file: a/very/long/folder/w.safetensors, sha256: SHA, bytes: 12, licence: a licence of a good many words}"
    weights = f"    weights:\n      {'w' * 30}: {entry}\n".replace("SHA", "0" * 64)
    strangers.add("one", manifest=MANIFEST.format(name="one") + weights)
    commands = [
        ["--help"], ["run", "--help"], ["run", "plugin=one", "--help", "--all"], ["weights", "list"], ["docs"],
        *(["run", f"plugin={name}", "--help", *more]
          for name in ("mri_synth", "mri_translate", "nilm", "docking", "audio") for more in ([], ["--all"])),
        ["plugins"], ["plugins", "info", "mri_synth"], ["weights", "verify", "nilm-refit"], ["runs"],
        *([verb, "--help"] for verb in ("plugins", "config", "weights", "runs", "docs", "doctor", "completion")),
        *(["plugins", verb, "--help"] for verb in ("list", "info", "new", "check", "install", "remove", "block")),
        *(["runs", verb, "--help"] for verb in ("list", "compare", "open", "clean")),
    ]  # fmt: skip
    code = (
        "import sys, json\nfrom diffx.cli import main\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    print('\\f', json.dumps(words))\n"
        "    try: main(words)\n"
        "    except SystemExit: pass\n"
    )
    environment = {**os.environ, "PYTHONPATH": strangers.environment["PYTHONPATH"]}
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(commands)], capture_output=True, text=True, env=environment
    )
    said = done.stdout.split("\f")[1:]
    assert len(said) == len(commands) and done.stderr == ""
    for one in said:
        command, *lines = one.splitlines()
        assert lines and any(lines), command
        too_long = [line for line in lines if len(line) > width and " " in line.strip()]
        assert not too_long, command


def test_the_last_line_of_a_run_as_json(strangers: Strangers) -> None:
    strangers.add("one")
    done = strangers.diffx("run", "plugin=one", "size=3", "out=out", "--json")
    facts = json.loads(done.stdout.splitlines()[-1])
    assert (facts["status"], facts["exit_code"], facts["error"], facts["task"]) == ("ok", 0, None, "greet")
    assert facts["folder"] == str(strangers.folder / "out") and facts["metrics"] == {"size": 3.0}
    for words, code in ((["run", "plugin=one", "size=x", "--json"], 2), (["run", "plugin=two", "--json"], 3)):
        done = strangers.diffx(*words)
        facts = json.loads(done.stdout.splitlines()[-1])
        assert (facts["status"], facts["exit_code"], facts["folder"]) == ("failed", code, None)
        assert done.returncode == code
        assert f"diffx: error: {facts['error']}\n" == done.stderr
    again = strangers.diffx("run", "plugin=one", "out=out", "--json")
    assert again.returncode == 2 and json.loads(again.stdout)["exit_code"] == 2


def test_a_quiet_run_says_errors_alone(strangers: Strangers) -> None:
    talks = PLUGIN.format(name="one").replace("def greet(run):", "def greet(run):\n    run.log('hello')")
    strangers.add("one", plugin=talks)
    done = strangers.diffx("run", "plugin=one", "out=out", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "hello" in (strangers.folder / "out/log.txt").read_text()
    assert "hello" in strangers.diffx("run", "plugin=one").stderr
    wrong = strangers.diffx("run", "plugin=one", "out=out", "-q")
    assert wrong.returncode == 2 and len(wrong.stderr.splitlines()) == 1


def test_json_wherever_there_is_a_table(strangers: Strangers) -> None:
    strangers.add("one")
    shown = json.loads(strangers.diffx("config", "show", "plugin=one", "size=3", "train.lr=1e-5", "--json").stdout)
    assert (shown["size"], shown["train.lr"], shown["subject"], shown["extensions"]) == (3.0, 1e-5, None, [])
    listed = {row["id"]: row for row in json.loads(strangers.diffx("weights", "list", "--json").stdout)}
    assert listed["nilm-refit"]["licence"].startswith("CC BY 4.0") and Path(listed["nilm-refit"]["path"]).is_file()
    verified = json.loads(strangers.diffx("weights", "verify", "nilm-refit", "--json").stdout)
    assert [(row["id"], row["ok"]) for row in verified] == [("nilm-refit", True)]
    checks = {row["name"]: row for row in json.loads(strangers.diffx("doctor", "--json").stdout)}
    assert checks["python"]["well"] is True and checks["weights nilm-refit"]["well"] is True


def test_a_missing_extra_is_told_with_its_command(strangers: Strangers) -> None:
    needs = MANIFEST.format(name="one") + "    extra: deep\n    requires: [surely_not_there, yaml]\n"
    strangers.add("one", manifest=needs)
    done = strangers.diffx("run", "plugin=one")
    assert done.returncode == 4
    assert done.stderr == (
        "diffx: error: plugin 'one' (stranger-one 1.2) needs surely_not_there: pip install \"stranger-one[deep]\"\n"
    )
    # what is wrong with the words is said first: the extra may take minutes to install
    assert strangers.diffx("run", "plugin=one", "size=x").returncode == 2


def test_the_extra_of_our_own_plugin(strangers: Strangers) -> None:
    hide = "import sys; sys.modules['monai'] = None; from diffx.cli import main; sys.exit(main(sys.argv[1:]))"
    done = strangers.python("-c", hide, "run", "plugin=mri_synth")
    assert (done.returncode, done.stderr.splitlines()) == (
        4,
        [f"diffx: error: plugin 'mri_synth' (diffx-suite {_version()}) needs monai: pip install \"diffx-suite[mri]\""],
    )


def _version() -> str:
    import diffx

    return diffx.__version__


def test_an_extra_that_does_not_load_is_an_extra_that_is_missing(strangers: Strangers) -> None:
    needs = MANIFEST.format(name="one") + "    requires: [brokenlib]\n"
    strangers.add("one", manifest=needs, plugin="import brokenlib")
    (strangers.folder / "brokenlib.py").write_text("raise OSError('libx.so: undefined symbol')")
    done = strangers.diffx("run", "plugin=one")
    assert done.returncode == 4
    assert "brokenlib is installed but does not load (OSError: libx.so: undefined symbol)" in done.stderr
    assert done.stderr.endswith(": pip install brokenlib\n")


def test_a_run_from_a_copied_configuration(strangers: Strangers, tmp_path: Path) -> None:
    strangers.add("one")
    done = strangers.diffx("config", "copy", "plugin=one", "preset=big", "subject=0010", "mine.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "# how big [a number from 0 to 10 (mm)]" in (tmp_path / "mine.yaml").read_text()
    again = strangers.diffx("config", "copy", "plugin=one", "mine.yaml", cwd=tmp_path)
    assert again.returncode == 2 and "mine.yaml exists" in again.stderr
    shown = yaml.safe_load(strangers.diffx("config", "show", "config=mine.yaml", "size=3", cwd=tmp_path).stdout)
    assert (shown["size"], shown["subject"], shown["train"]["steps"]) == (3.0, "0010", 7)

    ran = strangers.diffx("run", "config=mine.yaml", "out=there", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert json.loads((tmp_path / "there/metrics.json").read_text())["size"] == 9.0


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes(strangers: Strangers) -> None:
    strangers.add("one")
    (strangers.folder / "diffx").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m diffx "$@"\n')
    (strangers.folder / "diffx").chmod(0o755)
    for line, answer in {
        "diffx ru": ["run", "runs"],
        "diffx run plugin=on": ["one"],
        "diffx run plugin=one task=": ["greet"],
        "diffx run plugin=one train.ch": ["train.checkpoint_every=", "train.checkpointing="],
        "diffx run plugin=one device=c": ["cpu", "cuda"],
    }.items():
        script = f"""
            PATH="{strangers.folder}:$PATH"; export PYTHONPATH="{strangers.environment["PYTHONPATH"]}"
            eval "$(diffx completion bash)"; COMP_WORDBREAKS=" ="; COMP_LINE="{line}"; COMP_POINT=${{#COMP_LINE}}
            _diffx; printf '%s\\n' "${{COMPREPLY[@]}}" """
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
        assert done.stdout.split() == answer, (line, done.stderr)


def test_closed_pipes_are_no_error(strangers: Strangers) -> None:
    command = f'"{sys.executable}" -m diffx run plugin=mri_synth --help | head -n 1; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_plugin_of_this_file_is_well(strangers: Strangers) -> None:
    strangers.add("one")
    done = strangers.diffx("plugins", "check", "one")
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["manifest", "ok"],
        ["configuration", "ok"],
        ["import", "ok"],
        ["(its", "manifest", "names", "no", "tasks", "train", "and", "sample:", "neither", "was", "tried)"],
        ["contract", "ok"],
    ]
