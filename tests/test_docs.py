"""The code in docs/core.md and docs/evaluation.md runs, top to bottom, and what it asserts holds."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_the_page_of_the_core_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "core.md").read_text(encoding="utf-8"), re.S)
    assert len(blocks) >= 8
    exec(compile("\n".join(blocks), "docs/core.md", "exec"), {"__name__": "page"})


def test_the_page_of_evaluation_runs(capsys) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "evaluation.md").read_text(encoding="utf-8"), re.S)
    exec(compile(block, "docs/evaluation.md", "exec"), {"__name__": "page"})
    assert capsys.readouterr().out.splitlines()[0].endswith("20 met")
