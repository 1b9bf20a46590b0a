"""`diffx plugins new`: names that would shadow something are refused, nothing is overwritten, what is written is clean.

That what is written works is shown in test_install.py, where the tutorial is run.
"""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import Strangers
from test_architecture import private

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


SKELETON = {
    *(
        "__init__.py",
        "config.py",
        "data.py",
        "diffx.yaml",
        "face.py",
        "model.py",
        "pictures.py",
        "plugin.py",
        "report.py",
    ),
    *("evaluate/__init__.py", "evaluate/figures.py", "tasks/__init__.py", "tasks/evaluate.py", "tasks/pack.py"),
}


@pytest.mark.parametrize("state", new.STATES)
@pytest.mark.parametrize("given", ["x", "a-domain-with-a-name-that-is-long"])
def test_what_is_written_is_clean(tmp_path: Path, given: str, state: str) -> None:
    name, package = new.names(given)
    target = tmp_path / name
    new.write(name, package, target, state)
    files = {str(p.relative_to(target)) for p in target.rglob("*") if p.is_file()}
    assert files == {".gitignore", "README.md", "pyproject.toml", "tests/test_plugin.py"} | {
        f"src/{package}/{file}" for file in SKELETON
    }
    for file in files:
        text = (target / file).read_text(encoding="utf-8")
        assert "$" not in text and text.endswith("\n") and not text.endswith("\n\n"), file
        if file.endswith(".py") and not file.startswith("tests"):
            assert not list(private(target / file)), file
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


def test_it_is_small() -> None:
    """A plugin needs its own science and little else: what stands around it is at most so long, toy and all."""
    for folders, _ in new.STATES.values():
        code = [
            path for path in new._templates(folders) if path.name.endswith(".py.tmpl") and "tests" not in path.parts
        ]
        assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in code) < 460


def installed(strangers: Strangers, state: str) -> None:
    """A new project of this state with the plugin of its name, installed in place."""
    new.write(state, f"a_{state}", strangers.folder / "projects" / state, state)
    package = strangers.folder / f"a_{state}"
    package.symlink_to(strangers.folder / "projects" / state / "src" / f"a_{state}")
    info = strangers.folder / f"{state}-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {state}\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[diffx]\na_{state} = a_{state}.plugin\n")


TASKS = f"""if True:
    import json
    from diffx.cli import main
    few = "train.steps=4 train.batch=4 train.log_every=4 sample.steps=2 sample.batch=32"
    for state in {list(new.STATES)}:
        for words in (
            f"train {{few}} out={{state}}/trained",
            f"sample {{few}} from={{state}}/trained level=0.5 pace=fast n=3 out={{state}}/drawn",
            f"evaluate {{few}} from={{state}}/trained out={{state}}/figures",
            f"pack out={{state}}/packed",
            f"train {{few}} data.root={{state}}/packed/samples/packed.safetensors out={{state}}/again",
        ):
            code = main(["run", f"plugin=a_{{state}}", *f"task={{words}}".split()])
            assert code == 0, (state, words)
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    strangers = Strangers(tmp_path_factory.mktemp("skeletons"))
    for state in new.STATES:
        installed(strangers, state)
    done = strangers.python("-c", TASKS)
    assert done.returncode == 0, done.stderr[-3000:]
    return strangers.folder


@pytest.mark.parametrize("state", new.STATES)
def test_every_task_of_every_state_runs(runs: Path, state: str) -> None:
    """Pictures on the pages, figures beside a baseline and real data, and packed data that train the same."""
    for task, pictures in (("drawn", 1), ("figures", 1)):
        page = (runs / state / task / "report.html").read_text(encoding="utf-8")
        assert page.count("data:image/") == pictures, task
        assert json.loads((runs / state / task / "status.json").read_text())["flags"] == []
    figures = json.loads((runs / state / "figures/metrics.json").read_text())
    assert set(figures) == {"level_error", "distance"}
    for figure in figures.values():
        assert figure["n"] == 50 and figure["better"] == "lower" and {"value", "baseline", "floor"} <= set(figure)
    assert (
        figures["level_error"]["floor"] < 0.3 < figures["level_error"]["baseline"]
    )  # real ones are what was asked for
    one, two = (
        [json.loads(line)["loss"] for line in (runs / state / name / "metrics.jsonl").read_text().splitlines()[:1]]
        for name in ("trained", "again")
    )
    assert one == two


@pytest.mark.parametrize("state", ["signal", "table"])
def test_its_face_draws_what_its_task_draws(runs: Path, state: str) -> None:
    code = f"""if True:
        import json
        import numpy as np
        from a_{state} import {"".join(part.capitalize() for part in ("a", state))} as Face
        from diffx.state import each
        face = Face.load("{state}/trained")
        drawn = face.sample(level=0.5, pace="fast", n=3)
        same = each(lambda leaf: leaf.shape[0] == 3 and bool(np.isfinite(leaf).all()), drawn)
        first = list(face.draw([{{"level": 0.5, "pace": "fast"}}], [0]))[0]
        agree = each(lambda one, all_: bool(np.allclose(one.numpy(), all_[0], atol=1e-4)), first, drawn)
        print(json.dumps([same, agree]))
    """
    done = Strangers(runs).python("-c", code)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    every = {"signal": [True, True], "table": [{"numbers": True, "kinds": True}] * 2}
    assert said == every[state]


def test_its_readme_names_no_command_that_is_not_there(strangers: Strangers) -> None:
    new.write("tides", "tides", strangers.folder / "tides")
    text = (strangers.folder / "tides/README.md").read_text()
    lines = [line.split("#")[0].split() for line in text.splitlines() if line.startswith("diffx ")]
    assert len(lines) == 5
    shutil.copytree(strangers.folder / "tides/src/tides", strangers.folder / "site/tides")
    info = strangers.folder / "site/tides-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tides\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[diffx]\ntides = tides.plugin\n")
    installed = Strangers(strangers.folder / "site")
    for words in lines:
        if words[1] == "run":  # up to the point where it would begin to compute
            assert installed.diffx("config", "show", *words[2:]).returncode == 0
