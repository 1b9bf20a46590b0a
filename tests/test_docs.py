"""The code in docs/guides/core.md and evaluation.md runs, and what it asserts holds; `diffx docs` finds every page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from diffx.cli import main
from diffx.cli.docs import pages

DOCS = Path(__file__).parents[1] / "docs/guides"


def test_the_page_of_the_core_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "core.md").read_text(encoding="utf-8"), re.S)
    assert len(blocks) >= 8
    exec(compile("\n".join(blocks), "docs/guides/core.md", "exec"), {"__name__": "page"})


def test_the_page_of_evaluation_runs(capsys) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "evaluation.md").read_text(encoding="utf-8"), re.S)
    exec(compile(block, "docs/guides/evaluation.md", "exec"), {"__name__": "page"})
    assert capsys.readouterr().out.splitlines()[0].endswith("20 met")


@pytest.mark.parametrize(
    "name, page",
    [
        ("nilm", "guides/nilm"),
        ("nilm.md", "guides/nilm"),
        ("results/nilm", "results/nilm"),
        ("hooks", "reference/hooks"),
        ("weights", "weights"),
        ("experiments/core.md", "experiments/core"),
    ],
)
def test_a_page_is_found_by_its_path_or_its_last_part(name: str, page: str, capsys) -> None:
    assert main(["docs", name]) == 0
    assert capsys.readouterr().out == (DOCS.parent / f"{page}.md").read_text(encoding="utf-8")


def test_all_pages_but_those_made_from_docstrings_are_listed(capsys) -> None:
    assert main(["docs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = [line.split()[0] for line in lines if line[:1].strip()]  # a title that is too long goes on, indented
    here = {path.relative_to(DOCS.parent).with_suffix("").as_posix() for path in DOCS.parent.glob("**/*.md")}
    assert listed == list(pages()) and set(listed) == {
        page for page in here if "reference/" not in page or page == "reference/hooks"
    }
    assert not [name for name, path in pages().items() if "\n::: " in path.read_text(encoding="utf-8")]
    for kind in ("guides", "method", "results", "experiments"):
        assert f"{kind}/mri_synth" in listed


def test_an_unknown_page_gets_the_nearest_name(capsys) -> None:
    assert main(["docs", "nlim"]) == 2
    assert "diffx docs nlim: no such page; did you mean 'nilm'?" in capsys.readouterr().err
    assert main(["docs", "results/nlim"]) == 2
    assert "did you mean 'results/nilm'?" in capsys.readouterr().err
