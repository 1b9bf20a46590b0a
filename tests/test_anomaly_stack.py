"""A scan as slices of one scale and grid, and back."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from anomaly_phantom import head, radius

from diffx.errors import DataError
from diffx_mri.anomaly.stack import Stack
from diffx_mri.anomaly.strip import compact, depth_of, looks_stripped, rough_brain
from diffx_mri.volume import Volume, load


def test_intensity_is_in_units_of_the_brain_whatever_the_scanner_made_of_it():
    image, _ = head()
    stack = Stack.of(image, None, "FLAIR")
    louder = Stack.of(Volume(image.data * 37, image.affine), None, "FLAIR")
    assert np.allclose(stack.slices, louder.slices, atol=1e-4)
    assert stack.scale == pytest.approx(100, rel=0.06)
    inside = radius(image.data.shape, (2, 2, 6)) < 60
    assert np.median(stack.restore(stack.slices)[inside]) == pytest.approx(1, abs=0.03)


def test_the_brain_has_one_scale_with_its_skull_and_without():
    image, brain = head()
    with_skull, masked = Stack.of(image, None, "FLAIR"), Stack.of(image, brain, "FLAIR")
    assert with_skull.scale == pytest.approx(masked.scale, rel=0.05)


def test_any_orientation_gives_the_same_slices(tmp_path):
    image, _ = head(shape=(90, 100, 24))
    image.data[20:30, 60:70, 5:9] = 250.0  # so that no axis is like another
    straight = Stack.of(image, None, "FLAIR")
    stored = nib.Nifti1Image(image.data, image.affine)
    turned = stored.as_reoriented(nib.orientations.axcodes2ornt(("P", "S", "R")))
    turned.set_sform(turned.affine, code=1)
    nib.save(turned, tmp_path / "turned.nii.gz")
    again = Stack.of(load(tmp_path / "turned.nii.gz"), None, "FLAIR")
    assert np.array_equal(straight.slices, again.slices)
    assert np.array_equal(straight.region, again.region)


@pytest.mark.parametrize(
    ("shape", "spacing", "thickness"),
    [
        ((100, 110, 30), (2.0, 2.0, 6.0), 6.0),
        ((200, 210, 180), (1.0, 1.0, 1.0), 3.0),
        ((220, 230, 22), (0.9, 0.9, 8.0), 8.0),
    ],
)
def test_what_is_restored_lies_where_it_was(shape, spacing, thickness):
    image, _ = head(shape, spacing)
    stack = Stack.of(image, None, "FLAIR")
    assert stack.thickness == thickness
    place = np.array([20.0, -30.0, 10.0])  # mm; slices of a blob there, and the blob restored
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
    blob = np.exp(-((image.world(index) - place) ** 2).sum(-1) / (2 * 10.0**2)).astype(np.float32)
    restored = stack.restore(stack.grid.slices(Volume(blob, image.affine)))
    centre = (image.world(index) * restored[..., None]).sum((0, 1, 2)) / restored.sum()
    assert np.abs(centre - place).max() < 0.3
    assert restored.shape == shape and restored.dtype == np.float32


def test_a_scan_on_the_grid_of_the_network_comes_back_to_the_bit():
    image, _ = head(shape=(128, 128, 20))
    stack = Stack.of(image, None, "FLAIR")
    assert np.array_equal(stack.restore(stack.slices), np.moveaxis(stack.slices, 0, 2))


def test_masks_are_restored_as_masks():
    image, brain = head(shape=(200, 210, 40), spacing=(1.0, 1.0, 4.0))
    stack = Stack.of(image, brain, "FLAIR")
    back = stack.restore(stack.region, order=0)
    assert set(np.unique(back)) == {0.0, 1.0}
    overlap = 2 * (back * brain.data).sum() / (back.sum() + brain.data.sum())
    assert overlap > 0.97


def test_thin_slices_are_averaged_to_what_networks_of_the_contrast_saw():
    image, _ = head((100, 110, 180), (2.0, 2.0, 1.0))
    assert Stack.of(image, None, "FLAIR").slices.shape == (60, 128, 128)
    assert Stack.of(image, None, "T1w").slices.shape == (90, 128, 128)


def test_a_brain_without_skull_is_told_from_a_head():
    image, brain = head()
    assert not Stack.of(image, None, "FLAIR").stripped
    assert Stack.of(head(skull=False)[0], None, "FLAIR").stripped
    masked = Stack.of(image, brain, "FLAIR")
    assert masked.stripped
    assert not masked.slices[~masked.region].any()


def test_a_profile_that_falls_from_scalp_to_skull_is_a_head():
    y, x = np.mgrid[:64, :64] - 31.5
    r = np.hypot(x, y)[None]
    depth = depth_of(np.repeat(r < 28, 3, 0))
    scalp = np.repeat(np.select([r < 20, r < 24, r < 28], [1.0, 0.2, 1.5], 0.0), 3, 0)
    assert not looks_stripped(scalp, depth, 6.0)
    assert looks_stripped(np.repeat(np.where(r < 28, np.clip((28 - r) / 8, 0.2, 1), 0), 3, 0), depth, 6.0)


def test_the_rough_brain_is_the_brain_of_a_plain_head():
    image, brain = head()
    stack = Stack.of(image, None, "FLAIR")
    rough, true = rough_brain(stack.slices, depth_of(stack.region)), stack.grid.slices(brain) > 0.5
    middle = slice(10, 20)
    overlap = 2 * (rough & true)[middle].sum() / (rough[middle].sum() + true[middle].sum())
    assert overlap > 0.95
    assert compact(rough[15])
    jagged = rough[15].copy()
    jagged[::4] = False
    assert not compact(jagged)


def test_what_shows_no_head_is_refused():
    image, brain = head()
    with pytest.raises(DataError, match="inside the mask"):
        Stack.of(image, Volume(np.zeros_like(brain.data), brain.affine), "FLAIR")
    with pytest.raises(DataError, match="empty"):
        Stack.of(Volume(np.zeros_like(image.data), image.affine), None, "FLAIR")
