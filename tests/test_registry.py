"""The catalogue: the same from a wheel and from a checkout; manifests that are wrong are refused with the reason."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import Strangers

from diffx.cli.docs import pages
from diffx.io.yamltext import read_mapping
from diffx.plugins import registry
from diffx.plugins.manifest import parse_manifest

ROOT = Path(__file__).parents[1]


def test_an_editable_install_reads_the_catalogue_in_place() -> None:
    assert registry.registry_file() == ROOT / "registry.yaml"


def test_every_row_of_the_catalogue_is_installed_and_well() -> None:
    rows = yaml.safe_load((ROOT / "registry.yaml").read_text(encoding="utf-8"))["plugins"]
    ours = {found.name: found for found in registry.discover() if found.distribution == registry.OURS}
    assert set(ours) == set(rows) and not [found for found in ours.values() if found.error]


def test_a_wheel_carries_the_catalogue_and_works_from_it(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("diffx_suite-*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        assert file.read("diffx/registry.yaml") == (ROOT / "registry.yaml").read_bytes()
        assert {"diffx/__init__.py", "diffx_mri/__init__.py", "diffx/run/report.html.j2"} <= names
        viewer = {"viewer.html.j2", "vendor/3Dmol-min.js", "vendor/3Dmol-LICENSE.txt", "example/protein.pdb.gz"}
        assert {f"diffx_docking/{name}" for name in viewer} <= names
        assert not [n for n in names if n.startswith(("core/", "plugins/", "tests/", "weights/"))]
        assert not [n for n in names if "mri-translate-lgg" in n or "research" in n]
        shipped = {name.removeprefix("diffx/docs/").removesuffix(".md") for name in names if name.endswith(".md")}
        assert shipped == set(pages())
        (info,) = {n.partition("/")[0] for n in names if ".dist-info/" in n}
        for name in ("LICENSE", "NOTICE"):
            assert file.read(f"{info}/licenses/{name}") == (ROOT / name).read_bytes()
        assert "License-Expression: Apache-2.0 AND " in file.read(f"{info}/METADATA").decode()
        file.extractall(tmp_path / "site")
    strangers = Strangers(tmp_path / "site")  # goes before the checkout on the path
    code = """if True:
        from diffx.plugins.registry import discover, registry_file
        print(registry_file())
        print([found.error for found in discover() if found.error])
    """
    where, errors = strangers.python("-c", code).stdout.splitlines()
    assert Path(where) == tmp_path / "site/diffx/registry.yaml"
    assert errors == "[]"
    assert strangers.diffx("config", "show", "plugin=mri_synth").returncode == 0
    texts = list(said_to_users(tmp_path / "site"))
    cited = {page for text in texts for page in re.findall(r"diffx docs ([a-z_/]+)", text)}
    assert cited == {"plugins", "weights", "results/nilm"}
    for page in cited:
        shown = strangers.diffx("docs", page, "--path")
        assert Path(shown.stdout.strip()).is_relative_to(tmp_path / "site/diffx/docs"), shown.stderr
        path = pages().get(page) or pages()[f"guides/{page}"]
        assert strangers.diffx("docs", page).stdout == path.read_text(encoding="utf-8")
    assert not [text for text in texts if re.search(r"\bdocs/[\w/]+\.md", text)]  # in a checkout only


def said_to_users(site: Path) -> Iterator[str]:
    """The catalogue, and the strings in all code that are no docstrings."""
    yield (site / "diffx/registry.yaml").read_text(encoding="utf-8")
    for file in site.glob("diffx*/**/*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                yield node.value


def test_text_in_manifests_stays_text(tmp_path: Path) -> None:
    file = tmp_path / "diffx.yaml"
    file.write_text("plugins: {p: {summary: on, module: a.b, api: 1.10, presets: {x: {subject: 0010}}}}")
    found = parse_manifest("p", read_mapping(file)["plugins"]["p"])
    assert (found.summary, found.api, found.presets["x"]["subject"]) == ("on", "1.10", "0010")


GOOD = {"summary": "s", "module": "a.b", "api": "1.0"}
WEIGHTS = {"file": "w.safetensors", "sha256": "0" * 64, "bytes": "12", "licence": "CC0-1.0"}


@pytest.mark.parametrize(
    "row, reason",
    [
        ({**GOOD, "module": "a b"}, "module: 'a b' is not a module's name"),
        ({**GOOD, "api": "one"}, "api: 'one' is not a version such as 1.0"),
        ({**GOOD, "config": "a.b.C"}, "config: expected package.module:Class"),
        ({**GOOD, "requires": "monai"}, "requires: expected a list of import names"),
        ({**GOOD, "tasks": ["train"]}, "tasks: expected a mapping"),
        ({**GOOD, "presets": {"x": "y"}}, "presets: expected name: {key: value}"),
        ({**GOOD, "weights": {"w": {**WEIGHTS, "file": "../w"}}}, "weights.w: file has to lie in the package"),
        ({**GOOD, "weights": {"w": {**WEIGHTS, "sha256": "0"}}}, "weights.w: sha256 has 64 hexadecimal digits"),
        ({**GOOD, "weights": {"w": {**WEIGHTS, "bytes": "1e3"}}}, "weights.w: bytes is a whole number"),
        ({**GOOD, "weights": {"w": {"file": "w"}}}, "weights.w: sha256, bytes, licence missing"),
        ({}, "summary is missing; module is missing; api is missing"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused(row: dict, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_manifest("p", row)
    assert str(caught.value) == reason


def test_a_blocked_plugin_is_refused_with_the_reason(strangers: Strangers) -> None:
    for name in ("one", "two", "three"):
        strangers.add(name)
    code = """if True:
        import json, sys
        from pathlib import Path
        from diffx.plugins import registry
        real, blocked = registry.registry_file(), Path("blocked.yaml")
        reasons = "blocked: {one: it deletes files, stranger-two: stolen}"
        blocked.write_text(real.read_text().replace("blocked: {}", reasons))
        registry.registry_file = lambda: blocked
        print(json.dumps({f.name: f.error for f in registry.discover()}))
    """
    found = json.loads(strangers.python("-c", code).stdout)
    assert (found["one"], found["two"], found["three"]) == ("blocked: it deletes files", "blocked: stolen", "")
