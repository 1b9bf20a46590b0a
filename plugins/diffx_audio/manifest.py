"""Folders of sounds: a manifest.csv that says what each file holds."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from diffx.data import assign
from diffx.errors import DataError

from .config import CLASSES
from .pitch import midi_of

__all__ = ["Clip", "read_manifest"]


@dataclass(frozen=True)
class Clip:
    """One sound of a folder: where it lies, in words, as classes by field, its pitch as a MIDI number, its split."""

    path: Path
    caption: str = ""
    classes: dict[str, str] = field(default_factory=dict)
    midi: float | None = None
    split: str = "train"


def read_manifest(root: str | Path, fields: Sequence[str] = (), holdout: float = 0.1, seed: int = 0) -> list[Clip]:
    """The sounds that ``root/manifest.csv`` lists.

    Args:
        root: the folder; ``file`` in the manifest is relative to it.
        fields: columns that are classes; empty: label, speaker, instrument, dynamics and articulation, if there.
        holdout: share of the sounds that become "val" where the column ``split`` names no other than "train".
        seed: of that choice.

    Raises:
        DataError: no manifest, a manifest without the column ``file``, a field that it lacks, or a wrong pitch.
    """
    path = Path(root) / "manifest.csv"
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            columns, rows = list(reader.fieldnames or []), list(reader)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}") from None
    if "file" not in columns:
        raise DataError(f"{path}: no column 'file' (columns: {', '.join(columns) or 'none'})")
    if lacking := [name for name in fields if name not in columns]:
        raise DataError(f"{path}: no column {', '.join(lacking)} (columns: {', '.join(columns)})")
    if not rows:
        raise DataError(f"{path}: lists no sounds")
    told = {row.get("split") or "train" for row in rows}
    if told == {"train"}:
        for row in rows:
            row["split"] = ""
        assign(rows, holdout, seed, group="file")
    classes = tuple(fields) or tuple(name for name in CLASSES if name in columns)
    clips = []
    for line, row in enumerate(rows, 2):
        try:
            midi = midi_of(row["pitch"]) if row.get("pitch") else None
        except ValueError as error:
            raise DataError(f"{path}, line {line}: {error}") from None
        own = {name: row[name] for name in classes if row.get(name)}
        clips.append(Clip(Path(root) / row["file"], row.get("caption") or "", own, midi, row.get("split") or "train"))
    return clips
