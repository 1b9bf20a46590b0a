"""Made lesions: their shapes, their places and their looks."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch

from diffx.errors import DataError
from diffx_mri.anomaly.lesions import LOOKS, Blobs, Look, Shapes, _cut, _moved, insert, smooth_noise

GAPS = (-6.0, 0.0, 6.0)


def disc(radius: float = 40.0) -> np.ndarray:
    y, x = np.mgrid[:128, :128] - 64
    return np.repeat((np.hypot(x, y) < radius)[None], 3, 0)


@pytest.fixture
def folder(tmp_path):
    for n in range(12):  # a cube of its own size in each file
        data = np.zeros((60, 60, 60), np.uint8)
        data[10 : 14 + 2 * n, 10 : 14 + 2 * n, 10 : 14 + 2 * n] = 1
        nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / f"sub-{n}_lesion.nii.gz")
    return tmp_path


def test_a_shape_is_never_both_trained_on_and_evaluated_with(folder, tmp_path):
    train, val = (Shapes.read(folder, part, str(tmp_path / "cache")) for part in ("train", "val"))
    sizes = [{len(mask) for mask in shapes.masks} for shapes in (train, val)]
    assert not sizes[0] & sizes[1]
    assert sizes[0] | sizes[1] == set(range(2, 14))  # 4 to 26 voxels of 1 mm on 2 mm


def test_a_folder_without_masks_is_refused(tmp_path):
    with pytest.raises(DataError, match="lesion mask"):
        Shapes.read(tmp_path, "train", str(tmp_path / "cache"))


def test_a_plane_that_is_not_turned_is_the_plane_of_the_mask():
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 2, (5, 9, 11)).astype(np.float32)
    planes = _cut(torch.from_numpy(mask), 2.0, 0.0, 1.0, False, (-2.0, 0.0, 2.0))  # one layer is 2 mm
    middle = planes[:, 64 - 4 : 64 + 5, 64 - 5 : 64 + 6]
    assert np.allclose(middle, mask[1:4], atol=1e-5)
    assert planes.sum() == pytest.approx(mask[1:4].sum(), abs=1e-3)


def test_a_field_is_moved_to_its_place():
    field = np.zeros((3, 128, 128), np.float32)
    field[:, 64, 64] = 1
    for place in ([10, 100], [127, 0], [64, 64]):
        assert np.array_equal(np.argwhere(_moved(field, np.array(place))[1]), [place])


def test_blobs_are_as_thick_as_they_are_wide():
    areas = []
    for seed in range(200):
        planes = Blobs().draw(np.random.default_rng(seed), (0.0, 6.0, 60.0))
        assert planes.min() >= 0 and planes.max() <= 1
        areas.append(planes.sum((1, 2)))
    middle, near, far = np.mean(areas, 0)
    assert middle > near > far
    assert far < 0.2 * middle


@pytest.mark.parametrize("seed", range(8))
def test_a_lesion_stays_in_the_brain_and_changes_nothing_else(seed):
    healthy, brain = np.ones((3, 128, 128), np.float32), disc()
    ill, share = insert(np.random.default_rng(seed), healthy, brain, Blobs(), LOOKS["FLAIR"], GAPS)
    assert share.min() >= 0 and share.max() <= 1
    assert not share[~brain].any()
    assert np.array_equal(ill[share == 0], healthy[share == 0])
    again, _ = insert(np.random.default_rng(seed), healthy, brain, Blobs(), LOOKS["FLAIR"], GAPS)
    assert np.array_equal(ill, again)


def test_bright_ones_are_brighter_and_dark_ones_darker():
    healthy, brain = np.full((3, 128, 128), 1.0, np.float32), disc()
    for look, sign in ((Look(1.0, (1.5, 2.0), (0.2, 0.5)), 1), (Look(0.0, (1.5, 2.0), (0.2, 0.5)), -1)):
        changes = []
        for seed in range(40):
            ill, share = insert(np.random.default_rng(seed), healthy, brain, Blobs(), look, GAPS)
            changes.append(float(((ill - healthy) * share).sum()))
        assert np.mean(np.sign(changes) == sign) > 0.9


def test_noise_has_unit_deviation_and_the_grain_asked_for():
    for width in (4.0, 16.0):
        fields = np.stack([smooth_noise(np.random.default_rng(s), width)[0] for s in range(40)])
        assert fields.std() == pytest.approx(1, abs=0.15)
        neighbour = np.corrcoef(fields[:, :-1].ravel(), fields[:, 1:].ravel())[0, 1]
        assert neighbour > 1 - 2.2 / width
        far = int(2 * width)
        assert abs(np.corrcoef(fields[:, :-far].ravel(), fields[:, far:].ravel())[0, 1]) < 0.15
