"""Which run `resume=true` goes on with, and whether there is something to go on from. Reads headers only: no torch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ImportError:  # not on this system: runs are not locked there
    fcntl = None  # type: ignore[assignment]

from diffx.config import schema
from diffx.errors import UsageError
from diffx.io.files import read_json
from diffx.plugins.weights import check_safetensors

LAST = "last.safetensors"  # from which the core's training goes on
NOT_TO_RESUME = ("weights.safetensors",)


def read_status(folder: Path) -> dict[str, Any] | None:
    """What status.json of a run folder says; None when there is none that can be read."""
    return read_json(folder / "status.json") or None


def newest(home: Path, plugin: str, task: str | None) -> Path:
    """The newest run below `home` of this plugin, and of this task if it is given, that left something to go on from.

    Raises UsageError where there is none.
    """
    begun = {}
    for folder in home.iterdir() if home.is_dir() else ():
        status = read_status(folder)
        if status and is_of(status, plugin, task) and holds_checkpoint(folder):
            begun[folder] = datetime.fromisoformat(status["started"])
    if not begun:
        what = f"no run of task {task}" if task else "no run"
        raise UsageError(f"nothing to resume: {home} holds {what} with a checkpoint; start one without resume=true")
    return max(begun, key=lambda folder: begun[folder])


def check_resumable(folder: Path, cfg: Any) -> None:
    """Raises UsageError where the run in `folder` cannot go on with `cfg`, DataError for a damaged checkpoint."""
    if not folder.exists() or not any(folder.iterdir()):
        raise UsageError(f"nothing to resume: {folder} holds no run; start one without resume=true")
    status = read_status(folder)
    if status is None:
        raise UsageError(f"{folder} cannot be resumed: it holds files, but no status.json of a run")
    if not is_of(status, cfg.plugin, cfg.task):
        was = f"{status.get('plugin')} {status.get('task')}"
        raise UsageError(f"{folder} holds a run of {was}, not of {cfg.plugin} {cfg.task}; name another folder")
    if is_alive(folder):
        raise UsageError(_alive(folder))
    if not holds_checkpoint(folder):
        state = f"its run of task {status.get('task')} is {status.get('status')} and left no checkpoint"
        raise UsageError(f"nothing to resume in {folder}: {state}; start another run without resume=true")
    if (folder / "checkpoints" / LAST).is_file():
        _check_training(folder, status, cfg)


def _check_training(folder: Path, status: dict[str, Any], cfg: Any) -> None:
    """Raises UsageError for a training that is done, or that goes on with another network."""
    about = json.loads(check_safetensors(folder / "checkpoints" / LAST).get("diffx", "{}"))
    step, steps = about.get("step"), cfg.train.steps
    if isinstance(step, int) and (step > steps or (step == steps and status.get("status") == "ok")):
        asked = f"{step} steps are done, and train.steps={steps}"
        raise UsageError(f"nothing to resume in {folder}: {asked}; ask for more steps to train on")
    was, changed = about.get("config", {}), []
    for key, option in schema(type(cfg)).options.items():
        value: Any = cfg
        for name in option.path:
            value = getattr(value, name)
        value = list(value) if isinstance(value, tuple) else value
        if key.startswith("net.") and was.get(key, value) != value:
            changed.append(f"{key}={value} (trained with {was[key]})")
    if changed:
        raise UsageError(f"{folder} cannot be resumed with another network: {', '.join(changed)}")


def holds_checkpoint(folder: Path) -> bool:
    """Whether something lies in checkpoints/ beside the weights that a training ends with."""
    found = (folder / "checkpoints").glob("*")
    return any(p.is_file() and not p.name.startswith(".") and p.name not in NOT_TO_RESUME for p in found)


def is_of(status: dict[str, Any], plugin: str, task: str | None) -> bool:
    """Whether a status is that of a run of this plugin, and of this task if it is given."""
    return status.get("plugin") == plugin and task in (None, status.get("task"))


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The run folder for this process alone: log.txt is locked as long as its run lives, however that ends.

    Raises UsageError where another process holds it. File systems that cannot lock are let through.
    """
    with open(folder / "log.txt", "ab") as log:
        if not _lock(log):
            raise UsageError(_alive(folder))
        yield


def is_alive(folder: Path) -> bool:
    """Whether a process on this machine holds the run."""
    try:
        with open(folder / "log.txt", "rb") as log:
            return not _lock(log)
    except OSError:
        return False


def _lock(file: IO[bytes]) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _alive(folder: Path) -> str:
    status = read_status(folder) or {}
    pid = (
        f" (process {status['pid']})" if status.get("status") == "running" and status.get("pid") != os.getpid() else ""
    )
    return f"{folder} cannot be resumed: its run is still going{pid}; stop it first"
