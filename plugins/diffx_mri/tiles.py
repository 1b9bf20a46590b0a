"""One slice of a volume as a tile of a picture: in mm, with its sides marked, in grey or as heat, with an outline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import nibabel as nib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from diffx.run.figures import HEAT

Convention = Literal["neurological", "radiological"]
Plane = Literal["sagittal", "coronal", "axial"]

PLANES: tuple[Plane, ...] = ("axial", "coronal", "sagittal")
MM_PER_PIXEL = 0.7
PAPER, TEXT, FAINT = 10, 215, 155  # grey levels: ground (also of value 0), captions, marks
OUTLINE = (255, 176, 0)
MARGIN = 7.0  # mm of ground around the head
_ACROSS = {"sagittal": (0, 1, 2), "coronal": (1, 0, 2), "axial": (2, 0, 1)}  # axes: through, to the right, up


@dataclass(frozen=True)
class Head:
    """A volume made ready: `data` [X, Y, Z] in RAS order, 0..1 inside the window; `spacing` in mm, [3];
    `centre` the voxel that is cut and `middle` the one in the middle of a tile; `extent` of the tile in mm."""

    data: np.ndarray
    spacing: np.ndarray
    centre: np.ndarray
    middle: np.ndarray
    extent: np.ndarray


def window(volume: np.ndarray, percentile: float = 99.5) -> float:
    """The value shown as white: that percentile of the finite values above 0; 1.0 where there are none."""
    above = volume[np.isfinite(volume) & (volume > 0)]
    return float(np.percentile(above, percentile)) if above.size else 1.0


def head(volume: np.ndarray, affine: np.ndarray, white: float | None = None) -> Head:
    """A volume of any orientation, cut through its centre of mass, its bounding box in the middle of the tile.

    Args:
        volume: [X, Y, Z].
        affine: 4x4, voxel index to RAS+ mm.
        white: the value shown as white; :func:`window` by default.

    Raises ValueError for an array that is not 3-D.
    """
    data, affine = _upright(volume, affine, white)
    spacing = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    centre, low, high = [], [], []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        mass = data.sum(axis=others, dtype=np.float64)
        places = np.arange(len(mass))
        filled = np.flatnonzero((data > 0.05).any(axis=others))
        centre.append((mass * places).sum() / mass.sum() if mass.sum() > 0 else (len(mass) - 1) / 2)
        low.append(filled[0] if filled.size else 0)
        high.append(filled[-1] if filled.size else len(mass) - 1)
    box = np.array([low, high], dtype=float)
    return Head(data, spacing, np.array(centre), box.mean(axis=0), (box[1] - box[0] + 1) * spacing)


def around(
    volume: np.ndarray, affine: np.ndarray, point: np.ndarray, radius: float, white: float | None = None
) -> Head:
    """The same, cut through a point of the world (mm), which is in the middle of tiles that reach `radius` mm."""
    data, affine = _upright(volume, affine, white)
    spacing = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    voxel = (np.linalg.inv(affine) @ [*point, 1])[:3]
    return Head(data, spacing, voxel, voxel, np.full(3, 2 * (radius - MARGIN)))


def _upright(volume: np.ndarray, affine: np.ndarray, white: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Data in RAS order, from 0 to 1 inside the window, and its affine."""
    volume = np.nan_to_num(np.asarray(volume, dtype=np.float32), posinf=0.0, neginf=0.0)
    if volume.ndim != 3:
        raise ValueError(f"a picture needs a 3-D volume, not an array of shape {volume.shape}")
    affine = np.asarray(affine, dtype=float)
    turn = nib.orientations.io_orientation(affine)
    data = nib.orientations.apply_orientation(volume, turn)
    return (
        np.clip(data / (window(volume) if white is None else white), 0.0, 1.0),
        affine @ nib.orientations.inv_ornt_aff(turn, volume.shape),
    )


def tile_sizes(heads: Sequence[Head]) -> dict[Plane, tuple[int, int]]:
    """Pixels, width x height, that hold the largest head in each plane."""
    pixels = (np.max([head.extent for head in heads], axis=0) + 2 * MARGIN) / MM_PER_PIXEL
    return {plane: (round(pixels[right]), round(pixels[up])) for plane, (_, right, up) in _ACROSS.items()}  # type: ignore[misc]


def tile(
    head: Head,
    plane: Plane,
    size: tuple[int, int],
    convention: Convention = "neurological",
    heat: bool = False,
    outline: Head | None = None,
) -> Image.Image:
    """One slice with its sides marked: grey, or RGB where it is `heat` or has the `outline` of a mask."""
    grey = _resampled(head, plane, size, convention)
    if heat:
        from matplotlib import colormaps

        colours = (255 * colormaps[HEAT](np.clip(grey, 0, 1))[..., :3]).round().astype(np.uint8)
        picture = Image.fromarray(np.maximum(colours, PAPER))
    else:
        picture = Image.fromarray(np.round(PAPER + (255 - PAPER) * np.clip(grey, 0, 1)).astype(np.uint8))
    if outline is not None:
        mask = _resampled(outline, plane, size, convention) > 0.5
        inner = mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
        edge = mask & ~np.pad(inner, 1)
        pixels = np.array(picture.convert("RGB"))
        pixels[edge] = OUTLINE
        picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    # In the upper corners: a head leaves them free, and the marks of neighbours do not run together.
    ink, ground = ((FAINT,) * 3, (PAPER,) * 3) if picture.mode == "RGB" else (FAINT, PAPER)
    for mark, at, anchor in zip(sides(plane, convention), (6, size[0] - 6), ("la", "ra"), strict=True):
        draw.text((at, 6), mark, fill=ink, font=font(15), anchor=anchor, stroke_width=2, stroke_fill=ground)
    return picture


def _resampled(head: Head, plane: Plane, size: tuple[int, int], convention: Convention) -> np.ndarray:
    """The slice through `centre` as values [height, width]; 0 beyond the volume."""
    through, right, up = _ACROSS[plane]
    index = int(np.clip(round(float(head.centre[through])), 0, head.data.shape[through] - 1))
    cut = np.take(head.data, index, axis=through).T  # [up, right], as in both planes right comes before up
    mirrored = convention == "radiological"
    # The tile's corners in voxels: an affine resampling places head and scale exactly, whatever the spacing.
    step_right, step_up = MM_PER_PIXEL / head.spacing[right], MM_PER_PIXEL / head.spacing[up]
    left_edge = head.middle[right] + 0.5 - step_right * size[0] / 2 * (-1 if mirrored else 1)
    top_edge = head.middle[up] + 0.5 + step_up * size[1] / 2
    picture = Image.fromarray(np.ascontiguousarray(cut)).transform(
        size,
        Image.Transform.AFFINE,
        (-step_right if mirrored else step_right, 0, left_edge, 0, -step_up, top_edge),
        resample=Image.Resampling.BICUBIC,
        fillcolor=0,
    )
    return np.asarray(picture)


def sides(plane: Plane, convention: Convention = "neurological") -> tuple[str, str]:
    """The marks at the viewer's left and right: of L and R, or of P and A in the sagittal plane.

    Raises ValueError for a convention or a plane that does not exist.
    """
    if convention not in ("neurological", "radiological") or plane not in _ACROSS:
        raise ValueError(f"no such view: {plane}, {convention}")
    left, right = ("P", "A") if plane == "sagittal" else ("L", "R")
    return (left, right) if convention == "neurological" else (right, left)


@cache
def font(size: int, file: str = "") -> Any:
    """Pillow's own face, or that of a file."""
    return ImageFont.truetype(file, size) if file else ImageFont.load_default(size)
