"""Where the images of a BIDS folder lie."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from diffx.errors import DataError
from diffx.io.home import expanded

from .name import Name, natural
from .people import Session
from .tables import UNFETCHED, absent, pointer

IN_SCAN_SPACE = {"T1w", "orig", "native", "individual"}
_NIFTI = (".nii", ".nii.gz")
_PHASES = {"phase", "real", "imag"}


def check_file(path: str | Path) -> None:
    """Raises DataError where there is no file, or none with anything in it: a link of git-annex whose content has not
    been fetched, the pointer of an unlocked one or of Git LFS, a folder, nothing at all."""
    path = expanded(path)
    if path.is_dir():
        raise DataError(f"{path}: a folder, where a file is expected")
    if not path.is_file():
        raise DataError(f"{path}: {absent(path) if path.is_symlink() else 'no such file'}")
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise DataError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    if not start or pointer(start):
        raise DataError(f"{path}: {UNFETCHED if start else 'the file is empty'}")


def check_folder(root: str | Path) -> None:
    """Raises DataError where there is no folder, or none with subjects in it. Reads no more of it than that takes."""
    next(_anat_folders(expanded(root)))


def sessions(root: str | Path) -> dict[Session, Path]:
    """The ``anat`` folder of each subject and session, in order. Raises DataError where there is none."""
    root = expanded(root)
    found = sorted(_anat_folders(root))
    parts = [folder.relative_to(root).parts for folder in found]
    return {(p[0], p[1] if len(p) == 3 else None): folder for p, folder in zip(parts, found, strict=True)}


def _anat_folders(root: Path) -> Iterator[Path]:
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; data.root must be a BIDS folder")
    some = False
    for pattern in ("sub-*/anat", "sub-*/ses-*/anat"):
        for folder in root.glob(pattern):
            if folder.is_dir():
                some = True
                yield folder
    if not some:
        inside = sorted(p.parent.name for p in root.glob("*/sub-*") if p.is_dir())
        hint = f"; did you mean {root / inside[0]}?" if inside else ""
        raise DataError(f"{root}: not a BIDS folder: no T1w scan or other image in sub-*/[ses-*/]anat{hint}")


def images(session: Session, folder: Path, fits: Callable[[Name], bool]) -> tuple[list[tuple[Path, Name]], list[str]]:
    """The NIfTI files of an ``anat`` folder that fit, in order (run-2 before run-10), those in a template's space last;
    and a line for each that is named for somebody else, or for the folder where it cannot be read.

    Phases are no images here.
    """
    found, problems = [], []
    try:
        paths = sorted(folder.iterdir(), key=lambda path: natural(path.name))
    except OSError as error:
        return [], [f"{folder}: {(error.strerror or str(error)).lower()}"]
    for path in paths:
        name = Name.parse(path)
        if path.name.startswith(".") or name.extension not in _NIFTI or not fits(name):
            continue
        if name.get("part") in _PHASES:
            continue
        if whose(path.relative_to(folder), name, session) != session:
            problems.append(f"{path}: named for another subject or session than its folder; left out")
            continue
        found.append((path, name))
    return sorted(found, key=lambda item: not in_scan_space(item[1])), problems


def whose(path: Path, name: Name, folders: Session) -> Session:
    """Subject and session by a file's name, and where it tells none, by the folders it lies in."""
    told = []
    for key, folder in zip(("sub", "ses"), folders, strict=True):
        own = f"{key}-{name.get(key)}" if name.get(key) else None
        told.append(folder if own is None or (folder and f"_{folder}_" in f"_{path.name}") else own)
    return told[0] or "", told[1]


def in_scan_space(name: Name, scan: Name | None = None) -> bool:
    """Whether a name claims no other space than the scanner's own; or than `scan`, which may lie in a template's."""
    space, own = name.get("space"), scan.get("space") if scan else None
    if own is not None and own not in IN_SCAN_SPACE:
        return space == own
    return space is None or space in IN_SCAN_SPACE


def derived(root: str | Path, suffixes: Iterable[str]) -> dict[Session, list[tuple[Path, Name]]]:
    """The NIfTI files of these suffixes in ``derivatives/`` and beside the scans that are about the anatomy, by subject
    and session, in order.

    What lies in ``func``, ``dwi`` or another folder of a subject than ``anat`` is about another image, and is not even
    looked at: a tree of fMRIPrep holds hundreds of files a subject.
    """
    root, wanted = expanded(root), set(suffixes)
    found: dict[Session, list[tuple[Path, Name]]] = {}
    for path in (*_walk(root / "derivatives"), *_beside(root)):
        name = Name.parse(path)
        if name.suffix in wanted and name.extension in _NIFTI and name.get("sub"):
            inside = path.relative_to(root).parts[:-1]
            subject, session = (next((p for p in inside if p.startswith(key)), None) for key in ("sub-", "ses-"))
            found.setdefault(whose(path, name, (subject or "", session)), []).append((path, name))
    for some in found.values():
        some.sort(key=lambda item: natural(item[0]))
    return found


def _walk(top: Path) -> Iterator[Path]:
    seen: set[str] = set()
    for folder, inside, files in os.walk(top, followlinks=True):  # a pipeline's folder is often a link to another disk
        real = os.path.realpath(folder)
        if real in seen:
            inside.clear()
            continue
        seen.add(real)
        parts = Path(folder).relative_to(top).parts
        if any(part.startswith("sub-") for part in parts):
            inside[:] = [n for n in inside if parts[-1] != "anat" and (n == "anat" or n.startswith("ses-"))]
        else:
            inside[:] = [n for n in inside if n not in _OTHER_IMAGES and not n.startswith(".")]
        yield from (Path(folder, name) for name in files if name.startswith("sub-"))


_OTHER_IMAGES = {
    "func", "dwi", "fmap", "perf", "pet", "meg", "eeg", "ieeg", "beh", "micr", "nirs", "motion", "mrs", "figures",
}  # fmt: skip


def _beside(root: Path) -> Iterator[Path]:
    for folder in _anat_folders(root):
        try:
            yield from (path for path in folder.iterdir() if path.name.startswith("sub-"))
        except OSError:
            continue  # said where the scans are looked for


def stated_licence(root: str | Path) -> str:
    """The licence that a folder's dataset_description.json states; "" where it states none."""
    try:
        path = expanded(root) / "dataset_description.json"
        stated = json.loads(path.read_text(encoding="utf-8-sig"))["License"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return re.sub(r"\s+", " ", str(stated)).strip()
