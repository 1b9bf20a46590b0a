"""`diffx docs [PAGE]`: the pages of documentation, which come with the package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from diffx.cli.layout import columns
from diffx.cli.words import Parser
from diffx.errors import UsageError, did_you_mean


def main(words: Sequence[str]) -> int:
    parser = Parser(prog="diffx docs", description="print a page of documentation (Markdown), or list the pages")
    parser.add_argument("page", nargs="?", help="its name; of several with the same last part the guide: nilm")
    parser.add_argument("--path", action="store_true", help="print the path of its file instead")
    given = parser.parse_args(list(words))
    known = pages()
    if not given.page:
        print(columns([(name, _title(path)) for name, path in known.items()]))
        return 0
    path = _find(given.page.removesuffix(".md"), known)
    if path is None:
        short = {name.rpartition("/")[2] for name in known}
        hint = f"{did_you_mean(given.page, [*known, *sorted(short)])} (pages: {', '.join(known)})"
        raise UsageError(f"diffx docs {given.page}: no such page{hint}")
    print(path if given.path else path.read_text(encoding="utf-8"), end="\n" if given.path else "")
    return 0


def pages() -> dict[str, Path]:
    """Name -> file, of the installed package or of the checkout: {"guides/nilm": ..., "weights": ...}.

    The pages of reference/ are filled with docstrings when the site is built, except that of the hooks.
    """
    here = Path(__file__).resolve().parents[1]
    folders = (here / "docs", here.parents[1] / "docs")
    folder = next((folder for folder in folders if folder.is_dir()), folders[0])
    found = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.glob("**/*.md"))}
    return {name: path for name, path in found.items() if name == "reference/hooks" or "reference/" not in name}


def _find(name: str, known: dict[str, Path]) -> Path | None:
    alike = [page for page in known if page.rpartition("/")[2] == name]
    guides = [page for page in alike if page.startswith("guides/")]
    return next((known[page] for page in (name, *guides, *alike) if page in known), None)


def _title(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.readline().lstrip("# ").strip()
