"""The arrows: who may import whom."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLUGINS = sorted(folder.name for folder in (ROOT / "plugins").iterdir() if (folder / "__init__.py").is_file())


def imports(file: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of each absolute import of a file, also inside functions."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((node.module or "", alias.name) for alias in node.names)


def test_the_contracts_of_pyproject_hold() -> None:
    linter = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert linter, "import-linter is not installed: pip install -e '.[dev]'"
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_plugin_package_is_under_the_contracts() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert PLUGINS and all(f'"{name}"' in text for name in PLUGINS)


def test_the_core_imports_no_plugin_and_no_plugin_another() -> None:
    for package in ["diffx", *PLUGINS]:
        folder = ROOT / ("core" if package == "diffx" else "plugins") / package
        others = set(PLUGINS) - {package}
        for file in folder.rglob("*.py"):
            wrong = [module for module, _ in imports(file) if module.partition(".")[0] in others]
            assert not wrong, f"{file} imports {wrong}"


def test_plugins_import_public_names_only() -> None:
    for package in PLUGINS:
        for file in (ROOT / "plugins" / package).rglob("*.py"):
            for module, name in imports(file):
                if module.partition(".")[0] == "diffx":
                    private = [
                        part for part in [*module.split("."), name] if part.startswith("_") and part != "__version__"
                    ]
                    assert not private, f"{file} imports {module}.{name}"
