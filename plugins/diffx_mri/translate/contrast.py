"""What contrasts are called, and which files of a BIDS folder hold them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from diffx.errors import DataError, UsageError

_OTHER_NAMES = {"T1": "T1w", "T2": "T2w", "PD": "PDw", "T2*": "T2starw", "T2STAR": "T2starw"}
_AFTER_CONTRAST = {"T1CE", "T1C", "T1GD", "T1POST", "CE-GD_T1W"}
Session = tuple[str, str | None]  # subject and session, as "sub-01", "ses-1"


@dataclass(frozen=True)
class Contrast:
    """An imaging contrast. ``suffix``: its BIDS suffix; ``enhanced``: after a contrast agent (entity ``ce-``)."""

    name: str
    suffix: str
    enhanced: bool = False

    @classmethod
    def of(cls, name: str) -> Contrast:
        """From what people write: FLAIR, T1 or T1w, T1ce, T1c or T1Gd, T2, or any BIDS suffix. Raises UsageError."""
        word = name.strip()
        if word.upper() in _AFTER_CONTRAST:
            return cls("T1ce", "T1w", True)
        word = _OTHER_NAMES.get(word.upper(), word)
        if not word.isalnum():
            raise UsageError(f"{name!r} is no contrast: FLAIR, T1w, T1ce, T2w, PDw or another BIDS suffix")
        known = {suffix.upper(): suffix for suffix in ("FLAIR", "T1w", "T2w", "PDw", "T2starw")}
        word = known.get(word.upper(), word)
        return cls(word, word)

    @property
    def entities(self) -> str:
        """What a file name says before the suffix: "ce-GD_" or nothing."""
        return "ce-GD_" if self.enhanced else ""


def find_contrast(root: str | Path, contrast: Contrast) -> dict[Session, Path]:
    """The scans of a contrast, the first by name of each session. Raises DataError where the folder is missing."""
    found: dict[Session, Path] = {}
    for session, folder in sessions(root).items():
        files = sorted(path for path in folder.iterdir() if is_contrast(path, contrast))
        if files:
            found[session] = files[0]
    return found


def is_contrast(path: Path, contrast: Contrast) -> bool:
    """Whether a file's name says that it is of that contrast."""
    named = re.search(rf"_{contrast.suffix}\.nii(\.gz)?$", path.name)
    return named is not None and ("_ce-" in path.name) == contrast.enhanced


def sessions(root: str | Path) -> dict[Session, Path]:
    """The ``anat`` folder of each subject and session, in order. Raises DataError where there is none."""
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; data.root must be a BIDS folder")
    folders = sorted([*root.glob("sub-*/anat"), *root.glob("sub-*/ses-*/anat")])
    if not folders:
        raise DataError(f"{root}: not a BIDS folder: it holds no sub-*/[ses-*/]anat")
    parts = [folder.relative_to(root).parts for folder in folders]
    return {(p[0], p[1] if len(p) == 3 else None): folder for p, folder in zip(parts, folders, strict=True)}


def contrasts_in(root: str | Path) -> list[str]:
    """The names of the contrasts that a BIDS folder holds."""
    names = set()
    for folder in sessions(root).values():
        for path in folder.iterdir():
            if suffix := re.search(r"_([A-Za-z0-9]+)\.nii(\.gz)?$", path.name):
                enhanced = "_ce-" in path.name
                names.add("T1ce" if enhanced and suffix[1] == "T1w" else f"ce {suffix[1]}" if enhanced else suffix[1])
    return sorted(names)
