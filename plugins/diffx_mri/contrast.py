"""What contrasts are called, and which files of a BIDS folder hold them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from diffx.errors import UsageError

from .bids import Name, Session, images, sessions

_OTHER_NAMES = {"T1": "T1w", "T2": "T2w", "PD": "PDw", "T2*": "T2starw", "T2STAR": "T2starw"}
_AFTER_CONTRAST = {"T1CE", "T1C", "T1GD", "T1POST", "CE-GD_T1W"}


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

    def names(self, name: Name) -> bool:
        """Whether a file of that name is of this contrast."""
        return name.suffix == self.suffix and (name.get("ce") is not None) == self.enhanced


def check_known(source: str, target: str, known: Sequence[str]) -> tuple[str, str]:
    """The names of two contrasts as weights know them. UsageError where they do not, or where both are one."""
    names = Contrast.of(source).name, Contrast.of(target).name
    for name in names:
        if name not in known:
            raise UsageError(f"these weights know {', '.join(known)}, not {name}; train on {name} for it")
    if names[0] == names[1]:
        raise UsageError(f"source and target are both {names[0]}")
    return names


def find_contrast(
    root: str | Path, contrast: Contrast, log: Callable[[str], None] = lambda text: None
) -> dict[Session, Path]:
    """The scans of a contrast, the first by name of each session; `log` is told of files named for somebody else.

    Raises DataError where the folder is missing.
    """
    found: dict[Session, Path] = {}
    for session, folder in sessions(root).items():
        files, problems = images(session, folder, contrast.names)
        for problem in problems:
            log(problem)
        if files:
            found[session] = files[0][0]
    return found


def contrasts_in(root: str | Path) -> list[str]:
    """The names of the contrasts that a BIDS folder holds."""
    names = set()
    for session, folder in sessions(root).items():
        for _, name in images(session, folder, lambda name: bool(name.suffix))[0]:
            enhanced = name.get("ce") is not None
            names.add("T1ce" if enhanced and name.suffix == "T1w" else f"ce {name.suffix}" if enhanced else name.suffix)
    return sorted(names)
