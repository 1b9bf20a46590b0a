"""Find the T1-weighted scans of a BIDS folder, their brain masks and what is known of the participants."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from diffx.errors import DataError

_SEX = {"m": "M", "male": "M", "f": "F", "female": "F"}
_MISSING = {"", "n/a", "na", "nan", "none", "unknown", "other", "o"}
_IN_SCAN_SPACE = {"T1w", "orig", "native", "individual"}


@dataclass(frozen=True)
class Scan:
    """One T1w file. `age` in years, `sex` "M" or "F", `split` as participants.tsv has it; None where unknown."""

    subject: str
    session: str | None
    path: Path
    mask: Path | None = None
    mask_kind: str | None = None  # "mask" (voxels > 0.5) or "dseg" (labels > 0)
    age: float | None = None
    sex: str | None = None
    split: str | None = None


def find_scans(root: str | Path) -> tuple[list[Scan], list[str]]:
    """The T1w scans under a BIDS folder, one per subject and session, sorted, and one line per entry that was unusable.

    Of several scans of a session the first by name without contrast agent (`ce-`) counts. A mask is a
    `*_desc-brain*_mask` or `*_label-brain*_mask` of any derivative, in the scan's own space, else a `*_dseg` > 0.
    Raises DataError when the folder is missing or holds no T1w scan.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; data.root must be a BIDS folder")
    people, problems = participants(root / "participants.tsv")
    masks = _masks(root / "derivatives")
    scans = []
    for folder in sorted([*root.glob("sub-*/anat"), *root.glob("sub-*/ses-*/anat")]):
        files = sorted(p for p in folder.iterdir() if re.search(r"_T1w\.nii(\.gz)?$", p.name) and "_ce-" not in p.name)
        if not files:
            problems.append(f"{folder}: no *_T1w.nii or *_T1w.nii.gz without contrast agent")
            continue
        names = folder.relative_to(root).parts
        subject, session = names[0], names[1] if len(names) == 3 else None
        mask, kind = masks.get((subject, session), (None, None))
        scans.append(Scan(subject, session, files[0], mask, kind, **people.get(subject, {})))
    if not scans:
        raise DataError(f"{root}: no T1w scan found (looked for sub-*/[ses-*/]anat/*_T1w.nii[.gz])")
    return scans, problems


def participants(path: Path) -> tuple[dict[str, dict], list[str]]:
    if not path.is_file():
        return {}, [f"{path}: not there; age and sex are unknown"]
    people: dict[str, dict] = {}
    problems = []
    with open(path, newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            row = {
                (key or "").strip().lower(): (value or "").strip()
                for key, value in row.items()
                if isinstance(value, str)
            }
            name = row.get("participant_id", "")
            name = name if name.startswith("sub-") else f"sub-{name}"
            age, sex, split = row.get("age", ""), row.get("sex", row.get("gender", "")), row.get("split", "")
            known: dict = {"age": None, "sex": _SEX.get(sex.lower()), "split": None}
            if known["sex"] is None and sex.lower() not in _MISSING:
                problems.append(f"{path}: {name}: sex {sex!r} is not M or F; taken as unknown")
            if split.lower() not in _MISSING:
                known["split"] = split
            if age.lower() not in _MISSING:
                try:
                    known["age"] = float(age.rstrip("+Yy"))
                except ValueError:
                    problems.append(f"{path}: {name}: age {age!r} is not a number of years; taken as unknown")
            people[name] = known
    return people, problems


def _masks(derivatives: Path) -> dict[tuple[str, str | None], tuple[Path, str]]:
    found: dict[tuple[str, str | None], tuple[Path, str]] = {}
    if not derivatives.is_dir():
        return found
    for suffix, kind in (("dseg", "dseg"), ("mask", "mask")):  # a mask found later replaces a dseg
        for path in sorted(derivatives.rglob(f"sub-*_{suffix}.nii*")):
            space = re.search(r"_space-([A-Za-z0-9]+)_", path.name)
            if space and space[1] not in _IN_SCAN_SPACE:
                continue
            if kind == "mask" and not re.search(r"_(desc|label)-brain", path.name):
                continue
            subject = re.match(r"sub-[A-Za-z0-9]+", path.name)
            session = re.search(r"_(ses-[A-Za-z0-9]+)_", path.name)
            if subject:
                found[subject[0], session[1] if session else None] = (path, kind)
    return found
