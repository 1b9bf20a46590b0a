"""What a stranger looks for in a repository is there, and true."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import diffx
from diffx.io.yamltext import read_mapping
from diffx.plugins.manifest import parse_weights

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RESEARCH = ROOT / "weights/diffx-weights-research"


def rows() -> dict:
    return read_mapping(ROOT / "registry.yaml")["plugins"]


def test_the_licence_is_the_text_of_the_apache_foundation() -> None:
    text = (ROOT / "LICENSE").read_bytes()
    assert hashlib.sha256(text).hexdigest() == "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
    assert PROJECT["license"].startswith("Apache-2.0") and PROJECT["license-files"] == ["LICENSE", "NOTICE"]


def test_the_notice_names_all_weights_and_no_default_package_forbids_commercial_use() -> None:
    notice = " ".join((ROOT / "NOTICE").read_text(encoding="utf-8").split())
    shipped = {key: entry for row in rows().values() for key, entry in row.get("weights", {}).items()}
    assert shipped
    for key, entry in shipped.items():
        assert key in notice
        assert not re.search(r"\bNC\b|research use|non-commercial", entry["licence"], re.I), key
    research = parse_weights(read_mapping(next(RESEARCH.glob("src/*/diffx.yaml")))["weights"])
    assert set(research) == {key for row in rows().values() for key in row.get("more_weights", {})}
    for key, (plugin, entry) in research.items():
        assert key in notice and plugin in rows()
        assert "NC" in entry.licence
        file = next(RESEARCH.glob(f"src/*/{entry.file}"))
        assert file.stat().st_size == entry.bytes
        assert hashlib.sha256(file.read_bytes()).hexdigest() == entry.sha256


def test_every_file_of_weights_is_in_a_catalogue() -> None:
    named = {Path(entry["file"]).name for row in rows().values() for entry in row.get("weights", {}).values()}
    assert {path.name for path in (ROOT / "plugins").rglob("*.safetensors")} == named


def test_all_is_what_the_shipped_plugins_use() -> None:
    extras = PROJECT["optional-dependencies"]
    used = {row["extra"] for row in rows().values()}
    (everything,) = extras["all"]
    named = re.fullmatch(r"diffx-suite\[(.*)\]", everything)[1].split(",")
    assert {name.removesuffix("-text") for name in named} == used  # of audio, with its sentence encoder
    others = {"all", "dev", "docs", "bench", "docking-bench", "audio-bench", "audio-text", "research"}
    assert set(extras) - used == others


def test_the_citation_is_valid_and_of_this_version() -> None:
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(cff)  # what the schema of 1.2.0 requires
    assert cff["cff-version"] == "1.2.0" and cff["type"] == "software"
    assert str(cff["version"]) == diffx.__version__ and cff["license"] == "Apache-2.0"
    assert cff["authors"] == PROJECT["authors"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{diffx.__version__}] - {cff['date-released']}" in changes and "## [Unreleased]" in changes


PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))


@pytest.mark.parametrize("page", PAGES)
def test_what_pages_point_to_is_there(page: str) -> None:
    file = ROOT / page
    text = re.sub(r"```.*?```|`[^`\n]*`", "", file.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert (file.parent / target).exists(), target


def test_continuous_integration_hands_the_real_data_on(tmp_path: Path) -> None:
    """`.ci/run` with a make that only tells what it was given."""
    here = tmp_path / "project/.ci"
    here.mkdir(parents=True)
    (here / "run").write_text((ROOT / ".ci/run").read_text())
    (tmp_path / "make").write_text('#!/bin/sh\necho "$1 ${DIFFX_DATA-none}"\n')
    (tmp_path / "make").chmod(0o755)
    clean = {k: v for k, v in os.environ.items() if k != "DIFFX_DATA"} | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def run(**more: str) -> list[str]:
        done = subprocess.run(["bash", str(here / "run")], capture_output=True, text=True, env={**clean, **more})
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    assert run() == ["test none", "docs none", "peers none"]
    (tmp_path / "shared/data").mkdir(parents=True)
    assert run() == [f"{target} {tmp_path}/shared/data" for target in ("test", "docs", "peers")]
    assert run(DIFFX_DATA="/mine")[0] == "test /mine"
