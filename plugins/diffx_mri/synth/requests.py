"""Which scans a task is asked to work on: one file, or those of a BIDS folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffx.errors import DataError, UsageError

from ..bids import Scan, find_scans
from ..volume import Source, Volume, load, opened, resample
from .config import AGES, SynthConfig

_NAME = re.compile(r"\.nii(\.gz)?$")


@dataclass(frozen=True)
class Request:
    """One scan: `path`; `lesion` and `brain` masks where there are; `age` in years and `sex` where they are known;
    `folder` and `stem` of what is made of it, without the suffix T1w."""

    path: Path
    folder: Path
    stem: str
    lesion: Path | None = None
    brain: Path | None = None
    age: float | None = None
    sex: str | None = None


def requests(cfg: SynthConfig, lesions: bool, fail: Callable[[str, str], None]) -> list[Request]:
    """The scans of ``data.file`` or ``data.root``; `fail` is told of those that lack a lesion mask they need.

    In a BIDS folder a lesion mask is a ``*_label-lesion*_mask`` or ``*_desc-lesion*_mask`` of any derivative in the
    scan's space. Raises UsageError, DataError.
    """
    data = cfg.data
    if bool(data.file) == bool(data.root):
        raise UsageError("data.file= names one T1w scan, or data.root= a BIDS folder of them: give one of the two")
    if data.file:
        if lesions and not data.mask:
            raise UsageError("data.mask= names the mask of what is to be filled in data.file=")
        path = Path(data.file)
        stem = re.sub(r"_T1w$", "", _NAME.sub("", path.name))
        mask, brain = (Path(p) if p else None for p in (data.mask if lesions else None, data.brain))
        return [Request(path, Path(), stem, mask, brain, cfg.age, cfg.sex)]
    if data.mask or data.brain:
        raise UsageError("data.mask= and data.brain= go with data.file=; a BIDS folder has its own masks")
    scans, _ = find_scans(str(data.root))
    found = _lesions(Path(str(data.root)) / "derivatives") if lesions else {}
    chosen = []
    for scan in scans:
        lesion = found.get((scan.subject, scan.session))
        if lesions and lesion is None:
            fail(scan.path.name, "no *_label-lesion*_mask among the derivatives, in the scan's space")
            continue
        chosen.append(_of(scan, lesion, cfg))
    if not chosen:
        raise DataError(f"{data.root}: none of {len(scans)} scans has a lesion mask (*_label-lesion*_mask.nii.gz)")
    return chosen


def on_grid(source: Source, like: Volume) -> Volume:
    """A mask as 0 and 1 on the grid of a scan, nearest neighbour by world coordinates where grids differ.

    What is over 0.5 counts; of a file `*_dseg.nii*`, every label. Raises DataError, naming the file, when it is
    unreadable, or empty there.
    """
    stored, (_, name) = load(source), opened(source)
    binary = Volume((stored.data > (0 if re.search(r"_dseg\.nii", name) else 0.5)).astype(np.float32), stored.affine)
    same = stored.data.shape == like.data.shape and np.allclose(stored.affine, like.affine, atol=1e-3)
    mask = binary if same else resample(binary, like.affine, like.data.shape, 0)
    if not mask.data.any():
        raise DataError(f"{name}: the mask is empty on the scan's grid")
    return mask


def _of(scan: Scan, lesion: Path | None, cfg: SynthConfig) -> Request:
    folder = Path(*filter(None, (scan.subject, scan.session)), "anat")
    stem = re.sub(r"_T1w$", "", _NAME.sub("", scan.path.name))
    age = cfg.age if cfg.age is not None else scan.age
    age = age if age is not None and AGES[0] <= age <= AGES[1] else None  # the prior knows no others
    return Request(scan.path, folder, stem, lesion, scan.mask, age, cfg.sex or scan.sex)


def _lesions(derivatives: Path) -> dict[tuple[str, str | None], Path]:
    found: dict[tuple[str, str | None], Path] = {}
    for path in sorted(derivatives.rglob("sub-*_mask.nii*")) if derivatives.is_dir() else ():
        space = re.search(r"_space-([A-Za-z0-9]+)_", path.name)
        if not re.search(r"_(label|desc)-[lL]esion", path.name):
            continue
        if space and space[1] not in ("T1w", "orig", "native", "individual"):
            continue
        subject = re.match(r"sub-[A-Za-z0-9]+", path.name)
        session = re.search(r"_(ses-[A-Za-z0-9]+)_", path.name)
        if subject:
            found[subject[0], session[1] if session else None] = path
    return found
