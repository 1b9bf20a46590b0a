"""NIfTI in, NIfTI out: a volume is an array in RAS order and the affine that says where it lies, in mm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import nibabel as nib
import numpy as np
from nibabel.spatialimages import SpatialImage
from scipy import ndimage

from diffx.data import Brief
from diffx.errors import DataError
from diffx.io.files import atomic
from diffx.io.home import expanded

from .bids import check_file

Source: TypeAlias = str | Path | SpatialImage  # a file, or an image that is at hand
_TO_MM = {"meter": 1e3, "mm": 1.0, "micron": 1e-3, "unknown": 1.0}
_FWHM = 2.355  # of a Gaussian, in standard deviations


@dataclass(repr=False)
class Volume(Brief):
    """A scan: `data` float32 [X, Y, Z], axes closest to right, anterior, superior; `affine` 4x4, index to RAS+ mm.

    `qform`, 4x4 too, where the file's qform is coded and says otherwise than the sform, which is what counts.
    """

    data: np.ndarray
    affine: np.ndarray
    qform: np.ndarray | None = None

    @property
    def spacing(self) -> np.ndarray:
        """Voxel edge lengths, mm, [3]."""
        return np.sqrt((self.affine[:3, :3] ** 2).sum(0))

    def world(self, index: np.ndarray) -> np.ndarray:
        """World coordinates (mm, RAS+) [..., 3] of voxel indices [..., 3]."""
        return np.asarray(index) @ self.affine[:3, :3].T + self.affine[:3, 3]


def opened(source: Source) -> tuple[nib.Nifti1Pair, str]:
    """The NIfTI image, its voxels not read yet, and what to call it. DataError where there is none."""
    if isinstance(source, SpatialImage):
        image, name = source, source.get_filename() or "the image"
    else:
        path = expanded(source)
        name = str(path)
        check_file(path)
        try:
            image = nib.load(path)
        except Exception as error:  # nibabel raises many kinds for a broken header
            raise DataError(f"{path}: not readable as NIfTI ({error})") from error
    if not isinstance(image, nib.Nifti1Pair):
        raise DataError(f"{name}: not a NIfTI file but {type(image).__name__}; convert it to .nii or .nii.gz")
    return image, name


def load(source: Source, constant: bool = False) -> Volume:
    """Read a NIfTI file, or an image of nibabel, of any orientation as a RAS volume, in mm.

    The sform counts when it is coded, else the qform. A fourth axis of length one is dropped. `constant`: all voxels
    may be equal, as in the mask of a scan without lesions.
    Raises DataError, naming the file, when it is missing, unreadable, of the wrong kind, has several frames,
    no coded orientation, a singular affine, or voxels that are not finite or all equal.
    """
    image, path = opened(source)
    shape = image.shape
    if len(shape) > 3 and any(n != 1 for n in shape[3:]):
        raise DataError(f"{path}: {'x'.join(map(str, shape))} has several frames; give one 3-D volume")
    if len(shape) < 3 or min(shape[:3]) < 2:
        raise DataError(f"{path}: {'x'.join(map(str, shape))} is not a 3-D volume")
    if int(image.header["sform_code"]) == 0 and int(image.header["qform_code"]) == 0:
        raise DataError(
            f"{path}: neither sform nor qform is coded, so left and right are unknown; set one in the header"
        )
    try:
        data = np.asarray(image.dataobj, dtype=np.float32).reshape(shape[:3])
    except Exception as error:  # truncated or corrupt gzip streams
        raise DataError(f"{path}: voxels cannot be read ({error})") from error
    to_mm = np.diag([*[_TO_MM.get(image.header.get_xyzt_units()[0], 1.0)] * 3, 1.0])
    affine = to_mm @ image.affine
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise DataError(f"{path}: the affine in the header is singular")
    if not np.isfinite(data).all():
        raise DataError(f"{path}: {int((~np.isfinite(data)).sum())} voxels are NaN or infinite")
    if data.min() == data.max() and not constant:
        raise DataError(f"{path}: all voxels have the same value, {data.flat[0]:g}")
    to_ras = nib.io_orientation(affine)
    turn = nib.orientations.inv_ornt_aff(to_ras, shape[:3])
    return Volume(
        np.ascontiguousarray(nib.apply_orientation(data, to_ras)),
        affine @ turn,
        _other_qform(image.header, to_mm, affine, turn, shape[:3]),
    )


def _other_qform(
    header: nib.Nifti1Header, to_mm: np.ndarray, affine: np.ndarray, turn: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray | None:
    """The qform where both forms are coded and a corner of the volume lies half a voxel off by it."""
    if not (int(header["sform_code"]) and int(header["qform_code"])):
        return None
    try:
        qform = to_mm @ header.get_qform()
    except (ValueError, nib.spatialimages.HeaderDataError):  # its quaternion is none
        return None
    voxel = float(np.sqrt((affine[:3, :3] ** 2).sum(0)).min())
    return qform @ turn if apart(qform, affine, shape) > voxel / 2 else None


def apart(a: np.ndarray, b: np.ndarray, shape: tuple[int, ...]) -> float:
    """How far two affines put the same corner of a volume from each other, mm, at the most."""
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(shape) - 1)
    moved = corners @ (a - b)[:3, :3].T + (a - b)[:3, 3]
    return float(np.sqrt((moved**2).sum(1)).max())


def resample(volume: Volume, affine: np.ndarray, shape: tuple[int, ...], order: int = 1) -> Volume:
    """The volume on another grid, 0 outside its field of view; smoothed first along axes that get coarser.

    `order` 0 nearest (labels), 1 trilinear, 3 cubic spline. The blur makes a source voxel's width up to the target's.
    """
    data = volume.data
    if order > 0:
        ratio = float(np.mean(np.sqrt((affine[:3, :3] ** 2).sum(0)))) / volume.spacing
        sigma = np.sqrt(np.maximum(ratio**2 - 1, 0)) / _FWHM
        if (sigma > 0.1).any():
            data = ndimage.gaussian_filter(data, sigma)
    pull = np.linalg.inv(volume.affine) @ affine
    out = ndimage.affine_transform(data, pull[:3, :3], pull[:3, 3], output_shape=shape, order=order, mode="constant")
    return Volume(out.astype(np.float32, copy=False), np.asarray(affine, dtype=np.float64))


def sample(volume: Volume, points: np.ndarray, order: int = 1) -> np.ndarray:
    """Values at world points [..., 3] (mm), 0 outside the field of view; `order` as in `resample`, no smoothing."""
    back = np.linalg.inv(volume.affine)
    index = points @ back[:3, :3].T + back[:3, 3]
    flat = np.ascontiguousarray(index.reshape(-1, 3).T)
    return (
        ndimage.map_coordinates(volume.data, flat, order=order, mode="constant")
        .reshape(points.shape[:-1])
        .astype(np.float32)
    )


def means(data: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    """Means over blocks of voxels, `factors` along each axis."""
    x, y, z = (n // f for n, f in zip(data.shape, factors, strict=True))
    a, b, c = factors
    return data.reshape(x, a, y, b, z, c).mean((1, 3, 5))


def normalise(data: np.ndarray, mask: np.ndarray, ceiling: float = 1.5) -> np.ndarray:
    """Scale so that the 99th percentile inside the mask is 1, clipped to [0, ceiling]; DataError if that is 0."""
    inside = data[np.asarray(mask) > 0]
    top = float(np.percentile(inside, 99)) if inside.size else 0.0
    if not top > 0:
        raise DataError("the mask is empty or the image is not positive inside it; no intensity scale")
    return np.clip(data / top, 0, ceiling).astype(np.float32)


def save(path: str | Path, volume: Volume, description: str = "", dtype: str = "int16", code: int = 1) -> Path:
    """Write .nii or .nii.gz, whole or not at all: mm, `description` (79 bytes), sform and qform.

    Both forms are coded `code`: 1 for the scanner's space, 2 for one that the image was aligned to.

    int16 uses the full range through scl_slope (error <= half of max |value| / 32767); float32 and uint8 keep the
    values. A sheared affine cannot be a qform; the qform is then the closest rigid one and the sform is exact.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.asarray(volume.data)
    top = float(np.abs(data).max()) if data.size else 0.0
    slope = top / 32767 if dtype == "int16" and top > 0 else 1.0
    stored = np.rint(data / slope).astype(np.int16) if dtype == "int16" else data.astype(dtype)
    image = nib.Nifti1Image(stored, volume.affine)
    image.set_sform(volume.affine, code=code)
    image.set_qform(volume.affine, code=code, strip_shears=True)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = description.encode()[:79]
    image.header.set_slope_inter(slope if dtype == "int16" else 1.0, 0.0)
    with atomic(path) as temporary:
        nib.save(image, temporary)
    return path
