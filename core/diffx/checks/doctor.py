"""Checks of an installation. torch is tried in a process of its own: a broken one may do more than raise."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from diffx import __version__
from diffx.errors import DiffxError
from diffx.plugins.packs import packs
from diffx.plugins.registry import OURS, discover, find, install_hint, manifest_of, missing_requirements, registry_file
from diffx.plugins.weights import absent, shipped, verify

MINIMUM = {"omegaconf": (2, 4), "torch": (2, 11)}

_PROBE = """
import json, time, torch
begin = time.perf_counter()
a = torch.randn(512, 512)
exact = bool(((a @ a) - (a.double() @ a.double())).abs().max() < 1e-2)
cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
on_gpu = bool(torch.isfinite((a.cuda() @ a.cuda()).sum())) if cuda else True
print(json.dumps({"version": torch.__version__, "threads": torch.get_num_threads(), "cuda": cuda,
                  "bf16": bool(cuda) and torch.cuda.is_bf16_supported(), "well": exact and on_gpu}))
"""


class Check(NamedTuple):
    """`well`: True, False, or None where it only informs."""

    name: str
    well: bool | None
    text: str


def examine(plugin: str = "") -> list[Check]:
    """Every check, and those of a plugin's `diffx_doctor` hook. Raises PluginError for a plugin that is not there."""
    if plugin:
        find(plugin)  # a name that is mistyped is an error, not a finding
    checks = [*_python(), *_torch(), *_folder(), *_plugins(), *_weights()]
    if plugin:
        from diffx.plugins.loader import load

        try:
            for answers in load(plugin).collect("diffx_doctor"):
                checks += [Check(f"{plugin}: {name}", well, text) for name, well, text in answers]
        except DiffxError as error:  # the other findings are not lost with it
            checks.append(Check(f"{plugin}: its own", False, str(error)))
    return checks


def _python() -> Iterator[Check]:
    yield Check("python", sys.version_info >= (3, 11), f"{platform.python_version()} on {platform.platform()}")
    yield Check("diffx", True, f"{__version__}, catalogue {registry_file()}")
    yield Check("processors", None, f"{os.cpu_count()}")
    for name, least in MINIMUM.items():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Check(name, False, f"not installed: pip install --force-reinstall {OURS}")
            continue
        numbers = tuple(int(part) for part in version.split("+")[0].split(".")[:2] if part.isdigit())
        text = version if numbers >= least else f'{version}: pip install "{name}>={".".join(map(str, least))}"'
        yield Check(name, numbers >= least, text)


def _torch() -> Iterator[Check]:
    try:
        done = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True, errors="replace")
    except OSError as error:
        yield Check("torch works", False, f"{sys.executable} does not start: {error.strerror}")
        return
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"the process ended with {done.returncode}"])[-1]
        yield Check("torch works", False, f"{last}: reinstall torch")
        return
    found = json.loads(done.stdout.strip().splitlines()[-1])
    yield Check("torch works", found["well"], f"{found['threads']} threads")
    gpu = ", ".join(found["cuda"])
    yield Check("GPU", None, f"{gpu}{' (bf16)' if found['bf16'] else ''}" if gpu else "none; the CPU will do the work")


def _folder() -> Iterator[Check]:
    here = Path.cwd()
    writable = os.access(here, os.W_OK)
    free = shutil.disk_usage(here).free / 1e9
    text = f"{here / 'runs'}, {free:.0f} GB free" if writable else f"{here} cannot be written: use out="
    yield Check("run folders", writable and free > 1, text)


def _plugins() -> Iterator[Check]:
    for found in discover():
        name = f"plugin {found.name}"
        if found.error:
            yield Check(name, False, f"{found.distribution} {found.version}: {found.error}")
        elif missing := missing_requirements(manifest_of(found)):
            yield Check(name, None, f"not ready: needs {', '.join(missing)}: {install_hint(found)}")
        else:
            yield Check(name, True, f"{found.distribution} {found.version}")


def _weights() -> Iterator[Check]:
    for weights in shipped():
        try:
            verify(weights)
            yield Check(f"weights {weights.id}", True, f"{weights.size}, {weights.entry.licence}")
        except DiffxError as error:
            yield Check(f"weights {weights.id}", False, str(error))
    for lacking in absent():
        yield Check(f"weights {lacking.id}", None, lacking.why)
    for pack in packs():
        if pack.error:
            yield Check(f"weights of {pack.distribution}", False, pack.error)
