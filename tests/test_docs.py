"""The code in docs/core.md runs, top to bottom, and what it asserts holds."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_the_page_of_the_core_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "core.md").read_text(encoding="utf-8"), re.S)
    assert len(blocks) >= 8
    exec(compile("\n".join(blocks), "docs/core.md", "exec"), {"__name__": "page"})
