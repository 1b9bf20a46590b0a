"""Strangers' plugins, written into a folder of their own and put on the path of a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

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

@diffx.hookimpl
def diffx_tasks():
    return {{"greet": greet}}
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
    tasks: {{greet: say hello}}
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

    def python(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "COLUMNS": "120"}
        command = [sys.executable, *words]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd or self.folder)

    def diffx(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "diffx", *words, cwd=cwd)


@pytest.fixture
def strangers(tmp_path: Path) -> Strangers:
    folder = tmp_path / "site"
    folder.mkdir()
    return Strangers(folder)
