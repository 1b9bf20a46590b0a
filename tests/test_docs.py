"""The code in docs/guides/core.md and evaluation.md runs, and what it asserts holds; `diffx docs` finds every page."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
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


def crowded(code: str) -> Iterator[str]:
    """Lines of an `Args:` section, in any docstring, on which a second argument of the function or class begins."""
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        section = re.search(r"^Args:\n((?: {4}.*\n?|\n)+)", ast.get_docstring(node) or "", re.M)
        arguments = {one.arg for one in ast.walk(node) if isinstance(one, ast.arg)}
        arguments |= {
            one.target.id
            for one in ast.walk(node)
            if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
        }
        for line in section[1].splitlines() if section else ():
            second = re.findall(r"(?:[.;,] | {5,})(\w+)(?=(?:, \w+)*: )", line)
            if arguments & set(second):
                yield line.strip()


def test_docstrings_have_one_argument_a_line() -> None:
    root = DOCS.parents[1]
    files = [file for folder in ("core", "plugins", "examples") for file in (root / folder).rglob("*.py")]
    assert len(files) > 200
    found = {str(file.relative_to(root)): list(crowded(file.read_text(encoding="utf-8"))) for file in files}
    assert not {file: lines for file, lines in found.items() if lines}


@pytest.mark.parametrize("line", ["a, b: both.", "a: one. b: the other.", "a: one; b: the other."])
def test_two_arguments_on_a_line_are_found(line: str) -> None:
    code = 'def f(a, b):\n    """What it does.\n\n    Args:\n        {}\n    """\n'
    assert list(crowded(code.format(line))) == [line]
    assert not list(crowded(code.format("a: one, with b.\n        b: the other: both.")))
