"""From an anomaly map to a mask and a table of lesions: thresholds, connected components, sizes."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy import ndimage

TOUCHING = np.ones((3, 3, 3))  # voxels that share a face, an edge or a corner are of one lesion

COLUMNS = {
    "lesion": "number of the lesion, the largest first",
    "volume_ml": "volume, ml",
    "x_mm": "centroid, mm to the right (RAS+, the world of the scan's affine)",
    "y_mm": "centroid, mm to the front",
    "z_mm": "centroid, mm to the top",
    "peak": "greatest anomaly score",
    "mean": "mean anomaly score",
    "certainty": "mean share of the drawn healthy images that find something in these voxels, 0 to 1",
}


@dataclass(frozen=True)
class Lesion:
    """One marked region: ``volume_ml``; centroid ``x_mm``, ``y_mm``, ``z_mm`` in the scan's world (RAS+); ``peak`` and
    ``mean`` of its anomaly scores; ``certainty``, 0 to 1."""

    lesion: int
    volume_ml: float
    x_mm: float
    y_mm: float
    z_mm: float
    peak: float
    mean: float
    certainty: float


def components(mask: np.ndarray, smallest: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Connected regions of a mask [X, Y, Z] of at least ``smallest`` voxels.

    Returns int labels [X, Y, Z], the largest region 1, and the numbers of voxels [n] of regions 1 to n.
    """
    labels, count = ndimage.label(mask, TOUCHING)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] >= smallest]
    number = np.zeros(count + 1, labels.dtype)
    number[1 + order] = 1 + np.arange(len(order))
    return number[labels], sizes[order]


def voxels_of(millilitres: float, spacing: np.ndarray) -> int:
    """The least number of voxels of that spacing (mm, [3]) that make up a volume; at least 1."""
    return max(1, int(np.ceil(1000 * millilitres / float(np.prod(spacing)) - 1e-6)))


def marked(anomaly: np.ndarray, threshold: float, smallest: int = 1) -> np.ndarray:
    """Where the map is above the threshold, in regions of at least ``smallest`` voxels; bool [X, Y, Z]."""
    return components(anomaly > threshold, smallest)[0] > 0


def lesions(anomaly: np.ndarray, certainty: np.ndarray, mask: np.ndarray, affine: np.ndarray) -> list[Lesion]:
    """The connected regions of a mask, the largest first.

    Args:
        anomaly: scores [X, Y, Z].
        certainty: [X, Y, Z], 0 to 1.
        mask: bool [X, Y, Z].
        affine: 4x4, from voxel indices of these arrays to mm, RAS+.
    """
    labels, sizes = components(mask)
    if not len(sizes):
        return []
    index = np.arange(1, len(sizes) + 1)
    volume = float(abs(np.linalg.det(affine[:3, :3]))) / 1000
    centres = np.array(ndimage.center_of_mass(mask, labels, index)) @ affine[:3, :3].T + affine[:3, 3]
    places: list[tuple[float, float, float]] = [(float(x), float(y), float(z)) for x, y, z in centres]
    peak, mean, sure = (
        f(values, labels, index)
        for f, values in ((ndimage.maximum, anomaly), (ndimage.mean, anomaly), (ndimage.mean, certainty))
    )
    return [
        Lesion(k + 1, float(sizes[k] * volume), *places[k], float(peak[k]), float(mean[k]), float(sure[k]))
        for k in range(len(sizes))
    ]


def as_tsv(rows: Sequence[Lesion]) -> str:
    """The table of lesions as tab-separated text with a header; volumes to a microlitre, places to 0.1 mm."""
    digits = {"volume_ml": 3, "x_mm": 1, "y_mm": 1, "z_mm": 1, "peak": 4, "mean": 4, "certainty": 3}
    text = io.StringIO(newline="")
    table = csv.writer(text, delimiter="\t", lineterminator="\n")
    table.writerow(COLUMNS)
    for row in rows:
        table.writerow([f"{v:.{digits[k]}f}" if k in digits else v for k, v in asdict(row).items()])
    return text.getvalue()
