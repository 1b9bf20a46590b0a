"""Pictures of brains: three planes, grids, strips and sweeps, at one scale in mm and with the sides marked.

Every function takes volumes as arrays [X, Y, Z] of any orientation with the affine (4x4, voxel index to RAS+ mm) that
says so, and returns a Pillow image. Grey runs from 0 to the 99.5th percentile of what is above 0.

`convention` is "neurological" (the patient's left on the viewer's left, nose to the right, as nilearn and SPM show
it) or "radiological" (the mirror image, as clinical viewers and FSL show it); it is printed on every picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import nibabel as nib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Convention = Literal["neurological", "radiological"]
Plane = Literal["sagittal", "coronal", "axial"]
Block = tuple[Sequence[str], Sequence[Sequence[Image.Image]]]  # captions, rows of tiles

PLANES: tuple[Plane, ...] = ("axial", "coronal", "sagittal")
MM_PER_PIXEL = 0.7
PAPER, TEXT, FAINT = 10, 215, 155  # grey levels: ground (also of value 0), captions, marks
GAP = 10  # pixels between tiles and around the picture
MARGIN = 7.0  # mm of ground around the head
_ACROSS = {"sagittal": (0, 1, 2), "coronal": (1, 0, 2), "axial": (2, 0, 1)}  # axes: through, to the right, up


@dataclass(frozen=True)
class Head:
    """A volume made ready: `data` [X, Y, Z] in RAS order, 0..1 inside the window; `spacing` in mm, [3];
    `centre` the voxel of the centre of mass and `middle` that of the bounding box; `extent` of the box in mm."""

    data: np.ndarray
    spacing: np.ndarray
    centre: np.ndarray
    middle: np.ndarray
    extent: np.ndarray


def window(volume: np.ndarray, percentile: float = 99.5) -> float:
    """The value shown as white: that percentile of the finite values above 0; 1.0 where there are none."""
    above = volume[np.isfinite(volume) & (volume > 0)]
    return float(np.percentile(above, percentile)) if above.size else 1.0


def three_planes(
    volume: np.ndarray, affine: np.ndarray, caption: str = "", convention: Convention = "neurological"
) -> Image.Image:
    """One volume in a row: axial, coronal and sagittal slice through its centre of mass.

    Raises ValueError for an array that is not 3-D.
    """
    heads = [_head(volume, affine)]
    size = _tile_sizes(heads)
    height = max(h for _, h in size.values())
    tiles = [_tile(heads[0], plane, (size[plane][0], height), convention) for plane in PLANES]
    return _sheet([([caption], [tiles])], convention, spanning=True)


def grid(
    volumes: Sequence[np.ndarray],
    affines: Sequence[np.ndarray],
    captions: Sequence[str] = (),
    convention: Convention = "neurological",
    columns: int = 5,
) -> Image.Image:
    """Volumes side by side, one column each under its caption; the rows are the axial, coronal and sagittal slice
    through the centre of mass of each. All at one scale, each in its own grey window. More than `columns` volumes
    are spread over several blocks, one below the other.

    Raises ValueError without volumes, or when the numbers of volumes, affines and captions differ.
    """
    _same_number(volumes, affines, captions)
    heads = [_head(volume, affine) for volume, affine in zip(volumes, affines, strict=True)]
    size = _tile_sizes(heads)
    width = max(w for w, _ in size.values())
    blocks = -(-len(heads) // columns)
    share = -(-len(heads) // blocks)
    sheets = []
    for first in range(0, len(heads), share):
        some = heads[first : first + share]
        rows = [[_tile(head, plane, (width, size[plane][1]), convention) for head in some] for plane in PLANES]
        sheets.append((captions[first : first + share], rows))
    return _sheet(sheets, convention)


def strip(
    volumes: Sequence[np.ndarray],
    affine: np.ndarray,
    captions: Sequence[str] = (),
    plane: Plane = "axial",
    convention: Convention = "neurological",
) -> Image.Image:
    """States of one volume on its way from noise, in order: the same slice of each, through the centre of mass of
    the last. Each in its own grey window, since noise and brain differ in range.

    Raises ValueError without volumes, or when the numbers of volumes and captions differ.
    """
    return _row(volumes, affine, captions, (plane,), convention, common=False)


def sweep(
    volumes: Sequence[np.ndarray],
    affine: np.ndarray,
    captions: Sequence[str] = (),
    convention: Convention = "neurological",
) -> Image.Image:
    """One condition swept, age for example, at one seed: the same axial and the same coronal slice of each volume, in
    one grey window, so that only what the condition changes differs.

    Raises ValueError without volumes, or when the numbers of volumes and captions differ.
    """
    return _row(volumes, affine, captions, ("axial", "coronal"), convention, common=True)


def _row(
    volumes: Sequence[np.ndarray],
    affine: np.ndarray,
    captions: Sequence[str],
    planes: Sequence[Plane],
    convention: Convention,
    common: bool,
) -> Image.Image:
    _same_number(volumes, [affine] * len(volumes), captions)
    white = float(np.median([window(volume) for volume in volumes])) if common else None
    heads = [_head(volume, affine, white) for volume in volumes]
    last = heads[-1]
    centre = np.mean([head.centre for head in heads], axis=0) if common else last.centre
    widest = np.max([head.extent for head in heads], axis=0) if common else last.extent
    heads = [Head(head.data, head.spacing, centre, last.middle, widest) for head in heads]
    size = _tile_sizes(heads)
    width = max(size[plane][0] for plane in planes)
    rows = [[_tile(head, plane, (width, size[plane][1]), convention) for head in heads] for plane in planes]
    return _sheet([(captions, rows)], convention)


def _head(volume: np.ndarray, affine: np.ndarray, white: float | None = None) -> Head:
    volume = np.nan_to_num(np.asarray(volume, dtype=np.float32), posinf=0.0, neginf=0.0)
    if volume.ndim != 3:
        raise ValueError(f"a picture needs a 3-D volume, not an array of shape {volume.shape}")
    affine = np.asarray(affine, dtype=float)
    turn = nib.orientations.io_orientation(affine)
    data = nib.orientations.apply_orientation(volume, turn)
    affine = affine @ nib.orientations.inv_ornt_aff(turn, volume.shape)
    data = np.clip(data / (window(volume) if white is None else white), 0.0, 1.0)
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


def _tile_sizes(heads: Sequence[Head]) -> dict[Plane, tuple[int, int]]:
    """Pixels, width x height, that hold the largest head in each plane."""
    pixels = (np.max([head.extent for head in heads], axis=0) + 2 * MARGIN) / MM_PER_PIXEL
    return {plane: (round(pixels[right]), round(pixels[up])) for plane, (_, right, up) in _ACROSS.items()}  # type: ignore[misc]


def _tile(head: Head, plane: Plane, size: tuple[int, int], convention: Convention) -> Image.Image:
    """One slice through the centre of mass, its bounding box in the middle of a tile of `size`, with its sides."""
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
    grey = PAPER + (255 - PAPER) * np.clip(np.asarray(picture), 0, 1)
    tile = Image.fromarray(np.round(grey).astype(np.uint8))
    draw = ImageDraw.Draw(tile)
    # In the upper corners: a head leaves them free, and the marks of neighbours do not run together.
    for mark, at, anchor in zip(sides(plane, convention), (6, size[0] - 6), ("la", "ra"), strict=True):
        draw.text((at, 6), mark, fill=FAINT, font=_font(15), anchor=anchor, stroke_width=2, stroke_fill=PAPER)
    return tile


def sides(plane: Plane, convention: Convention = "neurological") -> tuple[str, str]:
    """The marks at the viewer's left and right: of L and R, or of P and A in the sagittal plane.

    Raises ValueError for a convention or a plane that does not exist.
    """
    if convention not in ("neurological", "radiological") or plane not in _ACROSS:
        raise ValueError(f"no such view: {plane}, {convention}")
    left, right = ("P", "A") if plane == "sagittal" else ("L", "R")
    return (left, right) if convention == "neurological" else (right, left)


def _sheet(blocks: Sequence[Block], convention: Convention, spanning: bool = False) -> Image.Image:
    """Blocks one below the other on dark ground: captions above the columns (`spanning`: one over all), then the rows
    of tiles; at the foot a scale bar and what L means."""
    head = 30 if any(any(captions) for captions, _ in blocks) else GAP
    foot = 34
    widths = [sum(tile.width + GAP for tile in rows[0]) + GAP for _, rows in blocks]
    height = sum(head + sum(row[0].height + GAP for row in rows) for _, rows in blocks) + foot
    sheet = Image.new("L", (max(*widths, 340), height), PAPER)  # 340: what the foot needs
    draw = ImageDraw.Draw(sheet)
    top = 0
    for captions, rows in blocks:
        font, middle, left = _caption_font(captions), top + head // 2 + 2, GAP
        if spanning and captions:
            draw.text((2 * GAP, middle), _fitting(captions[0], sheet.width - 4 * GAP, font), TEXT, font, "lm")
        elif captions:
            for caption, tile in zip(captions, rows[0], strict=True):
                draw.text((left + tile.width // 2, middle), _fitting(caption, tile.width, font), TEXT, font, "mm")
                left += tile.width + GAP
        top += head
        for row in rows:
            left = GAP
            for tile in row:
                sheet.paste(tile, (left, top))
                left += tile.width + GAP
            top += row[0].height + GAP
    middle, bar = height - foot // 2 - 2, round(50 / MM_PER_PIXEL)
    draw.line([(2 * GAP, middle), (2 * GAP + bar, middle)], fill=FAINT, width=2)
    draw.text((2 * GAP + bar + 8, middle), "50 mm", FAINT, _font(13), "lm")
    draw.text((sheet.width - 2 * GAP, middle), f"L is the patient's left ({convention})", FAINT, _font(13), "rm")
    return sheet


def _fitting(text: str, width: int, font: Any) -> str:
    """`text`, or its beginning and three dots where it is wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."


def _caption_font(texts: Sequence[str]) -> Any:
    """The face that Pillow carries with it has Latin letters only; Matplotlib's has Greek, Cyrillic and signs too."""
    if "".join(texts).isascii():
        return _font(15)
    from matplotlib import get_data_path

    return _font(14, f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf")


@cache
def _font(size: int, file: str = "") -> Any:
    return ImageFont.truetype(file, size) if file else ImageFont.load_default(size)


def _same_number(volumes: Sequence[Any], affines: Sequence[Any], captions: Sequence[str]) -> None:
    if not len(volumes):
        raise ValueError("a picture needs at least one volume")
    if len(affines) != len(volumes) or (len(captions) and len(captions) != len(volumes)):
        raise ValueError(f"{len(volumes)} volumes, {len(affines)} affines and {len(captions)} captions do not match")
