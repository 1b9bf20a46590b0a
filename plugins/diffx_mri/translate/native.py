"""A new image on a scan's own voxels: what comes out has the header's geometry of what went in, to the bit."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from ..stored import Stored, write


def image_on(scan: Stored, data: np.ndarray, description: str = "") -> nib.Nifti1Image:
    """Data [X, Y, Z] in RAS order as float32, in the order and shape in which the scan was stored.

    sform, qform, their codes and the unit of length are the scan's. ``description``: at most 79 bytes.
    """
    kind = nib.Nifti2Image if isinstance(scan.header, nib.Nifti2Header) else nib.Nifti1Image
    header = kind.header_class.from_header(scan.header)
    header.extensions.clear()  # what they say is of the scan
    header.set_data_dtype(np.float32)
    header["descrip"] = description.encode()[:79]
    header["cal_min"] = header["cal_max"] = 0
    return kind(scan.to_file_order(data).astype(np.float32), header.get_best_affine(), header)


def save(image: nib.Nifti1Image, path: str | Path) -> Path:
    """Write .nii or .nii.gz, whole or not at all, the voxels as int16 through scl_slope.

    They are off by half of max |data| / 32767 at the most, and what was 0 stays 0.
    """
    data = np.asanyarray(image.dataobj)
    slope = float(np.abs(data).max()) / 32767 or 1.0
    small = type(image)(np.rint(data / slope).astype(np.int16), image.affine, image.header)
    small.set_data_dtype(np.int16)
    small.header.set_slope_inter(slope, 0.0)
    return write(small, path)
