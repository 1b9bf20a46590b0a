"""The arrows: who may import whom."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import diffx

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


def module_file(module: str) -> Path | None:
    """The file of a module of the core."""
    place = ROOT / "core" / Path(*module.split("."))
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)


@cache
def public(module: str) -> frozenset[str]:
    """What a module's `__all__` names; nothing where it has none. Only that of `diffx` is computed."""
    if module == "diffx":
        return frozenset(diffx.__all__)
    file = module_file(module)
    for node in ast.parse(file.read_text(encoding="utf-8")).body if file else ():
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return frozenset(one.value for one in ast.walk(node.value) if isinstance(one, ast.Constant))
    return frozenset()


def private(file: Path) -> Iterator[str]:
    """What a file uses of diffx that is not public: not in the `__all__` of the module it is taken from."""
    taken: set[str] = set()
    for module, name in imports(file):
        if module.partition(".")[0] != "diffx":
            continue
        inside = f"{module}.{name}" if name else module
        taken.add(inside)
        if name not in public(module) and not public(inside):
            yield inside
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):  # diffx.NAME
        if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "diffx"):
            continue
        if node.attr not in public("diffx") and f"diffx.{node.attr}" not in taken:
            yield f"diffx.{node.attr}"


def test_plugins_and_examples_use_public_names_only() -> None:
    """docs/api.md: public is what a module's `__all__` names."""
    files = [file for package in PLUGINS for file in (ROOT / "plugins" / package).rglob("*.py")]
    files += [file for file in (ROOT / "examples").rglob("*.py") if "/src/" in file.as_posix()]
    assert len(files) > 100
    used = {str(file.relative_to(ROOT)): sorted(private(file)) for file in files}
    assert not {file: names for file, names in used.items() if names}


def test_what_is_not_public_is_found(tmp_path) -> None:
    file = tmp_path / "plugin.py"
    lines = {
        "import diffx\ndiffx.UNet": [],
        "from diffx.pipeline import Pipeline": [],
        "from diffx.io import checkpoint": [],
        "import diffx\ndiffx._MODULE": ["diffx._MODULE"],
        "from diffx.noise import _mulhilo": ["diffx.noise._mulhilo"],
        "from diffx.pipeline.pipeline import Pipeline": ["diffx.pipeline.pipeline.Pipeline"],
        "from diffx.train.trainer import Trainer": ["diffx.train.trainer.Trainer"],
    }
    for text, expected in lines.items():
        file.write_text(text)
        assert list(private(file)) == expected, text


def test_every_public_name_is_there() -> None:
    import importlib

    for file in sorted((ROOT / "core/diffx").rglob("*.py")):
        module = ".".join(file.relative_to(ROOT / "core").with_suffix("").parts).removesuffix(".__init__")
        if names := public(module):
            found = importlib.import_module(module)
            assert not [name for name in names if not hasattr(found, name)], module


def test_importing_diffx_is_weightless_and_its_names_come_when_they_are_used() -> None:
    code = """if True:
        import sys, diffx
        heavy = {"torch", "numpy", "omegaconf", "pluggy", "safetensors"} & set(sys.modules)
        assert not heavy, heavy
        assert set(diffx.__all__) <= set(dir(diffx)) and len(diffx.__all__) == len(set(diffx.__all__))
        assert set(diffx._MODULE) == set(diffx.__all__) - {"__version__"}
        for name in diffx.__all__:
            getattr(diffx, name)
        assert diffx.UNet.__module__ == "diffx.nets.unet" and diffx.fit.__module__ == "diffx.train.loop"
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
