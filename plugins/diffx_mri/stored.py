"""A NIfTI file as it was stored: some voxels replaced while the others keep their bits, or a new image on its voxels.

What comes out has the header's geometry of what went in, to the bit, whatever the orientation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from diffx.io.files import atomic

from .volume import Source, Volume, load, opened

_RAS = np.array([[0, 1], [1, 1], [2, 1]])


@dataclass(frozen=True)
class Stored:
    """A scan as a RAS `volume` in mm, and the voxels behind it: `raw` in the file's own type and order; value =
    slope * raw + inter. `turn` is the orientation that takes the file's axes to RAS."""

    volume: Volume
    raw: np.ndarray
    header: nib.Nifti1Header
    slope: float
    inter: float
    turn: np.ndarray

    @classmethod
    def read(cls, source: Source) -> Stored:
        """Anything that `volume.load` takes. Raises DataError, naming the file."""
        volume = load(source)
        image, _ = opened(source)
        header, proxy = image.header.copy(), image.dataobj
        turn = nib.io_orientation(image.affine)
        if nib.is_proxy(proxy):
            return cls(volume, proxy.get_unscaled(), header, float(proxy.slope), float(proxy.inter), turn)
        raw = np.asanyarray(proxy)  # made in memory: no scaling applies, and the header may tell of another type
        header.set_data_dtype(raw.dtype)
        return cls(volume, raw, header, 1.0, 0.0, turn)

    @property
    def code(self) -> int:
        """The coded meaning of the world: 1 scanner, 2 aligned, 3 Talairach, 4 MNI; of the sform if it is coded."""
        return int(self.header["sform_code"]) or int(self.header["qform_code"])

    @property
    def quantum(self) -> float:
        """Half the step between two values that can be stored: the largest error of rounding; 0 for floats."""
        return abs(self.slope) / 2 if np.issubdtype(self.raw.dtype, np.integer) else 0.0

    def to_file_order(self, data: np.ndarray) -> np.ndarray:
        """An array [X, Y, Z] in RAS order in the file's order and shape."""
        back = nib.orientations.ornt_transform(_RAS, self.turn)
        return nib.orientations.apply_orientation(data, back).reshape(self.raw.shape)

    def replaced(self, values: np.ndarray, where: np.ndarray, description: str = "") -> nib.Nifti1Image:
        """The file with other values [X, Y, Z] (RAS) at the voxels `where` is True; everything else keeps its bits.

        Same type, scaling, header and extensions but for `description` (79 bytes). Rounded to the nearest value that
        can be stored, and cut off at the largest.
        """
        chosen = self.to_file_order(np.asarray(where, dtype=bool))
        new = (self.to_file_order(np.asarray(values, dtype=np.float64))[chosen] - self.inter) / self.slope
        if np.issubdtype(self.raw.dtype, np.integer):
            limits = np.iinfo(self.raw.dtype)
            new = np.clip(np.rint(new), limits.min, limits.max)
        raw = self.raw.copy()
        raw[chosen] = new.astype(raw.dtype)
        image = self._kind(raw, self.header.get_best_affine(), self.header)
        if description:
            image.header["descrip"] = description.encode()[:79]
        image.header.set_slope_inter(self.slope, self.inter)
        return image

    def image(self, values: np.ndarray, description: str = "", dtype: type = np.float32) -> nib.Nifti1Image:
        """Other values [X, Y, Z] (RAS) of a type on the file's voxels, in its order and shape.

        sform, qform, their codes and the unit of length are the file's; its extensions are not, being about the scan.
        `description`: at most 79 bytes.
        """
        header = self._kind.header_class.from_header(self.header)
        header.extensions.clear()
        header.set_data_dtype(dtype)
        header["descrip"] = description.encode()[:79]
        header["cal_min"] = header["cal_max"] = 0
        return self._kind(self.to_file_order(values).astype(dtype), header.get_best_affine(), header)

    @property
    def _kind(self) -> type[nib.Nifti1Image]:
        return nib.Nifti2Image if isinstance(self.header, nib.Nifti2Header) else nib.Nifti1Image


def as_read(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """An image of `replaced` as nibabel reads it from its file: an image in memory applies no scaling to its voxels."""
    return image if image.header.get_slope_inter() == (1.0, 0.0) else type(image).from_bytes(image.to_bytes())


def write(image: nib.Nifti1Image, path: str | Path) -> Path:
    """Write .nii or .nii.gz, whole or not at all, the voxels as they are; also of an image that was read."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    proxy = image.dataobj
    if nib.is_proxy(proxy):  # nibabel would scale its values anew
        image = type(image)(proxy.get_unscaled(), image.affine, image.header)
        image.header.set_slope_inter(proxy.slope, proxy.inter)
    with atomic(path) as temporary:
        nib.save(image, temporary)
    return path


def write_int16(image: nib.Nifti1Image, path: str | Path) -> Path:
    """Write .nii or .nii.gz, whole or not at all, the voxels as int16 through scl_slope.

    They are off by half of max |data| / 32767 at the most, and what was 0 stays 0.
    """
    data = np.asanyarray(image.dataobj)
    slope = float(np.abs(data).max()) / 32767 or 1.0
    small = type(image)(np.rint(data / slope).astype(np.int16), image.affine, image.header)
    small.set_data_dtype(np.int16)
    small.header.set_slope_inter(slope, 0.0)
    return write(small, path)
