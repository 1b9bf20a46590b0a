"""Which scans a task is asked to work on: one file, or those of a BIDS folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from diffx.errors import DataError

from ..bids import Scan, find_lesions, find_scans
from .config import AGES, SynthConfig
from .inputs import check_restoring


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


def requests(
    cfg: SynthConfig, lesions: bool, fail: Callable[[str, str], None], log: Callable[[str], None] = lambda text: None
) -> list[Request]:
    """The scans of ``data.file`` or ``data.root``; `fail` is told of those that lack a lesion mask they need, `log` of
    what else a folder does not tell.

    In a BIDS folder a lesion mask is a ``label-lesion*`` or ``desc-lesion*``, ``_mask`` or ``_roi``, of any derivative,
    that belongs to the scan. Raises UsageError, DataError.
    """
    data = cfg.data
    check_restoring(cfg, lesions)
    if data.file:
        path = Path(data.file)
        mask, brain = (Path(p) if p else None for p in (data.mask if lesions else None, data.brain))
        return [Request(path, Path(), _stem(path), mask, brain, cfg.age, cfg.sex)]
    scans, problems = find_scans(str(data.root))
    found, several = find_lesions(str(data.root), scans) if lesions else ({}, [])
    for problem in (*problems, *several):
        log(problem)
    chosen = []
    for scan in scans:
        lesion = found.get((scan.subject, scan.session))
        if lesions and lesion is None:
            fail(scan.path.name, "no *_label-lesion*_mask among the derivatives, in the scan's space")
            continue
        chosen.append(_of(scan, lesion, cfg, log))
    if not chosen:
        raise DataError(f"{data.root}: none of {len(scans)} scans has a lesion mask (*_label-lesion*_mask.nii.gz)")
    return chosen


def _of(scan: Scan, lesion: Path | None, cfg: SynthConfig, log: Callable[[str], None]) -> Request:
    folder = Path(*filter(None, (scan.subject, scan.session)), "anat")
    age = cfg.age if cfg.age is not None else scan.age
    if age is not None and not AGES[0] <= age <= AGES[1]:  # the prior knows no others
        log(f"{scan.path.name}: age {age:g} is outside {AGES[0]} to {AGES[1]} years; taken as unknown")
        age = None
    return Request(scan.path, folder, _stem(scan.path), lesion, scan.mask, age, cfg.sex or scan.sex)


def _stem(path: Path) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", path.name).removesuffix("_T1w")
