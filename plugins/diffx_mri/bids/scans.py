"""The scans of one contrast in a BIDS folder, what is known of the people, and the masks that belong to each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from diffx.errors import DataError

from .name import Name
from .people import Session, known
from .tables import Said
from .tree import derived, images, in_scan_space, sessions

Found = tuple[Path, Name]


@dataclass(frozen=True)
class Scan:
    """One scan. `age` in years, `sex` "M" or "F", `split` as participants.tsv has it; None where unknown."""

    subject: str
    session: str | None
    path: Path
    mask: Path | None = None
    mask_kind: str | None = None  # "mask" (voxels > 0.5) or "dseg" (labels > 0)
    age: float | None = None
    sex: str | None = None
    split: str | None = None


def find_scans(root: str | Path, suffix: str = "T1w") -> tuple[list[Scan], list[str]]:
    """The T1w scans, or those of another suffix, under a BIDS folder, one per subject and session, sorted, and one line
    per entry that was unusable.

    Of several scans of a session the first by name without contrast agent (`ce-`) counts. Its mask is the
    `desc-brain` or `label-brain` `_mask` of any derivative that belongs to it (`belonging`), else such a `_dseg`, > 0.
    Raises DataError when the folder is missing or holds no such scan.
    """
    folders, said = sessions(root), Said()
    people, problems = known(root, folders)
    masks = derived(root, ("mask", "dseg"))
    scans = []
    choices = Choices()
    for session, folder in folders.items():
        files, others = images(session, folder, partial(_of_suffix, suffix))
        for line in others:
            said.add(line, "named for another")
        plain = [item for item in files if item[1].get("ce") is None]
        if not plain:
            said.add(f"{folder}: no *_{suffix}.nii or *_{suffix}.nii.gz without contrast agent", f"no {suffix}")
            continue
        mask = belonging(masks.get(session, []), plain[0], files, is_brain_mask, choices) or belonging(
            masks.get(session, []), plain[0], files, is_segmentation, choices
        )
        for path, name in () if mask else masks.get(session, []):
            if name.suffix == "mask" and name.get("label") is None and name.get("desc") is None:
                said.add(f"{path}: not called a brain mask (desc-brain_mask), so not taken for one", "unnamed mask")
        kind = Name.parse(mask).suffix if mask else None
        scans.append(Scan(*session, plain[0][0], mask, kind, **people[session]))
    if not scans:
        raise DataError(f"{root}: no {suffix} scan found (looked for sub-*/[ses-*/]anat/*_{suffix}.nii[.gz])")
    return scans, [*problems, *said.lines(), *choices.lines()]


def find_lesions(root: str | Path, scans: Iterable[Scan]) -> tuple[dict[Session, Path], list[str]]:
    """The lesion mask of each scan that has one (`label-` or `desc-lesion*`, `_mask` or `_roi`), and a line where
    there were several."""
    choices = Choices()
    return _of_each(scans, derived(root, ("mask", "roi")), is_lesion_mask, choices), choices.lines()


def find_segmentations(root: str | Path, scans: Iterable[Scan], within: Path) -> dict[Session, Path]:
    """The `_dseg` of each scan that has one in a folder of derivatives."""
    every = derived(root, ("dseg",)).items()
    inside = {session: [item for item in some if within in item[0].parents] for session, some in every}
    return _of_each(scans, inside, is_segmentation, Choices())


def _of_each(
    scans: Iterable[Scan], masks: Mapping[Session, list[Found]], fits: Callable[[Name], bool], choices: Choices
) -> dict[Session, Path]:
    found = {}
    for scan in scans:
        session, own = (scan.subject, scan.session), Name.parse(scan.path)
        files, _ = images(session, scan.path.parent, partial(_of_suffix, own.suffix))
        mask = belonging(masks.get(session, []), (scan.path, own), files, fits, choices)
        if mask:
            found[session] = mask
    return found


def _of_suffix(suffix: str, name: Name) -> bool:
    return name.suffix == suffix


def is_brain_mask(name: Name) -> bool:
    """`desc-brain_mask` or `label-brain_mask`; not brainstem, nor one hemisphere."""
    label, desc = ((name.get(key) or "").lower() for key in ("label", "desc"))
    named = label == "brain" or (desc == "brain" and not label)
    return name.suffix == "mask" and named and name.get("hemi") is None


def is_segmentation(name: Name) -> bool:
    """A `_dseg` of the whole brain, as far as its name tells: not of one label or one hemisphere."""
    return name.suffix == "dseg" and name.get("label") is None and name.get("hemi") is None


def is_lesion_mask(name: Name) -> bool:
    """`label-lesion` or `desc-lesion`, with more behind it or not."""
    return any((name.get(key) or "").lower().startswith("lesion") for key in ("label", "desc"))


def belonging(
    masks: Iterable[Found], scan: Found, scans: Iterable[Found], fits: Callable[[Name], bool], choices: Choices
) -> Path | None:
    """The mask of a scan among those of its session: one with the scan's acq, run, rec, ... or, where the session has
    no other scan of its kind, one that leaves some of them out. Of several the plainest name, then the first."""
    told = scan[1].scan(scan[1].suffix)
    alone = len({name.scan(name.suffix) for _, name in scans}) <= 1
    fitting = [(path, name) for path, name in masks if fits(name) and in_scan_space(name, scan[1])]
    own = [item for item in fitting if item[1].scan(scan[1].suffix) == told]
    if not own and alone:
        own = [item for item in fitting if all(a <= b for a, b in zip(item[1].scan(scan[1].suffix), told, strict=True))]
    if not own:
        return None
    best = min(own, key=lambda item: (len(item[1].entities), own.index(item)))
    choices.add(best[0], [path for path, _ in own if path is not best[0]])
    return best[0]


class Choices:
    """Of several masks that fit one was taken: said once for each pair of folders."""

    def __init__(self) -> None:
        self._taken: Counter[tuple[str, str]] = Counter()
        self._example: dict[tuple[str, str], Mapping[str, Path]] = {}

    def add(self, taken: Path, others: Iterable[Path]) -> None:
        for other in others:
            kinds = _kind(taken), _kind(other)
            self._taken[kinds] += 1
            self._example.setdefault(kinds, {"taken": taken, "other": other})

    def lines(self) -> list[str]:
        return [
            f"{count} scans have several masks: {pair['taken']} was taken, not {pair['other']}"
            for kinds, count in self._taken.items()
            for pair in [self._example[kinds]]
        ]


def _kind(path: Path) -> str:
    """Where a mask comes from and what it is, without whose it is."""
    return re.sub(r"(sub|ses)-[A-Za-z0-9]+", r"\1", str(path))
