"""Sound files: read as mono at a rate, written whole or not at all."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile
import soxr

from diffx.errors import DataError
from diffx.io.files import atomic

__all__ = ["FORMATS", "read_sound", "resampled", "write_sound"]

FORMATS = (".wav", ".flac", ".mp3", ".ogg", ".aif", ".aiff", ".opus")


def read_sound(path: str | Path, rate: int | None = None) -> tuple[np.ndarray, int]:
    """Sound [channels, n], float32 in [-1, 1], and its rate.

    Args:
        path: wav, flac, mp3, ogg, aiff or opus, of any rate and depth.
        rate: resample to it; None: the rate of the file.

    Raises:
        DataError: missing, of no known format, empty, with NaN or infinite samples, or silent.
    """
    try:
        sound, own = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        if not Path(path).is_file():
            raise DataError(f"{path}: there is no such file") from None
        reason = str(error).rsplit(":", 1)[-1].strip().rstrip(".")
        raise DataError(f"{path}: no sound could be read ({reason})") from None
    if not len(sound):
        raise DataError(f"{path}: the file holds no samples")
    if not np.isfinite(sound).all():
        raise DataError(f"{path}: {int((~np.isfinite(sound)).sum())} samples are NaN or infinite")
    if not np.abs(sound).max() > 0:
        raise DataError(f"{path}: all samples are zero")
    sound = np.ascontiguousarray(sound.T)
    return (sound, own) if rate in (None, own) else (resampled(sound, own, rate), int(rate or own))


def resampled(sound: np.ndarray, rate: float, to: float) -> np.ndarray:
    """Sound [channels, n] or [n] at another rate."""
    return np.ascontiguousarray(soxr.resample(sound.T, rate, to).T, dtype=np.float32)


def write_sound(
    path: str | Path, sound: np.ndarray, rate: int, depth: str = "PCM_24", tags: Mapping[str, str] | None = None
) -> Path:
    """Write sound [channels, n]; the ending names the format.

    Args:
        path: .wav or .flac.
        sound: in [-1, 1].
        rate: samples a second.
        depth: PCM_16, PCM_24 or FLOAT (wav alone).
        tags: title, comment, software, date, artist, copyright, album, license, tracknumber, genre.
    """
    with atomic(path) as part, soundfile.SoundFile(part, "w", rate, len(sound), depth) as file:
        for name, text in (tags or {}).items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                setattr(file, name, text)
        file.write(sound.T)
    return Path(path)
