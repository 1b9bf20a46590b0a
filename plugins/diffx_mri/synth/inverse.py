"""Scans filled and thick slices divided, from files or images to images: `BrainSynth.fill` and `.superres`.

The command line writes what these give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from diffx import __version__
from diffx.errors import DataError, UsageError

from ..bids import Name, write_with_sidecar
from ..overlay import Say, on_grid, warn
from ..stored import Stored, as_read, write, write_int16
from ..volume import Source, Volume, opened
from .config import RestoreConfig
from .inpaint import Filling, fill
from .model import BrainModel
from .superres import Thin, superres

_FILLED = "T1w scan with the tissue inside the lesion mask replaced; all other voxels have their bits"
_DIVIDED = "T1w scan at finer slices; inside the brain their detail is a sample of a model, not a measurement"
_SPREAD = "Standard deviation over the samples, in the scan's units"


@dataclass(frozen=True)
class Reconstruction:
    """Samples of what a scan does not show, as images in its own space, world codes and units of intensity.

    `samples`, one a seed; their `mean`; their `spread`, the standard deviation voxel by voxel, None of one sample.
    `scan` as it was read and `done`, what was made of it, are arrays in RAS order.
    """

    samples: list[nib.Nifti1Image]
    mean: nib.Nifti1Image
    spread: nib.Nifti1Image | None
    seeds: list[int]
    scan: Volume
    done: Filling | Thin

    def save(self, folder: str | Path, stem: str, **facts: Any) -> list[Path]:
        """Write `<stem>_desc-filled1_T1w.nii.gz` (superres1), ..., mean and sd, with sidecars that also hold `facts`.

        A `desc-` that the stem has gives way, and entities stand in the order of BIDS.
        Fillings keep their bits, which `nibabel.save` does not promise of a file that was stored with a scale. All else
        is int16 through scl_slope, off by half of max |value| / 32767 at most. Of one sample, `desc-filled` alone.
        """
        filling = isinstance(self.done, Filling)
        desc, text = ("filled", _FILLED) if filling else ("superres", _DIVIDED)
        put: Callable[[nib.Nifti1Image, Path], Path] = write if filling else write_int16
        one = len(self.samples) == 1
        called = Name.of(stem.split("_"), "T1w", ".nii.gz")
        written = []

        def keep(name: str, image: nib.Nifti1Image, put: Callable[[nib.Nifti1Image, Path], Path], **said: Any) -> None:
            path = Path(folder) / str(called.but(desc=name))
            written.append(write_with_sidecar(path, partial(put, image), {**said, **facts}))

        for number, (image, seed) in enumerate(zip(self.samples, self.seeds, strict=True), 1):
            keep(desc if one else f"{desc}{number}", image, put, Description=text, Seed=seed)
        if self.spread is not None:
            keep(f"{desc}mean", self.mean, put, Description=text)
            keep(f"{desc}sd", self.spread, write_int16, Description=_SPREAD)
        return written


def fill_scan(
    synth: BrainModel, scan: Source, mask: Source, n: int, seed: int, age: float | None, sex: str | None,
    brain: Source | None, say: Say = warn, **options: Any,
) -> Reconstruction:  # fmt: skip
    """`BrainSynth.fill`: `inpaint.fill` of files or images."""
    seeds = _seeds(n, seed)
    stored = Stored.read(scan)
    volume = stored.volume
    lesion, head = on_grid(mask, volume, say), None if brain is None else on_grid(brain, volume, say)
    with _naming(scan):
        done = fill(synth, volume, lesion.data, head, seeds, age, sex, RestoreConfig(**options))

    def image(values: np.ndarray) -> nib.Nifti1Image:
        return as_read(stored.replaced(values, done.mask, f"diffx {__version__} lesion filled"))

    spread = stored.image(done.spread, f"diffx {__version__} spread") if n > 1 else None
    return Reconstruction([image(one) for one in done.data], image(done.mean), spread, seeds, volume, done)


def thin_scan(
    synth: BrainModel, scan: Source, voxel: float, n: int, seed: int, age: float | None, sex: str | None,
    brain: Source | None, say: Say = warn, **options: Any,
) -> Reconstruction:  # fmt: skip
    """`BrainSynth.superres`: `superres.superres` of files or images."""
    seeds = _seeds(n, seed)
    stored = Stored.read(scan)
    volume = stored.volume
    head = None if brain is None else on_grid(brain, volume, say)
    with _naming(scan):
        done = superres(synth, volume, head, voxel, seeds, age, sex, RestoreConfig(**options))

    def image(values: np.ndarray, what: str = "superres") -> nib.Nifti1Image:
        made = nib.Nifti1Image(values.astype(np.float32), done.affine)
        made.set_sform(done.affine, code=stored.code)
        made.set_qform(done.affine, code=stored.code, strip_shears=True)
        made.header.set_xyzt_units("mm")
        made.header["descrip"] = f"diffx {__version__} {what}".encode()[:79]
        return made

    spread = image(done.spread, "spread") if n > 1 else None
    return Reconstruction([image(one) for one in done.data], image(done.mean), spread, seeds, volume, done)


def _seeds(n: int, seed: int) -> list[int]:
    if n < 1:
        raise UsageError(f"n={n}: at least one sample is drawn")
    return [seed + i for i in range(n)]


@contextmanager
def _naming(scan: Source) -> Iterator[None]:
    """Errors about the scan that do not say which."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{opened(scan)[1]}: {error}") from None
