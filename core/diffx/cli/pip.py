"""pip in this environment, and what a word that pip takes is the name of."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diffx.errors import ExtraError, PluginError

Request = tuple[str, ...]  # the words pip gets for one distribution: ("diffx-tides",) or ("-e", "/home/me/tides")

_NAME = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:[\[<>=!~@;(].*)?\Z")


def pip(words: Sequence[str], what: str) -> None:
    """Show and run a pip command of this environment. Raises PluginError where it fails, ExtraError without pip."""
    if importlib.util.find_spec("pip") is None:
        raise ExtraError(f"this environment has no pip: {sys.executable} -m ensurepip")
    command = [sys.executable, "-m", "pip", *words]
    print(f"+ {shlex.join(command)}", flush=True)
    code = subprocess.run(command, check=False).returncode
    if code:
        raise PluginError(f"pip could not {what} (code {code}; the reason stands above)")


def name_of(request: Request, installed: Sequence[Mapping[str, Any]]) -> str:
    """The distribution that a request means: as its words or pip's report tell; "" where neither does."""
    word = request[-1]
    for one in installed:
        if one["download_info"]["url"] in (Path(word).as_uri() if os.path.isabs(word) else "", word):
            return one["metadata"]["name"]
    if word.endswith(".whl"):
        return Path(word).name.partition("-")[0]
    if os.path.isabs(word) and Path(word).is_dir():
        return _project_name(Path(word))
    matched = _NAME.match(word)
    if matched and not os.path.isabs(word):
        return matched[1]
    # of a URL the report tells, if it is the only one there
    return installed[0]["metadata"]["name"] if len(installed) == 1 else ""


def _project_name(folder: Path) -> str:
    import tomllib

    try:
        return str(tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
