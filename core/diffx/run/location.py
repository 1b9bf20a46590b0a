"""Which folder a run lives in."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from diffx.errors import UsageError
from diffx.io.files import what_blocks
from diffx.io.home import expanded
from diffx.run.resume import check_resumable, newest

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

    Raises UsageError when `out` is a file, or holds something and `resume` is false; when nothing can be written
    there; when there is nothing to resume (see `check_resumable`); and when several processes have no `out` to agree
    on.
    """
    if cfg.out or cfg.resume:
        folder = resumed(cfg.plugin, cfg.task, cfg.out) if cfg.resume else expanded(cfg.out)
        if process_rank() == 0:
            _admit(folder, cfg)
            _writable(folder)
        return folder
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise UsageError("several processes must share one run folder: name it with out=DIR")
    _writable(ROOT / cfg.plugin)
    return None


def resumed(plugin: str, task: str | None, out: str | None) -> Path:
    """The folder of the run to go on with: `out`, else the newest of the plugin (and the task) that can go on."""
    return expanded(out) if out else newest(ROOT / plugin, plugin, task)


def _admit(folder: Path, cfg: Any) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"out={cfg.out} is a file; name a folder")
    if cfg.resume:
        check_resumable(folder, cfg)
    elif folder.exists() and any(folder.iterdir()):
        raise UsageError(f"out={cfg.out} is not empty; name another folder, or add resume=true to go on with its run")


def _writable(folder: Path) -> None:
    why = what_blocks(folder.absolute())
    if why:
        raise UsageError(f"{folder.absolute()} cannot be written, as {why}: name another run folder with out=")
