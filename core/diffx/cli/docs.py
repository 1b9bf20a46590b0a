"""`diffx docs [PAGE]`: the pages of documentation, which come with the package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from diffx.cli.layout import columns
from diffx.cli.words import Parser
from diffx.errors import UsageError, did_you_mean


def main(words: Sequence[str]) -> int:
    parser = Parser(prog="diffx docs", description="print a page of documentation (Markdown), or list the pages")
    parser.add_argument("page", nargs="?", help="its name")
    parser.add_argument("--path", action="store_true", help="print where it lies instead")
    given = parser.parse_args(list(words))
    known = pages()
    if not given.page:
        print(columns([(name, _title(path)) for name, path in known.items()]))
        return 0
    name = given.page.removesuffix(".md")
    if name not in known:
        hint = f"{did_you_mean(name, known)} (pages: {', '.join(known)})"
        raise UsageError(f"diffx docs {given.page}: no such page{hint}")
    print(known[name] if given.path else known[name].read_text(encoding="utf-8"), end="\n" if given.path else "")
    return 0


def pages() -> dict[str, Path]:
    """Name -> file: of the installed package, or of the checkout."""
    here = Path(__file__).resolve().parents[1]
    folders = (here / "docs", here.parents[1] / "docs")
    folder = next((folder for folder in folders if folder.is_dir()), folders[0])
    return {path.stem: path for path in sorted(folder.glob("*.md"))}


def _title(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.readline().lstrip("# ").strip()
