"""What was found, in slices: the scan, its pseudo-healthy image, their difference, the score, the mask, the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..pictures import Block, sheet
from ..tiles import Head, tile, tile_sizes, window
from .components import components
from .face import Maps

COLUMNS = ("scan", "pseudo-healthy", "difference", "anomaly", "marked")
HEATS = ("difference", "anomaly")
CAPTION = (
    "Axial slices. Scan and pseudo-healthy image in one grey window; difference: |scan - pseudo-healthy| up to half of "
    "that window; anomaly: the score, with the threshold in the middle of the scale (red), odds 20 times smaller black "
    "and 20 times larger yellow; the line is the border of what the mask marks"
)


@dataclass(frozen=True)
class Shown:
    """One axial slice of a scan, [X, Y] each, in RAS order: ``scan``, ``healthy``, ``anomaly`` (as :func:`heat`) and
    ``mask``; ``truth`` where it is known; ``white``: the value of the scan that is shown as white; ``spacing`` in mm,
    [3]; a ``note``."""

    note: str
    scan: np.ndarray
    healthy: np.ndarray
    anomaly: np.ndarray
    mask: np.ndarray
    truth: np.ndarray | None
    white: float
    spacing: np.ndarray


def heat(score: np.ndarray, threshold: float) -> np.ndarray:
    """Log-odds of a score from 0 to 1: one half at the threshold, the ends 20 times away in odds."""
    with np.errstate(divide="ignore"):
        odds = np.log(score / (1 - score)) - np.log(threshold / (1 - threshold))
    return np.clip(0.5 + odds / (2 * np.log(20)), 0, 1)


def shown(maps: Maps, mask: np.ndarray, threshold: float, z: int, note: str, truth: np.ndarray | None = None) -> Shown:
    """The slice z of a scan; bool masks [X, Y, Z]; the threshold of the mask."""
    rows, columns = (np.flatnonzero(maps.region.any(axes)) for axes in ((1, 2), (0, 2)))
    cut = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1, z]
    scan, healthy, score = (image[cut].astype(np.float32) for image in (maps.scan.data, maps.healthy, maps.anomaly))
    own = None if truth is None else truth[cut]
    return Shown(
        note,
        scan,
        healthy,
        heat(score, threshold),
        mask[cut],
        own,
        window(maps.scan.data[maps.region]),
        maps.scan.spacing,
    )


def levels(mask: np.ndarray, most: int = 3) -> list[int]:
    """Axial slices to show: of each of the largest regions the one in which it is widest, no slice twice."""
    labels, sizes = components(mask)
    found: list[int] = []
    for k in range(1, len(sizes) + 1):
        z = int(np.argmax((labels == k).sum((0, 1))))
        if z not in found:
            found.append(z)
        if len(found) == most:
            break
    return sorted(found, reverse=True)


def picture(rows: Sequence[Shown]) -> Image.Image:
    """Rows of tiles, a note above each: ``COLUMNS``, and the truth where all rows have it.

    Raises ValueError without rows.
    """
    if not rows:
        raise ValueError("a picture needs at least one slice")
    known = all(row.truth is not None for row in rows)
    titles = [*COLUMNS, *(["truth"] if known else [])]
    prepared = [[_head(image, row, white) for image, white in _images(row, known)] for row in rows]
    size = tile_sizes([one for heads in prepared for one in heads])["axial"]
    tiles = []
    for row, heads in zip(rows, prepared, strict=True):
        outlines = {"marked": row.mask, "truth": row.truth}
        lines = {name: _head(mask, row, 1.0) for name, mask in outlines.items() if mask is not None}
        tiles.append(
            [
                tile(one, "axial", size, heat=title in HEATS, outline=lines.get(title))
                for title, one in zip(titles, heads, strict=True)
            ]
        )
    return sheet([Block(titles, tiles, [row.note for row in rows])])


def _images(row: Shown, known: bool) -> list[tuple[np.ndarray, float]]:
    """The image of each column and the value that is white in it."""
    scan, off = (row.scan, row.white), np.abs(row.scan - row.healthy)
    return [scan, (row.healthy, row.white), (off, row.white / 2), (row.anomaly, 1.0), scan, *([scan] if known else [])]


def _head(image: np.ndarray, row: Shown, white: float) -> Head:
    data = np.clip(np.nan_to_num(image.astype(np.float32)) / white, 0, 1)[:, :, None]
    extent = np.array([*image.shape, 1])
    middle = (extent - 1) / 2
    return Head(data, row.spacing, middle, middle, extent * row.spacing)
