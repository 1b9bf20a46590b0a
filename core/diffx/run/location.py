"""Which folder a run lives in."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from diffx.errors import UsageError
from diffx.io.files import what_blocks
from diffx.io.home import expanded

ROOT = Path("runs")


def process_rank() -> int:
    """This process's number among those of a distributed run; 0 when it is alone. Set by `accelerate launch`."""
    return int(os.environ.get("RANK", 0)) if int(os.environ.get("WORLD_SIZE", 1)) > 1 else 0


def locate(cfg: Any) -> Path:
    """The folder for `cfg`, made if it was not there.

    `out` names it exactly. Without `out` a new run gets `runs/<plugin>/<date-time>-<task>`, and a resumed one goes on
    in the newest folder of the same plugin and task.

    Raises UsageError as `admit` does.
    """
    folder = admit(cfg)
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    home = ROOT / cfg.plugin
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for number in range(1, 1000):
        folder = home / f"{stamp}{f'.{number}' if number > 1 else ''}-{cfg.task}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:  # another run began in the same second
            continue
        return folder
    raise UsageError(f"{home} has no free name left for {stamp}; name the folder with out=DIR")


def admit(cfg: Any) -> Path | None:
    """The folder that `cfg` names or resumes, None where a new one will be named by the clock; nothing is made.

    Raises UsageError when `out` is a file, holds something and `resume` is false, or holds something that is not a
    run of this plugin and task; when nothing can be written there; when there is nothing to resume; and when several
    processes have no `out` to agree on.
    """
    if cfg.out:
        folder = expanded(cfg.out)
        if process_rank() == 0:
            _admit(folder, cfg)
            _writable(folder)
        return folder
    if cfg.resume:
        return _newest(ROOT / cfg.plugin, cfg)
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise UsageError("several processes must share one run folder: name it with out=DIR")
    _writable(ROOT / cfg.plugin)
    return None


def read_status(folder: Path) -> dict[str, Any] | None:
    """What status.json of a run folder says; None when there is none that can be read."""
    try:
        found = json.loads((folder / "status.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _admit(folder: Path, cfg: Any) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"out={cfg.out} is a file; name a folder")
    if not folder.exists() or not any(folder.iterdir()):
        return  # with resume=true as well: a job that is requeued starts here the first time
    if not cfg.resume:
        raise UsageError(f"out={cfg.out} is not empty; name another folder, or add resume=true to go on with its run")
    status = read_status(folder)
    if status is None:
        raise UsageError(f"out={cfg.out} cannot be resumed: it holds files, but no status.json of a run")
    if not _same(status, cfg):
        was = f"{status.get('plugin')} {status.get('task')}"
        raise UsageError(f"out={cfg.out} holds a run of {was}, not of {cfg.plugin} {cfg.task}; name another folder")


def _writable(folder: Path) -> None:
    why = what_blocks(folder.absolute())
    if why:
        raise UsageError(f"{folder.absolute()} cannot be written, as {why}: name another run folder with out=")


def _newest(home: Path, cfg: Any) -> Path:
    begun = {}
    for folder in home.iterdir() if home.is_dir() else ():
        status = read_status(folder)
        if status and _same(status, cfg):
            begun[folder] = datetime.fromisoformat(status["started"])
    if not begun:
        raise UsageError(f"nothing to resume: {home} holds no run of task {cfg.task}; start one without resume=true")
    return max(begun, key=lambda folder: begun[folder])


def _same(status: dict[str, Any], cfg: Any) -> bool:
    return status.get("plugin") == cfg.plugin and status.get("task") == cfg.task
