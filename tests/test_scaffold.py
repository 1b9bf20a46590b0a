"""`diffx plugins new`: names that would shadow something are refused, nothing is overwritten, what is written is clean.

That what is written works is shown in test_install.py, where the tutorial is run.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import Strangers

from diffx.cli import main, new
from diffx.errors import UsageError
from diffx.io.yamltext import read_mapping
from diffx.plugins.manifest import parse_manifest


@pytest.mark.parametrize(
    "given, name, package",
    [
        ("tidal-curves", "tidal-curves", "tidal_curves"),
        ("Tidal_Curves", "tidal-curves", "tidal_curves"),
        ("my.domain--x", "my-domain-x", "my_domain_x"),
        ("ab2", "ab2", "ab2"),
    ],
)
def test_a_name_is_normalised_as_pep_503_says(given: str, name: str, package: str) -> None:
    assert new.names(given) == (name, package)


@pytest.mark.parametrize(
    "given, reason",
    [
        ("9lives", "is no name"),
        ("my domain", "is no name"),
        ("-x", "is no name"),
        ("x-", "is no name"),
        ("../x", "is no name"),
        ("größe", "is no name"),
        ("", "is no name"),
        ("lambda", "'lambda' is a word of Python"),
        ("match", "'match' is a word of Python"),
        ("json", "'json' is a module of Python"),
        ("torch", "'torch' is a package that is installed here"),
        ("diffx", "'diffx' is a package that is installed here"),
        ("mri-synth", "'mri_synth' is a plugin that is installed"),
    ],
)
def test_a_name_that_is_none_or_taken_is_refused(given: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        new.names(given)
    assert reason in str(caught.value)


def test_nothing_is_overwritten_and_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    assert main(["plugins", "new", "tides", "full"]) == 2
    assert main(["plugins", "new", "tides", "full/mine.txt"]) == 2
    assert [p.name for p in full.iterdir()] == ["mine.txt"] and (full / "mine.txt").read_text() == "mine"
    said = capsys.readouterr().err.splitlines()
    assert said == [
        f"diffx: error: {f} exists and is not empty: name another folder" for f in ("full", "full/mine.txt")
    ]

    def fails(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(new.shutil, "move", fails)
        assert main(["plugins", "new", "tides"]) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full"]
    assert capsys.readouterr().err == "diffx: error: tides: No space left on device\n"

    (tmp_path / "empty").mkdir()
    for folder in ("empty", "deep/er"):
        assert main(["plugins", "new", "tides", folder]) == 0
        assert (tmp_path / folder / "src/tides/plugin.py").is_file()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep", "empty", "full"]


@pytest.mark.parametrize("given", ["x", "a-domain-with-a-name-that-is-long"])
def test_what_is_written_is_clean(tmp_path: Path, given: str) -> None:
    name, package = new.names(given)
    target = tmp_path / name
    new.write(name, package, target)
    files = {str(p.relative_to(target)) for p in target.rglob("*") if p.is_file()}
    inside = ("__init__.py", "config.py", "data.py", "diffx.yaml", "plugin.py")
    assert files == {".gitignore", "README.md", "pyproject.toml", "tests/test_plugin.py"} | {
        f"src/{package}/{file}" for file in inside
    }
    for file in files:
        text = (target / file).read_text(encoding="utf-8")
        assert "$" not in text and text.endswith("\n") and not text.endswith("\n\n"), file
    project = tomllib.loads((target / "pyproject.toml").read_text())["project"]
    (entry,) = project["entry-points"]["diffx"].items()
    manifest = parse_manifest(package, read_mapping(target / f"src/{package}/diffx.yaml")["plugins"][package])
    assert entry == (package, manifest.module) and project["name"] == name
    module, _, config = manifest.config.partition(":")
    tree = ast.parse((target / "src" / f"{module.replace('.', '/')}.py").read_text())
    assert config in {node.name for node in tree.body if isinstance(node, ast.ClassDef)}

    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent))
    assert ruff, "ruff is not installed: pip install -e '.[dev]'"
    rules = ["--isolated", "--line-length", "120"]
    for command in (["check", "--select", "E,F,W,I,UP,B"], ["format", "--check", "--diff"]):
        done = subprocess.run([ruff, *command, *rules, "src", "tests"], cwd=target, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_its_readme_names_no_command_that_is_not_there(strangers: Strangers) -> None:
    new.write("tides", "tides", strangers.folder / "tides")
    text = (strangers.folder / "tides/README.md").read_text()
    lines = [line.split("#")[0].split() for line in text.splitlines() if line.startswith("diffx ")]
    assert len(lines) == 4
    shutil.copytree(strangers.folder / "tides/src/tides", strangers.folder / "site/tides")
    info = strangers.folder / "site/tides-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tides\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[diffx]\ntides = tides.plugin\n")
    installed = Strangers(strangers.folder / "site")
    for words in lines:
        if words[1] == "run":  # up to the point where it would begin to compute
            assert installed.diffx("config", "show", *words[2:]).returncode == 0
