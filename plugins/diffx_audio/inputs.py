"""What of audio's inputs can be checked in a moment: that files are there, and that options go together."""

from __future__ import annotations

from diffx.errors import DataError, UsageError, did_you_mean
from diffx.io.home import expanded

from .config import AudioConfig


def check_inputs(cfg: AudioConfig) -> None:
    """The sounds, scores and weights that the task will read are there.

    Raises:
        UsageError: an option that the task needs is missing, or two that exclude each other.
        DataError: a file, a folder or weights that are not there.
    """
    if cfg.task in ("train", "evaluate"):
        if not cfg.data.root:
            raise UsageError("data.root= says which folder of sounds with a manifest.csv to read")
        if not expanded(cfg.data.root).exists():
            raise DataError(f"data.root={cfg.data.root}: there is no such folder")
    if cfg.task in ("inpaint", "outpaint", "variation"):
        if not cfg.audio:
            raise UsageError(f"task={cfg.task} needs audio=, a sound file")
        _there("audio", cfg.audio)
    elif cfg.audio and cfg.task == "generate":
        raise UsageError("audio= is for task=inpaint, outpaint and variation")
    if cfg.task == "inpaint" and (cfg.start is None or cfg.end is None or cfg.start >= cfg.end):
        raise UsageError("task=inpaint needs start= and end=, in seconds, start before end")
    if cfg.task == "outpaint" and not (cfg.before or cfg.after):
        raise UsageError("task=outpaint needs before= or after=, in seconds")
    if cfg.score and cfg.duration:
        raise UsageError("score= says how long its notes are, so duration= cannot be given with it")
    if cfg.score and cfg.score.lower().endswith((".mid", ".midi")):
        _there("score", cfg.score)


def _there(key: str, name: str) -> None:
    path = expanded(name)
    if not path.is_file():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"{key}={name}: there is no such file{did_you_mean(path.name, beside)}")
