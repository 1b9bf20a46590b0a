"""A BIDS folder as one file of slices: read once, small enough to be carried to another machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffx.data import is_held_out
from diffx.data.packed import pack_arrays, read_arrays
from diffx.errors import DataError, UsageError

from ..bids import Name, derived, in_scan_space, is_lesion_mask, known, sessions, stated_licence
from ..contrast import Contrast, find_contrast
from ..slices import SliceGrid
from ..volume import Volume, load, resample
from .intensity import LEVELS, STEPS, normalise

FORMAT = "slices 2"


@dataclass
class Slices:
    """Scans of several contrasts on one grid.

    ``images``: of each contrast uint8 [N, size, size], ``STEPS`` to one unit of normalised intensity, all scans one
    after the other, 0 where a scan lacks the contrast. ``rows``: per scan subject, session, split, first and count (of
    its slices), thickness (mm), has (contrasts), low and high (first and last slice with head), lesion (the slice with
    the largest lesion, None where no mask is known). ``quantiles``: of each contrast [101], over heads of "train".
    ``failed``: sessions that could not be used, and why.
    """

    images: Mapping[str, torch.Tensor]
    quantiles: Mapping[str, np.ndarray]
    rows: list[dict[str, Any]]
    grid: SliceGrid
    licence: str = ""
    failed: list[list[str]] = field(default_factory=list)

    @property
    def contrasts(self) -> list[str]:
        return list(self.images)

    def select(self, split: str) -> list[dict[str, Any]]:
        """The scans of "train" (train, or not told) or "val" (everything else: val, test, dev, holdout, ...)."""
        return [row for row in self.rows if is_held_out(row["split"]) == (split != "train")]

    def scan(self, row: Mapping[str, Any], contrast: str) -> np.ndarray:
        """Normalised slices [Z, size, size], float32."""
        part = self.images[contrast][row["first"] : row["first"] + row["count"]]
        return part.numpy().astype(np.float32) / STEPS


def pack(
    root: str | Path,
    file: str | Path,
    contrasts: list[str],
    grid: SliceGrid,
    log: Callable[[str], None] = print,
    fail: Callable[[str, str], None] = lambda item, reason: None,
) -> Path:
    """Write the slices of every session that has at least two of the contrasts. Scans that are unusable are told to
    ``fail(item, reason)`` and left out.

    Raises:
        DataError: no folder, or no session with two of the contrasts.
        UsageError: fewer than two contrasts.
    """
    kinds = [Contrast.of(name) for name in contrasts]
    if len({kind.name for kind in kinds}) < 2:
        raise UsageError("data.contrasts: translation takes at least two different contrasts")
    folders = sessions(root)
    people, problems = known(root, folders)
    for problem in problems:
        log(problem)
    lesions = derived(root, ("mask", "roi"))
    found = {kind.name: find_contrast(root, kind, log) for kind in kinds}
    rows: list[dict[str, Any]] = []
    failed: list[list[str]] = []
    images: dict[str, list[np.ndarray]] = {kind.name: [] for kind in kinds}
    shares: dict[str, list[np.ndarray]] = {kind.name: [] for kind in kinds}
    for session in folders:
        files = {name: paths[session] for name, paths in found.items() if session in paths}
        split = people[session]["split"]
        try:
            read = dict(_read(files, grid))
        except DataError as error:
            failed.append(["_".join(filter(None, session)), str(error)])
            fail(*failed[-1])
            continue
        if len(read) < 2:
            continue
        first = next(iter(read.values()))
        filled = np.flatnonzero(np.any([one.mask.any((1, 2)) for one in read.values()], axis=0))
        rows.append(
            {
                "subject": session[0],
                "session": session[1],
                "split": split,
                "first": sum(row["count"] for row in rows),
                "count": len(first.slices),
                "thickness": first.thickness,
                "has": list(read),
                "low": int(filled[0]),
                "high": int(filled[-1]),
                "lesion": _largest_lesion(lesions.get(session, []), len(first.slices)),
            }
        )
        for name in images:
            one = read[name].slices if name in read else np.zeros_like(first.slices)
            images[name].append(np.clip(np.rint(one * STEPS), 0, 255).astype(np.uint8))
            if name in read and not is_held_out(split):
                shares[name].append(np.percentile(one[read[name].mask], LEVELS))
    if not rows:
        raise DataError(f"{root}: no session has two of the contrasts {', '.join(images)}")
    log(f"{len(rows)} sessions with {' and '.join(images)}, {rows[-1]['first'] + rows[-1]['count']} slices")
    tensors = {f"images.{name}": torch.from_numpy(np.concatenate(parts)) for name, parts in images.items()}
    for name, parts in shares.items():
        tensors[f"quantiles.{name}"] = torch.from_numpy(np.mean(parts, 0) if parts else np.zeros(len(LEVELS)))
    about = {"grid": grid.__dict__, "rows": rows, "contrasts": list(images), "licence": stated_licence(root)}
    about["failed"] = failed
    return pack_arrays(file, FORMAT, tensors, about)


def read_slices(file: str | Path) -> Slices:
    """What :func:`pack` wrote. Raises DataError when the file is missing, damaged or something else."""
    found = read_arrays(file, FORMAT)
    about, arrays = found.index, found.arrays
    images = {name: arrays[f"images.{name}"] for name in about["contrasts"]}
    quantiles = {name: arrays[f"quantiles.{name}"].numpy() for name in about["contrasts"]}
    rest = about["rows"], SliceGrid(**about["grid"]), about["licence"], about.get("failed", [])
    return Slices(images, quantiles, *rest)


@dataclass(frozen=True)
class _Read:
    slices: np.ndarray
    mask: np.ndarray
    thickness: float


def _read(files: Mapping[str, Path], grid: SliceGrid) -> Iterator[tuple[str, _Read]]:
    """Each contrast of a session, normalised, on the slices of the first."""
    frame: Volume | None = None
    for name, path in files.items():
        scan = load(path)
        frame = frame or scan
        slices, mask, _ = normalise(grid.slices(on_grid_of(scan, frame)))
        yield name, _Read(slices, mask, float(frame.spacing[2]))


def on_grid_of(scan: Volume, frame: Volume) -> Volume:
    """The scan on another's voxels, by the world coordinates of both headers; itself where they agree."""
    if scan.data.shape == frame.data.shape and np.allclose(scan.affine, frame.affine, atol=1e-3):
        return scan
    return resample(scan, frame.affine, frame.data.shape)


def _largest_lesion(masks: Iterable[tuple[Path, Name]], count: int) -> int | None:
    """The slice with most of the first lesion mask that can be read; None where its slices are not the scan's."""
    for path in (path for path, name in masks if is_lesion_mask(name) and in_scan_space(name)):
        try:
            area = load(path).data.sum((0, 1))
        except DataError:  # no lesion: all voxels alike
            continue
        return int(area.argmax()) if len(area) == count else None
    return None
