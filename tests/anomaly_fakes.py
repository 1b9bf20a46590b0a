"""Models of mri_anomaly whose behaviour is known, and scans whose healthy image is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np

from diffx_mri.anomaly.calibrate import Calibration, Thresholds
from diffx_mri.anomaly.config import HealthySampling
from diffx_mri.anomaly.evidence import Evidence
from diffx_mri.anomaly.face import AnomalyDetector
from diffx_mri.anomaly.model import Healthy
from diffx_mri.anomaly.stack import Stack
from diffx_mri.volume import Volume

SHAPE = (64, 72, 20)
LESION = np.s_[20:28, 40:50, 8:12]  # voxels of a box in RAS order


def affine(axes: str = "RAS", spacing: tuple[float, ...] = (3.0, 3.0, 6.0)) -> np.ndarray:
    """Voxel axes towards these directions, about the middle of the world."""
    matrix = np.eye(4)
    for column, (axis, step) in enumerate(zip(axes, spacing, strict=True)):
        row, sign = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}[axis]
        matrix[:3, column] = 0
        matrix[row, column] = sign * step
    matrix[:3, 3] = (5, -7, 11) - matrix[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    return matrix


def head(seed: int = 0, lesion: float = 0.0) -> Volume:
    """A head in RAS order: brain of about 500, dark skull, scalp; with a box that is brighter by ``lesion``."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"), -1)
    place = (index - (np.array(SHAPE) - 1) / 2) * (3, 3, 6)
    radius = np.sqrt(((place / (75, 90, 70)) ** 2).sum(-1))
    data = np.select([radius < 0.8, radius < 0.9, radius < 1], [500.0, 60.0, 700.0])
    rng = np.random.default_rng(seed)
    data = data + (radius < 1) * 8 * rng.standard_normal(SHAPE)
    data[LESION] += lesion
    return Volume(np.maximum(data, 0).astype(np.float32), affine())


def truth() -> np.ndarray:
    """The box, bool [X, Y, Z]."""
    mask = np.zeros(SHAPE, bool)
    mask[LESION] = True
    return mask


def write(path: Path, data: np.ndarray, axes: str = "RAS", dtype: type = np.float32) -> Path:
    """An array in RAS order as a file whose axes point elsewhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(tuple(axes))
    )
    image = nib.Nifti1Image(np.asarray(data, np.float32), affine()).as_reoriented(turn)
    image = nib.Nifti1Image(np.asarray(image.dataobj).astype(dtype), image.affine)
    image.set_sform(image.affine, 1)
    image.set_qform(image.affine, 1)
    nib.save(image, path)
    return path


#: a drawn lesion is worth log-odds of 6.2, a difference of 0.2 of the brain one of 2, and nothing else anything
EVIDENCE = Evidence(np.array([[0.5, 10.0, 10.0, 0.0, -6.0]] * 2, np.float32))


class Knowing:
    """A model that draws a given healthy scan, whatever it is shown."""

    draws, contrast = True, "FLAIR"

    def __init__(self, healthy: Volume):
        self.healthy, self.meta = healthy, {"sha256": "of the fake"}
        self.config = SimpleNamespace(sample=HealthySampling())
        self.pipeline = SimpleNamespace(licence="", announce=lambda say, name: None, meta=self.meta)

    def draw(self, stack: Stack, seeds, options=None) -> Healthy:
        own = np.maximum(stack.grid.slices(self.healthy), 0) / stack.scale
        samples = np.stack([own] * len(seeds)).astype(np.float32)
        lesion = (np.abs(stack.slices - own) > 0.3).astype(np.float32)[None].repeat(len(seeds), 0)
        return Healthy(samples, lesion, EVIDENCE)


def thresholds() -> Thresholds:
    """fpr is 0.001 / odds, from 0.1 to 0.001 between odds of 0.01 and 1, of ten scans."""
    odds = np.geomspace(0.01, 1.0, 21)
    at, fpr = odds / (1 + odds), 1e-3 / odds
    own = Calibration(
        (*at, 0.6), (*fpr, 0.0), (*np.linspace(20, 1, 21), 0.0), voxels=10**6, scans=10, smallest=0.1, weights=""
    )
    return Thresholds(own, own)


def knowing(healthy: Volume) -> AnomalyDetector:
    """A detector that knows the healthy scan."""
    return AnomalyDetector(Knowing(healthy), thresholds())  # type: ignore[arg-type]
