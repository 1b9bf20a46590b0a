"""env.json: with what, and where, a run was made."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import diffx


def environment(device: str) -> dict[str, Any]:
    """Versions, machine and commit. Only what this process has loaded is asked, nothing is imported for it.

    `device` is the one that was asked for; what was there to use is known once torch is loaded.
    """
    return {
        "diffx": diffx.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "device_asked": device,
        "cuda": _cuda(),
        "working_folder": _working_folder(),
        "packages": _packages(),
    }


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed under us
        return None


def _packages() -> dict[str, str]:
    """The version of every installed distribution that has a module loaded."""
    loaded = {name.partition(".")[0] for name in sys.modules}
    names = {dist for module, dists in _distributions().items() if module in loaded for dist in dists}
    return {name: metadata.version(name) for name in sorted(names, key=str.lower)}


@lru_cache(maxsize=1)
def _distributions() -> Mapping[str, Sequence[str]]:
    """Of each module, kept: it takes the files of everything installed to know, a quarter of a second each time."""
    return metadata.packages_distributions()


def _cuda() -> dict[str, Any] | None:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return {
        "version": torch.version.cuda,
        "devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """The commit of the checkout diffx runs from, "+changes" when files under version control differ from it.

    None for an installed copy, also when it sits in an environment inside somebody's repository.
    """
    here = Path(diffx.__file__).parent

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, timeout=5, check=True)
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")
        commit = git("rev-parse", "HEAD")
        return f"{commit}+changes" if git("status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.SubprocessError):
        return None
