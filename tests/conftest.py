"""Strangers' plugins: written into a folder of their own, or really built and installed in a fresh environment."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import textwrap
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PLUGIN = """
import diffx
from stranger_{name}.config import Config

@diffx.hookimpl
def diffx_config():
    return Config

@diffx.hookimpl
def diffx_data(cfg, split):
    return []

@diffx.hookimpl
def diffx_conditioning(cfg, spec):
    return {{}}

def greet(run):
    run.metric("size", run.cfg.size)
"""

# tasks as strangers brought them before the manifest named their functions
FORMER = """
@diffx.hookimpl
def diffx_tasks():
    return {"greet": greet}
"""

CONFIG = """
from dataclasses import dataclass
from typing import Optional
import diffx

@dataclass
class Config(diffx.RunConfig):
    size: float = diffx.option(1.0, help="how big", unit="mm", min=0, max=10)
    subject: Optional[str] = diffx.option(None, help="whose")
"""

MANIFEST = """
plugins:
  {name}:
    summary: a stranger's plugin
    module: stranger_{name}.plugin
    config: stranger_{name}.config:Config
    api: 1.0
    default_task: greet
    tasks: {{greet: {{run: "stranger_{name}.plugin:greet", help: say hello}}}}
    presets:
      big: {{size: 9, train: {{steps: 7}}}}
"""


class Strangers:
    """A folder of installed distributions: `add` writes one, as pip would; `diffx` runs the command line with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, name: str, *, plugin: str = "", config: str = "", manifest: str = "", version: str = "1.2") -> Path:
        """Install the distribution `stranger-NAME`; what is not given is that of a plugin that is well."""
        package = self.folder / f"stranger_{name}"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        for file, text, usual in (
            ("plugin.py", plugin, PLUGIN),
            ("config.py", config, CONFIG),
            ("diffx.yaml", manifest, MANIFEST),
        ):
            (package / file).write_text(textwrap.dedent(text) if text else usual.format(name=name))
        info = self.folder / f"stranger_{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: stranger-{name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[diffx]\n{name} = stranger_{name}.plugin\n")
        return package

    @property
    def environment(self) -> dict[str, str]:
        """These distributions, and whatever was on the path before: the diffx that is tested may be found there."""
        path = os.pathsep.join(filter(None, [str(self.folder), os.environ.get("PYTHONPATH")]))
        mine = {"PYTHONPATH": path, "DIFFX_CONFIG": f"{self.folder}-choices", "COLUMNS": "120"}
        return {**os.environ, **mine}

    def python(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *words]
        return subprocess.run(command, capture_output=True, text=True, env=self.environment, cwd=cwd or self.folder)

    def diffx(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "diffx", *words, cwd=cwd)


@pytest.fixture
def strangers(tmp_path: Path) -> Strangers:
    folder = tmp_path / "site"
    folder.mkdir()
    return Strangers(folder)


@pytest.fixture(scope="session", autouse=True)
def no_choices_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the person who runs the tests has installed or blocked is left alone, and counts for nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFX_CONFIG", str(tmp_path_factory.mktemp("choices")))
        yield


class Fresh:
    """A new virtual environment and a folder to work in, away from the checkout; `diffx` is what a wheel installed.

    torch and the other requirements are those of the developing environment, seen through a .pth file: installing them
    anew would take gigabytes and minutes. Everything of diffx, editable or not, is left out of that view, so pip here
    neither sees the checkout nor could touch it. pip has no index.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.work = folder, folder / "work"
        self.work.mkdir(parents=True)
        view = folder / "requirements"
        view.mkdir()
        for path in Path(sysconfig.get_path("purelib")).iterdir():
            if "diffx" not in path.name.lower() and path.suffix != ".pth":
                (view / path.name).symlink_to(path)
        venv.create(folder / "venv", with_pip=False)  # pip comes with the view
        self.bin = folder / "venv" / "bin"
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        (folder / "venv/lib" / version / "site-packages/requirements.pth").write_text(f"{view}\n")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_", "DIFFX"))}
        self.environment = {
            **kept,
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
            "DIFFX_CONFIG": str(folder / "choices"),
            "PIP_NO_INDEX": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it backwards: no isolation, hatchling comes with the view too
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "COLUMNS": "140",
        }

    def run(self, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        where = cwd or self.work
        return subprocess.run(command, capture_output=True, text=True, env=self.environment, cwd=where)

    @property
    def path(self) -> str:
        """PYTHONPATH: this folder, then whatever was there already."""
        return os.pathsep.join(filter(None, [str(self.folder), os.environ.get("PYTHONPATH")]))

    def python(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run(str(self.bin / "python"), *words)

    def diffx(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run(str(self.bin / "diffx"), *words)


def build_wheels(projects: Sequence[Path], target: Path) -> list[Path]:
    """The wheels of projects that build with hatchling, all in one process: a start for each would take a second."""
    code = """if True:
        import os, sys
        from hatchling.build import build_wheel
        target, *projects = sys.argv[1:]
        for project in projects:
            os.chdir(project)
            print(build_wheel(target))
    """
    target.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", code, str(target), *map(str, projects)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [target / name for name in done.stdout.split() if name.endswith(".whl")]


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """One for all tests that need it, with diffx from its wheel."""
    new = Fresh(tmp_path_factory.mktemp("fresh"))
    (wheel,) = build_wheels([ROOT], new.folder / "wheels")
    done = new.python("-m", "pip", "install", str(wheel))  # with its requirements: all have to be in the view
    assert done.returncode == 0, done.stdout + done.stderr
    return new
