"""`diffx plugins new`: a plugin of one's own, complete and tested, from the files in diffx/scaffold."""

from __future__ import annotations

import importlib.util
import keyword
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from string import Template

from diffx.cli.words import Parser
from diffx.errors import UsageError
from diffx.io.home import expanded
from diffx.plugins.manifest import API
from diffx.plugins.registry import canonical, discover

SCAFFOLD = Path(__file__).resolve().parent / "scaffold"
# state -> the folders of templates beside those of every project, and what is filled in
STATES: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "signal": (("grid", "signal"), {"what": "waves", "dims": "1", "edge": "32", "batch": "32", "shape": "[n, 1, L]"}),
    "image": (
        ("grid", "plane"),
        {"what": "images", "dims": "2", "edge": "16", "batch": "16", "shape": "[n, 1, H, W]"}
        | {"plane": "all of it", "index": "state[0]"},
    ),
    "volume": (
        ("grid", "plane"),
        {"what": "volumes", "dims": "3", "edge": "8", "batch": "16", "shape": "[n, 1, D, H, W]"}
        | {"plane": "the middle", "index": "state[0, state.shape[1] // 2]"},
    ),
    "table": (("table",), {"what": "rows", "shape": "{numbers: [n, 2], kinds: [n, 1]}"}),
}


def main(words: Sequence[str]) -> int:
    parser = Parser(
        prog="diffx plugins new",
        description="write a plugin that trains on a toy data set in seconds and passes diffx plugins check",
    )
    parser.add_argument("name", help="of the distribution, such as tidal-curves")
    parser.add_argument("folder", nargs="?", help="to write; default ./NAME")
    parser.add_argument("--state", choices=STATES, default="signal", help="what the data are; default signal")
    given = parser.parse_args(list(words))
    name, package = names(given.name)
    target = expanded(given.folder or name)
    write(name, package, target, given.state)
    print(
        f"wrote {target}\n\n"
        f"  diffx plugins install -e {_as_path(target)}\n"
        f"  diffx plugins check {package}\n"
        f"  diffx run plugin={package} out=runs/{package}\n"
        f"  diffx run plugin={package} task=sample from=runs/{package} level=0.5 pace=fast n=4\n"
        f"  diffx run plugin={package} task=evaluate from=runs/{package}\n\n"
        f"{target / 'README.md'} says what is where."
    )
    return 0


def names(given: str) -> tuple[str, str]:
    """The names of the distribution (PEP 503) and of its package, which is also the plugin's. Raises UsageError."""
    name = canonical(given)
    package = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise UsageError(f"{given!r} is no name: letters, digits and single hyphens, a letter first (tidal-curves)")
    taken = ""
    if keyword.iskeyword(package) or keyword.issoftkeyword(package):
        taken = "a word of Python"
    elif package in sys.stdlib_module_names:
        taken = "a module of Python"
    elif any(canonical(found.name) == name for found in discover()):
        taken = "a plugin that is installed"
    elif importlib.util.find_spec(package) is not None:
        taken = "a package that is installed here"
    if taken:
        raise UsageError(f"{given}: {package!r} is {taken}; choose another name")
    return name, package


def write(name: str, package: str, target: Path, state: str = "signal") -> None:
    """The project, whole or not at all. Raises UsageError where something is there or it cannot be written.

    state: what its data are, of `STATES`.
    """
    shown, target = target, target.resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{shown} exists and is not empty: name another folder")
    title = "".join(part.capitalize() for part in package.split("_"))
    folders, of_state = STATES[state]
    values = {"name": name, "package": package, "title": title, "api": API, **of_state}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{name}-") as folder:
            whole = Path(folder) / name
            for source in _templates(folders):
                file = whole / _place(source.relative_to(SCAFFOLD), package)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(Template(source.read_text(encoding="utf-8")).substitute(values), encoding="utf-8")
            if target.exists():  # empty, as was seen; somebody may stand in it
                for entry in whole.iterdir():
                    shutil.move(entry, target)
            else:
                shutil.move(whole, target)
    except OSError as error:
        raise UsageError(f"{shown}: {error.strerror or error}") from error


def _templates(folders: Sequence[str]) -> list[Path]:
    """The templates of every project, and those of a state."""
    found = [path for name in ("package", "tests", *folders) for path in (SCAFFOLD / name).rglob("*.tmpl")]
    return sorted([*SCAFFOLD.glob("*.tmpl"), *found])


def _place(template: Path, package: str) -> Path:
    """package/plugin.py.tmpl, and signal/pictures.py.tmpl -> src/tidal_curves/...; gitignore.tmpl -> .gitignore."""
    path = template.with_suffix("")
    if len(path.parts) > 1 and path.parts[0] != "tests":
        return Path("src", package, *path.parts[1:])
    return path.with_name(f".{path.name}") if path.name == "gitignore" else path


def _as_path(target: Path) -> str:
    """As pip and `diffx plugins install` take it for a folder."""
    text = str(target)
    return text if os.sep in text or text.startswith(".") else f".{os.sep}{text}"
