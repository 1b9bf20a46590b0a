"""The viewer of brains: planes, grids, strips, sweeps, montages and rows, at one scale in mm, with the sides marked.

Volumes are arrays [X, Y, Z] of any orientation with the affine (4x4, voxel index to RAS+ mm) that says so. Every
function returns a Pillow image. Grey runs from 0 to the 99.5th percentile of what is above 0.

`convention` is "neurological" (the patient's left on the viewer's left, nose to the right, as nilearn and SPM show
it) or "radiological" (the mirror image, as clinical viewers and FSL show it); it is printed on every picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from .tiles import (
    FAINT,
    MM_PER_PIXEL,
    PAPER,
    PLANES,
    TEXT,
    Convention,
    Head,
    Plane,
    around,
    font,
    head,
    tile,
    tile_sizes,
    window,
)
from .volume import Volume

GAP = 10  # pixels between tiles and around the picture
HEATS = ("error", "uncertainty", "spread")  # columns shown as heat


@dataclass(frozen=True)
class Block:
    """Rows of tiles under the captions of their columns; `notes` stand above the rows."""

    captions: Sequence[str]
    rows: Sequence[Sequence[Image.Image]]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Row:
    """One slice in several versions. ``columns``: title -> [X, Y] in RAS order, in the order shown; ``note``: of it."""

    note: str
    columns: Mapping[str, np.ndarray]


def three_planes(
    volume: np.ndarray, affine: np.ndarray, caption: str = "", convention: Convention = "neurological"
) -> Image.Image:
    """One volume in a row: axial, coronal and sagittal slice through its centre of mass.

    Raises ValueError for an array that is not 3-D.
    """
    heads = [head(volume, affine)]
    size = tile_sizes(heads)
    height = max(h for _, h in size.values())
    tiles = [tile(heads[0], plane, (size[plane][0], height), convention) for plane in PLANES]
    return sheet([Block([caption], [tiles])], convention, spanning=True)


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
    heads = [head(volume, affine) for volume, affine in zip(volumes, affines, strict=True)]
    size = tile_sizes(heads)
    width = max(w for w, _ in size.values())
    blocks = -(-len(heads) // columns)
    share = -(-len(heads) // blocks)
    sheets = []
    for first in range(0, len(heads), share):
        some = heads[first : first + share]
        rows = [[tile(one, plane, (width, size[plane][1]), convention) for one in some] for plane in PLANES]
        sheets.append(Block(captions[first : first + share], rows))
    return sheet(sheets, convention)


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
    heads = [head(volume, affine, white) for volume in volumes]
    last = heads[-1]
    centre = np.mean([one.centre for one in heads], axis=0) if common else last.centre
    widest = np.max([one.extent for one in heads], axis=0) if common else last.extent
    heads = [Head(one.data, one.spacing, centre, last.middle, widest) for one in heads]
    size = tile_sizes(heads)
    width = max(size[plane][0] for plane in planes)
    rows = [[tile(one, plane, (width, size[plane][1]), convention) for one in heads] for plane in planes]
    return sheet([Block(captions, rows)], convention)


def montage(
    columns: Mapping[str, Volume],
    through: np.ndarray,
    outline: Volume | None = None,
    radius: float = 85.0,
    convention: Convention = "neurological",
) -> Image.Image:
    """Axial, coronal and sagittal slices through a world point, one column a volume; grids may differ.

    Args:
        columns: title -> volume. All are shown in the grey window of the first, but those named in `HEATS`.
        through: the point, mm.
        outline: a mask, drawn as a line.
        radius: mm to each side of the point.
        convention: which side is left.

    Raises ValueError without volumes.
    """
    _same_number(list(columns), list(columns), [])
    white = window(next(iter(columns.values())).data)
    heads = {
        title: around(volume.data, volume.affine, through, radius, None if title in HEATS else white)
        for title, volume in columns.items()
    }
    line = None if outline is None else around(outline.data, outline.affine, through, radius, 1.0)
    size = tile_sizes(list(heads.values()))
    rows = [
        [tile(one, plane, size[plane], convention, title in HEATS, line) for title, one in heads.items()]
        for plane in PLANES
    ]
    return sheet([Block(list(columns), rows)], convention)


def slices(rows: Sequence[Row], spacing: float, convention: Convention = "neurological") -> Image.Image:
    """Rows of axial slices, a note above each: source, synthetic, truth, error, uncertainty.

    The source is in its own grey window, everything else in that of the truth (of the synthetic image where there is
    none); error and uncertainty of a row are heat on one scale, since the one claims to foresee the other.

    Args:
        rows: of the same columns.
        spacing: of the pixels, mm.
        convention: which side is left.

    Raises ValueError without rows.
    """
    _same_number(rows, rows, [])
    tiles, titles = [], list(rows[0].columns)
    prepared = [_slice_heads(row, spacing) for row in rows]
    size = tile_sizes([one for heads in prepared for one in heads.values()])["axial"]
    for heads in prepared:
        tiles.append([tile(one, "axial", size, convention, title in HEATS) for title, one in heads.items()])
    return sheet([Block(titles, tiles, [row.note for row in rows])], convention)


def _slice_heads(row: Row, spacing: float) -> dict[str, Head]:
    """Each version of a slice, all placed by what the first shows."""
    images = {title: image[:, :, None] for title, image in row.columns.items()}
    affine = np.diag([spacing, spacing, spacing, 1.0])
    heat = max([window(images[title]) for title in HEATS if title in images] or [1.0])
    synthetic = [title for title in images if title.startswith("synthetic")]
    common = window(images["truth"] if "truth" in images else images[(synthetic or list(images))[0]])
    place = head(next(iter(images.values())), affine)
    made = {}
    for title, image in images.items():
        white = heat if title in HEATS else None if title == "source" else common
        data = head(image, affine, white).data
        made[title] = Head(data, place.spacing, place.centre, place.middle, place.extent)
    return made


def sheet(blocks: Sequence[Block], convention: Convention = "neurological", spanning: bool = False) -> Image.Image:
    """Blocks one below the other on dark ground: captions above the columns (`spanning`: one over all), then the rows
    of tiles; at the foot a scale bar and what L means."""
    top_space = 30 if any(any(block.captions) for block in blocks) else GAP
    foot, noted = 34, 24 if any(block.notes for block in blocks) else 0
    widths = [sum(one.width + GAP for one in block.rows[0]) + GAP for block in blocks]
    height = sum(top_space + sum(row[0].height + GAP + noted for row in block.rows) for block in blocks) + foot
    coloured = any(one.mode == "RGB" for block in blocks for row in block.rows for one in row)
    mode, ink = ("RGB", lambda grey: (grey,) * 3) if coloured else ("L", lambda grey: grey)
    sheet = Image.new(mode, (max(*widths, 340), height), ink(PAPER))  # 340: what the foot needs
    draw = ImageDraw.Draw(sheet)
    top = 0
    for block in blocks:
        captions, face, middle, left = block.captions, _caption_font(block.captions), top + top_space // 2 + 2, GAP
        if spanning and captions:
            draw.text((2 * GAP, middle), _fitting(captions[0], sheet.width - 4 * GAP, face), ink(TEXT), face, "lm")
        elif captions:
            for caption, one in zip(captions, block.rows[0], strict=True):
                draw.text((left + one.width // 2, middle), _fitting(caption, one.width, face), ink(TEXT), face, "mm")
                left += one.width + GAP
        top += top_space
        for row, note in zip(block.rows, [*block.notes, *[""] * len(block.rows)], strict=False):
            if noted:
                draw.text((GAP, top + noted // 2), note, ink(FAINT), _caption_font([note]), "lm")
                top += noted
            left = GAP
            for one in row:
                sheet.paste(one, (left, top))
                left += one.width + GAP
            top += row[0].height + GAP
    middle, bar = height - foot // 2 - 2, round(50 / MM_PER_PIXEL)
    draw.line([(2 * GAP, middle), (2 * GAP + bar, middle)], fill=ink(FAINT), width=2)
    draw.text((2 * GAP + bar + 8, middle), "50 mm", ink(FAINT), font(13), "lm")
    draw.text((sheet.width - 2 * GAP, middle), f"L is the patient's left ({convention})", ink(FAINT), font(13), "rm")
    return sheet


def _fitting(text: str, width: int, face: Any) -> str:
    """`text`, or its beginning and three dots where it is wider than `width` pixels."""
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."


def _caption_font(texts: Sequence[str]) -> Any:
    """The face that Pillow carries with it has Latin letters only; Matplotlib's has Greek, Cyrillic and signs too."""
    if "".join(texts).isascii():
        return font(15)
    from matplotlib import get_data_path

    return font(14, f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf")


def _same_number(volumes: Sequence[Any], affines: Sequence[Any], captions: Sequence[str]) -> None:
    if not len(volumes):
        raise ValueError("a picture needs at least one volume")
    if len(affines) != len(volumes) or (len(captions) and len(captions) != len(volumes)):
        raise ValueError(f"{len(volumes)} volumes, {len(affines)} affines and {len(captions)} captions do not match")
