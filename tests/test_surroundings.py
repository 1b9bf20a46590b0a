"""What a process finds around it may be missing or strange: home, streams, encodings, folders. The work goes on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import PLUGIN, Strangers

from diffx.errors import DataError, PluginError
from diffx.io import cache, home
from diffx.plugins import userfile

NOBODY = ("setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups")
TALKS = PLUGIN.replace('run.metric("size", run.cfg.size)', '[run.log(f"line {i}") for i in range(3000)]')


def shell(strangers: Strangers, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """bash, in which `dx` is diffx."""
    script = f'dx() {{ "{sys.executable}" -m diffx "$@"; }}\n{script}'
    mine = {name: value for name, value in strangers.environment.items() if name != "COLUMNS"}
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, errors="replace",
        env={**mine, **environment}, cwd=strangers.folder,
    )  # fmt: skip


def status(strangers: Strangers, out: str = "out") -> dict:
    return json.loads((strangers.folder / out / "status.json").read_text(encoding="utf-8"))


# home


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A user whom /etc/passwd does not know, without HOME."""
    import pwd

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "DIFFX_CACHE", "DIFFX_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    return monkeypatch


def test_without_a_home_there_are_no_choices_and_no_cache(homeless: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert userfile.choices_file() is None
    assert userfile.read_choices() == userfile.Choices()
    assert home.expanded("~/x") == Path("~/x")
    with pytest.raises(PluginError, match="name a folder with DIFFX_CONFIG"):
        userfile.write_choices(userfile.Choices())
    with pytest.raises(DataError, match="name a folder with DIFFX_CACHE"):
        cache.cache_folder()
    assert cache.cached("x", "1", lambda: {"a": cache.np.ones(3)})["a"].sum() == 3
    homeless.setenv("DIFFX_CONFIG", str(tmp_path))
    userfile.write_choices(userfile.Choices(blocked={"x": "y"}))
    assert userfile.read_choices().blocked == {"x": "y"}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may look into; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="diffx-test-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def test_a_home_of_somebody_else_holds_no_choices(open_folder: Path) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can start a process as somebody else (setpriv)")
    if subprocess.run([*NOBODY, sys.executable, "-c", "import diffx"], capture_output=True).returncode:
        pytest.skip("somebody else may not read this checkout")
    strangers = Strangers(open_folder / "site")
    strangers.add("one", plugin=PLUGIN.format(name="one") + "\nimport getpass\ngetpass.getuser()\n")
    home, work = open_folder / "home", open_folder / "work"
    (home / ".config/diffx").mkdir(parents=True)
    (home / ".config/diffx/plugins.yaml").write_text("blocked: {one: mine}")
    work.mkdir()
    work.chmod(0o777)
    bare = {k: v for k, v in os.environ.items() if k not in ("HOME", "DIFFX_CONFIG", "USER", "LOGNAME")}
    bare["PYTHONPATH"] = strangers.environment["PYTHONPATH"]

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        command = [*NOBODY, sys.executable, "-m", "diffx", "run", "plugin=one"]
        return subprocess.run(command, capture_output=True, text=True, cwd=work, env={**bare, **more})

    assert run().returncode == 0  # no HOME
    assert run(HOME=str(home)).returncode == 3  # it can be read: whoever set HOME means it
    home.chmod(0o700)
    done = run(HOME=str(home))
    assert done.returncode == 0, done.stderr
    home.chmod(0o755)
    (home / ".config/diffx/plugins.yaml").chmod(0o600)
    assert run(HOME=str(home)).returncode == 0
    named = run(DIFFX_CONFIG=str(home / ".config/diffx"), HOME=str(home))
    assert named.returncode == 3 and "plugins.yaml: permission denied" in named.stderr
    shutil.rmtree(work / "runs")
    work.chmod(0o755)  # and a folder in which no run folder can be made
    denied = run()
    assert denied.returncode == 2
    why = f"{work}/runs/one cannot be written, as {work} is not writable"
    assert denied.stderr == f"diffx: error: {why}: name another run folder with out=\n"


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DIFFX_CACHE", str(tmp_path / "file/cache"))
    with pytest.raises(DataError) as caught:
        cache.cache_path(None, "abc", plugin="one")
    assert str(caught.value) == (
        f"{tmp_path}/file/cache/one/abc: the cache cannot be written, as {tmp_path}/file is a file: "
        "name another folder with DIFFX_CACHE"
    )
    with pytest.raises(DataError, match=r"data\.cache="):
        cache.cache_path(str(tmp_path / "file"), "abc", plugin="one")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # a file system that is mounted to be read only
    with pytest.raises(DataError, match=f"{tmp_path} is not writable"):
        cache.cache_path(str(tmp_path), "abc", plugin="one")
    (tmp_path / "abc").mkdir()  # what was prepared before can still be read
    assert cache.cache_path(str(tmp_path), "abc", plugin="one") == tmp_path / "abc"


# streams


@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_silence(strangers: Strangers, closed: str) -> None:
    strangers.add("one", plugin=TALKS.format(name="one", i="{i}").replace("{{i}}", "{i}"))
    done = shell(strangers, f"dx run plugin=one out=out {closed}; echo $?; dx plugins {closed} >/dev/null; echo $?")
    assert done.stdout.splitlines()[-2:] == ["0", "0"]
    assert "2>&-" not in closed or done.stderr == ""
    assert status(strangers)["error"] is None
    assert len((strangers.folder / "out/log.txt").read_text().splitlines()) >= 3000


def test_a_file_never_takes_the_place_of_a_closed_stream(strangers: Strangers) -> None:
    code = "from diffx.cli.surroundings import settle; settle(); f = open('f', 'w'); print(f.fileno() > 2)"
    assert shell(strangers, f'"{sys.executable}" -c "{code}" 2>&- <&-').stdout == "True\n"


@pytest.mark.parametrize("pipe", ["| true", "2>&1 | true", "2>&1 | head -n 1 >/dev/null"])
def test_a_reader_that_goes_away_ends_nothing(strangers: Strangers, pipe: str) -> None:
    strangers.add("one", plugin=TALKS.format(name="one", i="{i}").replace("{{i}}", "{i}"))
    done = shell(strangers, f"(dx run plugin=one out=out; echo $? > code) {pipe}; cat code")
    assert done.stdout == "0\n" and "Traceback" not in done.stderr and "Exception" not in done.stderr
    assert status(strangers)["status"] == "ok"


def test_a_full_disk_is_an_error_of_one_line(strangers: Strangers) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    done = shell(strangers, "dx plugins > /dev/full")
    assert done.returncode == 1
    assert done.stderr == "diffx: error: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_encoding_of_the_streams(strangers: Strangers, encoding: str) -> None:
    strangers.add("one")
    name = "Zoë – 脳 \N{BRAIN}"
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": strangers.environment["PYTHONPATH"]}
    command = [sys.executable, "-m", "diffx"]
    shown = subprocess.run(
        [*command, "config", "show", "plugin=one", f"subject={name}"], capture_output=True, env=environment
    )
    assert yaml.safe_load(shown.stdout.decode(encoding))["subject"] == name, shown.stderr
    done = subprocess.run(
        [*command, "run", "plugin=one", f"out={name}"], capture_output=True, env=environment, cwd=strangers.folder
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode(encoding).rstrip().endswith("report.html")
    assert status(strangers, name)["status"] == "ok"


def test_a_name_keeps_its_bytes_in_the_c_locale(strangers: Strangers) -> None:
    strangers.add("one")
    bare = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHONIO"))}
    bare |= {"PYTHONPATH": strangers.environment["PYTHONPATH"]}
    bare |= {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "diffx", "run", "plugin=one", "out=Zoë"],
        capture_output=True, env=bare, cwd=strangers.folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("Zoë/report.html".encode())
    assert status(strangers, "Zoë")["status"] == "ok"


def test_a_name_that_is_no_text(strangers: Strangers) -> None:
    strangers.add("one")
    done = shell(strangers, "dx run plugin=one out=$'b\\xff' subject=$'s\\xff'; echo $?", LC_ALL="C.UTF-8")
    assert done.stdout.splitlines()[-1] == "0", done.stderr
    (folder,) = strangers.folder.glob("b*")
    assert yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["subject"] == "s\udcff"


def test_a_working_folder_that_was_removed(strangers: Strangers) -> None:
    done = shell(strangers, "mkdir gone; cd gone; rmdir ../gone; dx plugins")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("diffx: error: the working folder cannot be read (No such file or directory)")


@pytest.mark.parametrize("variable", ["TERM=", "TERM=dumb", "COLUMNS=0", "COLUMNS=x", "LC_ALL=C", "LC_ALL=nowhere"])
def test_odd_environments(strangers: Strangers, variable: str) -> None:
    done = shell(strangers, f'env {variable} "{sys.executable}" -m diffx run plugin=mri_synth --help')
    assert done.returncode == 0 and done.stderr == "" and "mri_synth" in done.stdout
