"""A BIDS folder of one contrast as one file of slices: read once, small enough to be carried to another machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffx.data import is_held_out
from diffx.data.packed import pack_arrays, read_arrays
from diffx.errors import DataError

from ..bids import Name, derived, in_scan_space, is_lesion_mask, known, sessions, stated_licence
from ..bids.scans import is_brain_mask, is_segmentation
from ..contrast import Contrast, find_contrast
from ..overlay import on_grid
from ..volume import Volume, load
from .stack import Stack
from .strip import compact, depth_of, rough_brain

FORMAT = "healthy slices 2"
STEPS = 64  # uint8 grey levels to one unit of intensity
_SMALLEST = 500  # pixels of head that a slice to learn from shows; of a brain without skull a quarter


@dataclass
class Slices:
    """Scans of one contrast, one after the other, normalised as a :class:`Stack` is.

    Args:
        images: uint8 [N, 128, 128], 64 to one unit.
        brain: uint8 [N, 128, 128], 1 in the brain, as far as it is known or can be told.
        rows: per scan subject, session, split, first and count (of its slices), thickness (mm), stripped, healthy (the
            numbers of its slices away from any lesion mask, counted within the scan), whole (those among them whose
            brain is known well enough to take the skull off).
        contrast: "FLAIR" or "T1w".
        licence: of the data.
        failed: sessions that could not be used, and why.
    """

    images: torch.Tensor
    brain: torch.Tensor
    rows: list[dict[str, Any]]
    contrast: str
    licence: str = ""
    failed: list[list[str]] = field(default_factory=list)

    def select(self, split: str) -> list[dict[str, Any]]:
        """The scans of "train" (train, or not told) or "val" (everything else: val, test, dev, holdout, ...)."""
        return [row for row in self.rows if is_held_out(row["split"]) == (split != "train")]

    def stored(self, row: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """Intensity and brain of a scan as they are kept, uint8 [Z, 128, 128], ``STEPS`` to one unit of intensity."""
        part = slice(row["first"], row["first"] + row["count"])
        return self.images[part].numpy(), self.brain[part].numpy()


def pack(
    root: str | Path,
    file: str | Path,
    contrast: str,
    log: Callable[[str], None] = print,
    fail: Callable[[str, str], None] = lambda item, reason: None,
) -> Path:
    """Write the slices of every scan of a contrast. Scans that are unusable are told to ``fail(item, reason)``.

    Lesion masks among the derivatives (``label-lesion``) say which slices are not healthy; where there is none, all
    are. Brain masks are taken from the derivatives, and made by :func:`rough_brain` otherwise.

    Raises:
        DataError: no folder, or no usable scan of the contrast.
    """
    folders = sessions(root)
    people, problems = known(root, folders)
    for problem in problems:
        log(problem)
    derivatives = derived(root, ("mask", "roi", "dseg"))
    rows: list[dict[str, Any]] = []
    failed: list[list[str]] = []
    images: list[np.ndarray] = []
    brains: list[np.ndarray] = []
    for session, path in find_contrast(root, Contrast.of(contrast), log).items():
        masks = [(p, name) for p, name in derivatives.get(session, []) if in_scan_space(name)]
        try:
            scan = load(path)
            stack, brain = _seen(scan, contrast, masks)
            healthy = ~_near(_lesion(scan, stack, masks))
        except DataError as error:
            failed.append(["_".join(filter(None, session)), str(error)])
            fail(*failed[-1])
            continue
        enough = stack.region.sum((1, 2)) > _SMALLEST / (4 if stack.stripped else 1)
        usable = np.flatnonzero(healthy & enough)
        rows.append(
            {
                "subject": session[0],
                "session": session[1],
                "split": people[session]["split"],
                "first": sum(row["count"] for row in rows),
                "count": len(stack.slices),
                "thickness": stack.thickness,
                "stripped": stack.stripped,
                "healthy": [int(k) for k in usable],
                "whole": [int(k) for k in usable if compact(brain[k])],
            }
        )
        images.append(np.rint(stack.slices * STEPS).astype(np.uint8))
        brains.append(brain.astype(np.uint8))
    if not rows:
        raise DataError(f"{root}: no {contrast} that can be used")
    count = sum(len(row["healthy"]) for row in rows)
    log(f"{len(rows)} scans, {rows[-1]['first'] + rows[-1]['count']} slices, {count} of them healthy")
    tensors = {"images": torch.from_numpy(np.concatenate(images)), "brain": torch.from_numpy(np.concatenate(brains))}
    about = {"rows": rows, "contrast": contrast, "licence": stated_licence(root), "failed": failed}
    return pack_arrays(file, FORMAT, tensors, about)


def read_slices(file: str | Path) -> Slices:
    """What :func:`pack` wrote. Raises DataError when the file is missing, damaged or something else."""
    found = read_arrays(file, FORMAT)
    about, arrays = found.index, found.arrays
    return Slices(arrays["images"], arrays["brain"], *(about[k] for k in ("rows", "contrast", "licence", "failed")))


def _seen(scan: Volume, contrast: str, masks: list[tuple[Path, Name]]) -> tuple[Stack, np.ndarray]:
    """The scan as it is, with its skull or without, and its brain [Z, 128, 128]."""
    stack = Stack.of(scan, None, contrast)
    given = [path for path, name in masks if is_brain_mask(name)] or [p for p, name in masks if is_segmentation(name)]
    if stack.stripped:
        return stack, stack.region
    if given:
        return stack, stack.grid.slices(on_grid(given[0], scan)) > 0.5
    return stack, rough_brain(stack.slices, depth_of(stack.region))


def _lesion(scan: Volume, stack: Stack, masks: list[tuple[Path, Name]]) -> np.ndarray:
    """Slices [Z] that some lesion mask touches."""
    touched = np.zeros(len(stack.slices), bool)
    for path, name in masks:
        if is_lesion_mask(name) and name.suffix != "dseg":
            try:
                mask = on_grid(path, scan)
            except DataError:  # no lesion: all voxels alike
                continue
            touched |= (stack.grid.slices(mask) > 0).any((1, 2))
    return touched


def _near(slices: np.ndarray) -> np.ndarray:
    """These slices [Z] and their neighbours."""
    near = slices.copy()
    near[1:] |= slices[:-1]
    near[:-1] |= slices[1:]
    return near
