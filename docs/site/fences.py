"""For the site: "```sh tutorial" becomes "```sh". The further words are for the tests that run the code."""

from __future__ import annotations

import re
from typing import Any

FENCE = re.compile(r"^```(\w+) .*$", re.M)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for each page."""
    return FENCE.sub(r"```\1", markdown)
