"""Pictures of brains: the right side is marked, the scale is right, whatever the orientation of the file."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from diffx_mri import pictures, tiles
from diffx_mri.volume import Volume

SHAPE = (40, 50, 44)
MM = 2.0


def head(radius_mm: float = 36.0) -> tuple[np.ndarray, np.ndarray]:
    """A grey ball in RAS with a bright spot towards the left, the front and the top of the middle of each."""
    affine = np.diag([MM, MM, MM, 1.0])
    affine[:3, 3] = [-40.0, -50.0, -44.0]
    world = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1) * MM + affine[:3, 3]
    volume = np.where((world**2).sum(-1) < radius_mm**2, 0.4, 0.0)
    for spot in ([-20, 0, 0], [0, 20, 0], [0, 0, 20]):  # left, anterior, superior
        volume[((world - spot) ** 2).sum(-1) < 7**2] = 1.0
    return volume.astype(np.float32), affine


def orientations():
    return ["".join(codes) for codes in itertools.product("LR", "AP", "IS")] + ["PSR", "SAL"]


def turned(volume, affine, codes):
    """The same head stored with other axes."""
    to = nib.orientations.axcodes2ornt(codes)
    turn = nib.orientations.ornt_transform(nib.orientations.io_orientation(affine), to)
    stored = nib.orientations.apply_orientation(volume, turn)
    return stored, affine @ nib.orientations.inv_ornt_aff(turn, volume.shape)


def spots(tile: np.ndarray) -> np.ndarray:
    """Where it is bright: mean (x, y) relative to the middle of the tile, in mm, x to the right and y up."""
    rows, columns = np.nonzero(tile > 215)
    middle = (np.array(tile.shape[::-1]) - 1) / 2
    return np.array([columns.mean() - middle[0], middle[1] - rows.mean()]) * tiles.MM_PER_PIXEL


def tile(volume, affine, plane, convention="neurological"):
    ready = tiles.head(volume, affine)
    size = tiles.tile_sizes([ready])[plane]
    return np.asarray(tiles.tile(ready, plane, size, convention)).astype(int)


def glyph(letter: str) -> np.ndarray:
    mask = ImageFont.load_default(15).getmask(letter, mode="L")
    return np.array(mask).reshape(mask.size[::-1])


def mark(side: np.ndarray, letters: str) -> str:
    """Which of the letters stands in the upper corner of a tile: the one whose shape fits best."""
    seen = side.astype(float) - tiles.PAPER
    fits = {}
    for letter in letters:
        shape = glyph(letter).astype(float)
        windows = np.lib.stride_tricks.sliding_window_view(seen, shape.shape)
        error = ((windows - shape * (tiles.FAINT - tiles.PAPER) / 255) ** 2).sum((-1, -2))
        fits[letter] = error.min() / (shape**2).sum()
    return min(fits, key=fits.get)


@pytest.mark.parametrize("codes", orientations())
@pytest.mark.parametrize("convention", ["neurological", "radiological"])
def test_the_left_spot_is_on_the_side_marked_l(codes, convention):
    volume, affine = turned(*head(), codes)
    for plane, letters in (("axial", "LR"), ("coronal", "LR"), ("sagittal", "PA")):
        shown = tile(volume, affine, plane, convention)
        left, right = mark(shown[:24, :20], letters), mark(shown[:24, -20:], letters)
        assert {left, right} == set(letters)
        assert (left, right) == tiles.sides(plane, convention)
    # The axial slice shows the left and the anterior spot, whose mean is 10 mm towards each.
    x, y = spots(tile(volume, affine, "axial", convention))
    toward_l = -1 if tiles.sides("axial", convention)[0] == "L" else 1
    assert (x, y) == pytest.approx((toward_l * 10, 10), abs=1.0)
    x, y = spots(tile(volume, affine, "coronal", convention))
    assert (x, y) == pytest.approx((toward_l * 10, 10), abs=1.0)
    toward_a = -1 if tiles.sides("sagittal", convention)[0] == "A" else 1
    x, y = spots(tile(volume, affine, "sagittal", convention))
    assert (x, y) == pytest.approx((toward_a * 10, 10), abs=1.0)


def test_the_two_conventions_are_as_the_field_names_them():
    assert tiles.sides("axial", "neurological") == ("L", "R")
    assert tiles.sides("coronal", "radiological") == ("R", "L")
    with pytest.raises(ValueError, match="upside"):
        tiles.sides("axial", "upside")


def test_the_marks_are_read_right():
    """The reader of marks above can tell letters apart."""
    sheet = Image.new("L", (20, 24), tiles.PAPER)
    ImageDraw.Draw(sheet).text((6, 6), "R", fill=tiles.FAINT, font=ImageFont.load_default(15))
    assert mark(np.asarray(sheet), "LR") == "R"


@pytest.mark.parametrize("spacing", [(2, 2, 2), (1, 1, 5), (0.8, 3, 1.5)])
def test_a_ball_is_round_and_of_its_size_whatever_the_spacing(spacing):
    n = [int(100 / s) for s in spacing]
    x, y, z = [(np.arange(k) + 0.5 - k / 2) * s for k, s in zip(n, spacing, strict=True)]
    ball = (x[:, None, None] ** 2 + y[:, None] ** 2 + z**2 < 40**2).astype(np.float32)
    for plane in tiles.PLANES:
        inside = tile(ball, np.diag([*spacing, 1.0]), plane) > 130
        inside[:24, :20] = inside[:24, -20:] = False  # the marks
        across = (inside.any(0).sum() * tiles.MM_PER_PIXEL, inside.any(1).sum() * tiles.MM_PER_PIXEL)
        assert across == pytest.approx((80, 80), abs=max(spacing) + 1)


def test_one_scale_for_all_volumes_of_a_grid():
    small, big = head(25.0), head(38.0)
    ready = [tiles.head(*one) for one in (small, big)]
    size = tiles.tile_sizes(ready)["axial"]
    wide = [(np.asarray(tiles.tile(h, "axial", size, "neurological"))[30:] > 60).any(0).sum() for h in ready]
    assert wide[1] / wide[0] == pytest.approx(38 / 25, rel=0.08)


def test_the_window_ends_at_the_percentile_and_darkness_is_the_ground():
    volume, affine = head()
    volume[20, 25, 22] = 1e4  # one hot voxel must not darken the rest
    shown = tile(volume, affine, "axial")
    assert 0.95 <= tiles.window(volume) <= 1.05
    assert (shown == tiles.PAPER).mean() > 0.2 and (shown > 215).sum() > 100


@pytest.mark.parametrize("volume", [np.zeros(SHAPE), np.full(SHAPE, np.nan), -np.ones(SHAPE)])
def test_an_empty_volume_is_a_dark_picture_not_an_error(volume):
    shown = tile(volume, np.diag([MM, MM, MM, 1.0]), "axial")
    assert (shown[30:] == tiles.PAPER).all()


def test_pictures_have_a_place_for_each_volume():
    volume, affine = head()
    one = pictures.three_planes(volume, affine, "F, 70 y, seed 1")
    assert one.width > one.height and one.mode == "L"
    tall = [pictures.grid([volume] * n, [affine] * n, ["x"] * n).size for n in (1, 4, 5, 8)]
    assert tall[0][0] < tall[1][0] < tall[2][0] and tall[0][1] == tall[2][1]
    assert tall[3][0] == tall[1][0] and tall[3][1] > 1.8 * tall[1][1]  # eight: two blocks of four
    with pytest.raises(ValueError, match="captions"):
        pictures.grid([volume], [affine], ["a", "b"])
    with pytest.raises(ValueError, match="at least one"):
        pictures.sweep([], affine)
    with pytest.raises(ValueError, match="3-D"):
        pictures.three_planes(volume[0], affine)


def columns(image, volume, affine, n):
    """The upper row of tiles of a strip or a sweep, without the captions."""
    width, height = tiles.tile_sizes([tiles.head(volume, affine)])["axial"]
    step = width + pictures.GAP
    sheet = np.asarray(image).astype(int)[pictures.GAP : pictures.GAP + height]
    return [sheet[:, pictures.GAP + i * step : pictures.GAP + i * step + width] for i in range(n)]


def test_a_sweep_has_one_window_and_a_strip_one_for_each_state():
    volume, affine = head()
    pair = [volume, volume * 0.5]
    full, half = columns(pictures.sweep(pair, affine), volume, affine, 2)
    assert full.max() == 255 and half[30:].max() < 205
    full, half = columns(pictures.strip(pair, affine), volume, affine, 2)
    assert np.array_equal(full, half)


def test_a_strip_cuts_every_state_where_the_last_has_its_centre():
    volume, affine = head()
    moved = np.roll(volume, 8, axis=2)  # 16 mm higher
    other, last = columns(pictures.strip([moved, volume], affine), volume, affine, 2)
    own, _ = columns(pictures.strip([moved, moved], affine), volume, affine, 2)
    alone = columns(pictures.strip([volume], affine), volume, affine, 1)[0]
    assert np.array_equal(last, alone)
    assert np.abs(other - own).max() > 50


def test_captions_that_are_too_long_are_cut():
    font = pictures._caption_font(["abc"])
    assert pictures._fitting("short", 200, font) == "short"
    cut = pictures._fitting("a caption much longer than its tile", 120, font)
    assert cut.startswith("a caption") and cut.endswith("...") and font.getlength(cut) <= 120


def test_signs_beyond_the_alphabet_are_drawn():
    """A missing glyph looks the same whatever the sign."""
    font = pictures._caption_font(["σ 80"])
    assert len({bytes(font.getmask(sign)) for sign in "σ→Ω"}) == 3


def test_a_montage_is_centred_on_its_point_with_an_outline_and_heat():
    volume, affine = head()
    scan = Volume(volume, affine)
    mask = Volume((volume == 1.0).astype(np.float32), affine)
    point = np.array([-20.0, 0, 0])  # the spot on the left
    picture = np.asarray(pictures.montage({"scan": scan, "spread": scan}, point, mask, radius=40)).astype(int)
    width, height = tiles.tile_sizes([tiles.around(volume, affine, point, 40)])["axial"]
    assert (width, height) == (114, 114)  # 80 mm at 0.7 mm
    axial = picture[30 : 30 + height, tiles_left(0, width) : tiles_left(0, width) + width]
    middle = axial[height // 2 - 2 : height // 2 + 2, width // 2 - 2 : width // 2 + 2]
    assert (middle > 240).all()  # the spot is in the middle
    orange = (axial == tiles.OUTLINE).all(-1)
    rows, columns_ = np.nonzero(orange)
    reach = np.hypot(rows - height / 2 + 0.5, columns_ - width / 2 + 0.5) * tiles.MM_PER_PIXEL
    near = reach < 15  # the outline of the front spot is further away
    assert near.sum() > 30 and reach[near].min() > 5 and reach[near].max() < 9  # a ring of the spot's radius, 7 mm
    heat = picture[30 : 30 + height, tiles_left(1, width) : tiles_left(1, width) + width]
    assert (np.ptp(heat, axis=-1) > 60).sum() > 1000 > 100 > (np.ptp(axial[~orange], axis=-1) > 0).sum()


def tiles_left(column: int, width: int) -> int:
    return pictures.GAP + column * (width + pictures.GAP)


def test_rows_show_synthetic_and_truth_in_one_window_and_errors_on_one_scale():
    truth = np.zeros((60, 70), np.float32)
    truth[10:50, 10:60] = 1.0
    row = pictures.Row(
        "sub-01",
        {"source": 5 * truth, "synthetic": 0.5 * truth, "truth": truth, "error": 0.5 * truth, "uncertainty": truth},
    )
    picture = np.asarray(pictures.slices([row, row], spacing=1.4)).astype(int)
    place = tiles.head(truth[:, :, None], np.diag([1.4, 1.4, 1.4, 1.0]))
    width, height = tiles.tile_sizes([place])["axial"]
    middle = [picture[30 + 24 + height // 2, tiles_left(i, width) + width // 2] for i in range(5)]
    assert [m.tolist() for m in middle[:3]] == [[255] * 3, [132] * 3, [255] * 3]
    assert np.ptp(middle[3]) > 60 and middle[4].sum() > middle[3].sum() > 0  # heat, and half of the scale
    with pytest.raises(ValueError, match="at least one"):
        pictures.slices([], 1.0)
