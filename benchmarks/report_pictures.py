"""The pictures of a run's report as files, to show them elsewhere.

python benchmarks/report_pictures.py RUN FOLDER [WORD ...]    only those whose title begins with one of the words
"""

from __future__ import annotations

import base64
import re
import sys
from html import unescape
from pathlib import Path

FIGURE = re.compile(r"<h2>([^<]*)</h2>(?:(?!<h2>).)*?data:image/(\w+);base64,([A-Za-z0-9+/=]+)", re.DOTALL)


def main(run: str, folder: str, *words: str) -> None:
    """Write FOLDER/<title in lower case, with dashes>.<png or what it is> for each picture."""
    page = (Path(run) / "report.html").read_text(encoding="utf-8")
    for title, kind, data in FIGURE.findall(page):
        name = re.sub(r"\W+", "-", unescape(title).lower()).strip("-")
        if not words or name.startswith(tuple(word.lower() for word in words)):
            path = Path(folder) / f"{name}.{kind}"
            path.write_bytes(base64.b64decode(data))
            print(path, f"{path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main(*sys.argv[1:])
