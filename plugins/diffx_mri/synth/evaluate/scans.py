"""Real scans as the evaluation sees them: masked, scaled, in the pose of a codec, on the grid that is synthesised."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from diffx.data import cache_key
from diffx.errors import DataError
from diffx.io.files import atomic

from ...align import Brain, prepare, read_mask
from ...bids import Scan, find_scans
from ...brain_extraction import extract_brain
from ...codec import BrainCodec
from ...geometry import Geometry
from ...overlay import settled
from ...volume import Volume, load, resample
from ..segmentation.kept import to_bytes
from ..segmentation.tissues import read_tissues, region_maps

FORMAT = "posed-1"
_CHUNK = 8
_ENOUGH = 1.25  # times as large a voxel still shows nearly all


@dataclass(frozen=True)
class Posed:
    """Brains on the canvas. `scans`: what is known of each. `images` uint8 [N, X, Y, Z], 170 is 1.0 (the 99th
    percentile of a brain), 0 is background. `tissues` uint8 [N, X, Y, Z], classes of `tissues.CLASSES`; an entry of
    `labelled` is false where there is no region map. `affine`: index to RAS+ mm, of all.
    """

    scans: list[Scan]
    images: np.ndarray
    tissues: np.ndarray
    labelled: np.ndarray
    affine: np.ndarray

    def __len__(self) -> int:
        return len(self.scans)

    def __getitem__(self, index: list[int]) -> Posed:
        """Those of the given numbers."""
        return Posed(
            [self.scans[i] for i in index],
            self.images[index],
            self.tissues[index],
            self.labelled[index],
            self.affine,
        )


def read_posed(
    root: str | Path,
    codec: BrainCodec,
    cache: Path,
    fail: Callable[[str, str], None] = lambda item, reason: None,
    progress: Callable[..., Any] = lambda items, label, unit: items,
    log: Callable[[str], None] = lambda text: None,
    flag: Callable[[str], None] = lambda text: None,
    spacing: float | None = None,
) -> Posed:
    """Every T1w scan of a BIDS folder in the codec's rigid pose; about 1.5 s a scan on one core, once: kept in `cache`.

    On voxels of `spacing` mm where that is given and finer than the codec's; scans whose voxels are larger by a quarter
    then cannot be used.
    `fail(item, reason)` is told of scans that cannot be used, the rest goes on; `log` of what participants.tsv does not
    tell, `flag` of masks and maps whose header disagrees with the scan's; `progress` is a bar, as `Run.progress`.
    Raises DataError where the folder holds no scan, or none that can be used.
    """
    scans, problems = find_scans(root)
    for problem in problems:
        log(problem)
    maps, table = region_maps(root, scans)
    pose, geometry = codec.pose_digest, codec.geometry
    if spacing is not None and spacing != geometry.spacing:
        pose, geometry = f"{pose}-{spacing:g}", geometry.finer(spacing)
    files = {_name(s): cache / f"{_name(s)}-{_key(s, maps.get((s.subject, s.session)), pose)}.npz" for s in scans}
    todo = [scan for scan in scans if _read(files[_name(scan)]) is None]
    chunks = [todo[first : first + _CHUNK] for first in range(0, len(todo), _CHUNK)]
    for chunk in progress(chunks, "posing scans", unit="chunk") if chunks else ():
        brains, tissues, kept = [], [], []
        for scan in chunk:
            try:
                image, mask = _masked(scan, codec, flag)
                brain = fine = prepare(image, mask, codec.geometry)
                if geometry is not codec.geometry:
                    _check_detail(image, geometry)
                    fine = prepare(image, mask, geometry)
                regions = maps.get((scan.subject, scan.session))
                labels = read_tissues(regions, table) if regions and table is not None else None
                if labels is not None:
                    labels = settled(labels, load(scan.path), str(regions), flag)
            except DataError as error:
                fail(_name(scan), str(error))
                continue
            brains.append((brain, replace(fine, shift=brain.shift)))
            tissues.append(labels)
            kept.append(scan)
        _pose(codec, brains, geometry, tissues, [files[_name(scan)] for scan in kept])
    found = [(scan, entry) for scan in scans if (entry := _read(files[_name(scan)])) is not None]
    if not found:
        raise DataError(f"{root}: none of {len(scans)} scans could be used")
    entries = [entry for _, entry in found]
    return Posed(
        [scan for scan, _ in found],
        np.stack([entry["image"] for entry in entries]),
        np.stack([entry["tissues"] for entry in entries]),
        np.array([bool(entry["labelled"]) for entry in entries]),
        geometry.affine(geometry.canvas),
    )


def prepared(scan: Scan, codec: BrainCodec) -> Brain:
    """A scan masked by its mask derivative, else by the codec's atlas, and scaled. Raises DataError."""
    return prepare(*_masked(scan, codec, lambda text: None), codec.geometry)


def _masked(scan: Scan, codec: BrainCodec, say: Callable[[str], None]) -> tuple[Volume, Volume]:
    """A scan and its brain mask; `say` is told of one whose header disagrees with the scan's. Raises DataError."""
    image = load(scan.path)
    return image, read_mask(scan, image, say) or extract_brain(image, codec)


def _check_detail(image: Volume, geometry: Geometry) -> None:
    """DataError where a scan's voxels are too large to show what those of the geometry do."""
    widest = float(max(image.spacing))
    if widest > _ENOUGH * geometry.spacing:
        raise DataError(f"its voxels of {widest:.3g} mm are too large: detail of {geometry.spacing:g} mm is asked for")


def _pose(
    codec: BrainCodec, brains: list[tuple[Brain, Brain]], geometry: Geometry, tissues: list[Volume | None],
    files: list[Path],
) -> None:  # fmt: skip
    """Keep brains on the canvas of `geometry`: each as the codec has it, which is registered, and as it is kept."""
    if not brains:
        return
    poses, _, _ = codec.pose([coarse for coarse, _ in brains])
    for (_, brain), classes, pose, file in zip(brains, tissues, poses, files, strict=True):
        image = to_bytes(brain.canvas(geometry, pose, 3))
        to_scan = pose.copy()
        to_scan[:3, 3] += brain.shift
        grid = to_scan @ geometry.affine(geometry.canvas)
        labels = np.zeros(geometry.canvas) if classes is None else resample(classes, grid, geometry.canvas, 0).data
        with atomic(file) as part, open(part, "wb") as handle:
            np.savez_compressed(
                handle, image=image, tissues=labels.astype(np.uint8), labelled=np.array(classes is not None)
            )


def _read(path: Path) -> dict[str, np.ndarray] | None:
    """What was kept; None where it is not there or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in ("image", "tissues", "labelled")}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def _name(scan: Scan) -> str:
    return scan.subject if scan.session is None else f"{scan.subject}_{scan.session}"


def _key(scan: Scan, regions: Path | None, pose: str) -> str:
    """Changes with the files and with the pose, not with what participants.tsv says."""
    return cache_key(FORMAT, pose, files=(scan.path, scan.mask, regions))
