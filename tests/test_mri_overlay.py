"""Masks whose header disagrees with the scan's: put where they were drawn, and said; never moved without a word."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from diffx.errors import DataError
from diffx_mri.align import read_mask
from diffx_mri.bids import Scan
from diffx_mri.overlay import on_grid, settled
from diffx_mri.volume import apart, load

A = np.array([[-2.0, 0, 0, 40], [0, 2, 0, -50], [0, 0, 2, -30], [0, 0, 0, 1]])  # LAS
MOVED = A.copy()
MOVED[0, 3] += 12


def turned(degrees: float) -> np.ndarray:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, -s, 0, 3], [s, c, 0, -2], [0, 0, 1, 5], [0, 0, 0, 1]]) @ A


def stored(path, data, sform, qform=None, turn="LAS", codes=(2, 1)):
    image = nib.Nifti1Image(data, sform)
    image.set_sform(sform, code=codes[0])
    image.set_qform(sform if qform is None else qform, code=codes[1])
    image.header.set_xyzt_units("mm")
    wanted = nib.orientations.axcodes2ornt(tuple(turn))
    change = nib.orientations.ornt_transform(nib.io_orientation(image.affine), wanted)
    image.as_reoriented(change).to_filename(path)
    return path


@pytest.fixture
def scene():
    """A scan, and a mask of some of its voxels; stored LAS."""
    rng = np.random.default_rng(0)
    scan = rng.uniform(1, 2, (24, 26, 20)).astype(np.float32)
    mask = np.zeros(scan.shape, np.uint8)
    mask[5:9, 6:12, 3:10] = 1
    return scan, mask


def drawn(mask) -> np.ndarray:
    return mask[::-1]  # LAS to RAS


@pytest.mark.parametrize("moved", [MOVED, turned(8)], ids=["shifted", "turned"])
def test_a_mask_by_the_qform_is_taken_voxel_by_voxel_and_said(tmp_path, scene, moved):
    scan = load(stored(tmp_path / "scan.nii.gz", scene[0], moved, A))
    said: list[str] = []
    found = on_grid(stored(tmp_path / "mask.nii.gz", scene[1], A), scan, said.append)
    assert np.array_equal(found.data, drawn(scene[1]))
    away = apart(moved, A, scene[0].shape)
    assert len(said) == 1 and "mask.nii.gz" in said[0] and f"{away:.1f} mm" in said[0] and "qform" in said[0]
    # stored in another orientation, and with no sform at all
    for name, turn, codes in (("psr", "PSR", (1, 1)), ("q", "LAS", (0, 1))):
        other = stored(tmp_path / f"{name}.nii.gz", scene[1], A, turn=turn, codes=codes)
        assert np.array_equal(on_grid(other, scan, said.append).data, drawn(scene[1]))
    assert len(said) == 3


def test_a_mask_elsewhere_stays_where_its_header_says_and_that_is_said(tmp_path, scene):
    scan = load(stored(tmp_path / "scan.nii.gz", scene[0], A))
    said: list[str] = []
    found = on_grid(stored(tmp_path / "mask.nii.gz", scene[1], MOVED), scan, said.append)
    assert np.array_equal(found.data[6:], drawn(scene[1])[:-6])  # 12 mm to the right
    assert len(said) == 1 and "12.0 mm off" in said[0] and "as many voxels" in said[0]


def test_what_agrees_is_not_spoken_of(tmp_path, scene):
    said: list[str] = []
    plain = load(stored(tmp_path / "scan.nii.gz", scene[0], A))
    moved = load(stored(tmp_path / "moved.nii.gz", scene[0], MOVED, A))
    nudge = A.copy()
    nudge[:3, 3] += 0.05
    for scan, affine in ((plain, A), (moved, MOVED), (plain, nudge)):
        found = on_grid(stored(tmp_path / "mask.nii.gz", scene[1], affine), scan, said.append)
        assert np.array_equal(found.data, drawn(scene[1]))
    fine = np.kron(scene[1], np.ones((2, 2, 2), np.uint8))  # another grid in the same space is no disagreement
    half = A @ np.diag([0.5, 0.5, 0.5, 1])
    half[:3, 3] = (A @ [-0.25, -0.25, -0.25, 1])[:3]
    finer = stored(tmp_path / "fine.nii.gz", fine, half)
    assert np.array_equal(on_grid(finer, plain, said.append).data, drawn(scene[1]))
    crop = A.copy()
    crop[:3, 3] = (A @ [2, 2, 2, 1])[:3]
    part = stored(tmp_path / "crop.nii.gz", scene[1][2:-2, 2:-2, 2:-2], crop)
    assert np.array_equal(on_grid(part, plain, said.append).data, drawn(scene[1]))
    assert not said


def test_brain_masks_of_a_folder_are_told_of_too(tmp_path, scene):
    scan = load(stored(tmp_path / "scan.nii.gz", scene[0], MOVED, A))
    mask = stored(tmp_path / "sub-1_desc-brain_mask.nii.gz", scene[1], A)
    said: list[str] = []
    found = read_mask(Scan("sub-1", None, tmp_path / "scan.nii.gz", mask, "mask"), scan, said.append)
    assert np.array_equal(found.data, drawn(scene[1])) and len(said) == 1
    with pytest.warns(UserWarning, match=r"12\.0 mm off"):
        on_grid(mask, scan)


def test_labels_keep_their_grid_and_take_the_scans_place(tmp_path, scene):
    scan = load(stored(tmp_path / "scan.nii.gz", scene[0], MOVED, A))
    labels = load(stored(tmp_path / "regions.nii.gz", scene[1] * 7, A))
    said: list[str] = []
    found = settled(labels, scan, "regions.nii.gz", said.append)
    assert np.array_equal(found.data, drawn(scene[1]) * 7) and np.array_equal(found.affine, scan.affine)
    assert len(said) == 1 and "regions.nii.gz" in said[0]
    assert settled(found, scan, "again", said.append) is found and len(said) == 1


def test_a_qform_that_is_no_rotation_is_passed_over(tmp_path, scene):
    image = nib.load(stored(tmp_path / "scan.nii.gz", scene[0], A))
    broken = nib.Nifti1Image(scene[0], A, image.header)
    broken.header["quatern_b"] = 5
    broken.to_filename(tmp_path / "broken.nii.gz")
    assert load(tmp_path / "broken.nii.gz").qform is None


def test_labels_count_in_a_segmentation_and_halves_do_not_in_a_mask(tmp_path, scene):
    scan = load(stored(tmp_path / "scan.nii.gz", scene[0], A))
    soft = scene[1] * np.float32(0.4)
    soft[0, 0, 0] = 1
    assert on_grid(stored(tmp_path / "a_mask.nii.gz", soft, A), scan).data.sum() == 1
    assert on_grid(stored(tmp_path / "a_dseg.nii.gz", soft, A), scan).data.sum() == scene[1].sum() + 1
    far = A.copy()
    far[2, 3] += 900
    with pytest.raises(DataError, match=r"far_mask\.nii\.gz: the mask is empty"):
        on_grid(stored(tmp_path / "far_mask.nii.gz", scene[1][1:], far), scan)
