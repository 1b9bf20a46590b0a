"""AnomalyDetector: where its output lies, what it says of a scan whose healthy image is known, and bad input."""

from __future__ import annotations

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from anomaly_fakes import LESION, SHAPE, affine, head, knowing, thresholds, truth, write

from diffx.errors import DataError, UsageError
from diffx_mri.anomaly.calibrate import Thresholds
from diffx_mri.anomaly.face import AnomalyDetector
from diffx_mri.volume import load


@pytest.mark.parametrize("axes", ["RAS", "LPI", "PSR"])
def test_everything_lies_in_the_scans_own_space(axes, tmp_path):
    path = write(tmp_path / "sub-01_FLAIR.nii.gz", head(lesion=300).data, axes)
    found = knowing(head()).detect(path, n=2)
    before = nib.load(path)
    for image in (found.anomaly, found.mask, found.healthy, found.certainty):
        assert image.shape == before.shape and np.array_equal(image.affine, before.affine)
        for form in ("sform", "qform"):
            (a, code), (b, kept) = (getattr(i.header, f"get_{form}")(coded=True) for i in (before, image))
            assert code == kept == 1 and np.array_equal(a, b)
    assert found.mask.get_data_dtype() == np.uint8
    (lesion,) = found.lesions
    box = np.argwhere(truth()).mean(0) @ affine()[:3, :3].T + affine()[:3, 3]
    assert (lesion.x_mm, lesion.y_mm, lesion.z_mm) == pytest.approx(box, abs=1.5)
    assert lesion.volume_ml == pytest.approx(truth().sum() * 54 / 1000, rel=0.25)
    odds = np.exp(6.2 + 6.0 - 6.0)  # of what EVIDENCE says a difference of 300 / 500 and a drawn lesion are worth
    assert lesion.peak == pytest.approx(odds / (1 + odds), abs=1e-3) and lesion.certainty == pytest.approx(1, abs=0.1)
    # by world coordinates, through the file
    nib.save(found.mask, tmp_path / "mask.nii.gz")
    mask = load(tmp_path / "mask.nii.gz").data > 0
    assert 2 * (mask & truth()).sum() / (mask.sum() + truth().sum()) > 0.85
    healthy = load(nib.Nifti1Image(found.healthy.get_fdata(), found.healthy.affine, found.healthy.header))
    assert np.median(healthy.data[LESION]) == pytest.approx(500, rel=0.02)


def test_a_higher_rate_marks_more_and_false_lesions_take_its_place():
    detector, scan = knowing(head()), nib.Nifti1Image(head(1, 125).data, affine())
    scan.set_sform(affine(), 1)
    few, many = (detector.detect(scan, fpr=fpr, n=1) for fpr in (0.005, 0.05))
    assert few.threshold == pytest.approx(1 / 6) and few.fpr == pytest.approx(0.005)
    assert few.marked.sum() < many.marked.sum()
    assert not (few.marked & ~many.marked).any()
    assert detector.threshold(false_lesions=5) > detector.threshold(false_lesions=10)
    with pytest.raises(UsageError, match=r"fpr=1e-05: the 10 healthy scans of this calibration tell 0.001 to 0.1"):
        detector.detect(scan, fpr=1e-5)
    with pytest.raises(UsageError, match="no thresholds: run task=calibrate"):
        AnomalyDetector(detector.model).detect(scan)


def test_a_brain_mask_is_where_it_looks():
    scan = nib.Nifti1Image(head(lesion=300).data, affine())
    scan.set_sform(affine(), 1)
    inside = np.zeros(SHAPE, np.uint8)
    inside[18:46, 20:52, 4:16] = 1
    mask = nib.Nifti1Image(inside, affine())
    mask.set_sform(affine(), 1)
    found = knowing(head()).detect(scan, mask, n=1)
    assert found.maps.stripped and not found.maps.region[inside == 0].any()
    assert not found.marked[inside == 0].any() and found.marked[LESION].mean() > 0.7
    assert not knowing(head()).detect(scan, n=1).maps.stripped


def bad(tmp_path) -> dict[str, tuple[object, str]]:
    data = head().data
    long = nib.Nifti1Image(np.random.default_rng(0).random((40, 40, 200)).astype(np.float32), np.diag([8.0, 8, 8, 1]))
    long.set_sform(long.affine, 1)
    nan = data.copy()
    nan[3, 3, 3] = np.nan
    (tmp_path / "text.nii.gz").write_text("not an image")
    (tmp_path / "none.nii.gz").write_bytes(b"")
    return {
        "text": (tmp_path / "text.nii.gz", "text.nii.gz: not readable as NIfTI"),
        "no bytes": (tmp_path / "none.nii.gz", "none.nii.gz: the file is empty"),
        "flat": (write(tmp_path / "flat.nii.gz", data[:, :, :1]), "64x72x1 is not a 3-D volume"),
        "films": (nib.Nifti1Image(np.stack([data, data], -1), affine()), "64x72x20x2 has several frames"),
        "constant": (
            write(tmp_path / "same.nii.gz", np.full(SHAPE, 7.0)),
            "same.nii.gz: all voxels have the same value, 7",
        ),
        "NaN": (write(tmp_path / "nan.nii.gz", nan), "nan.nii.gz: 1 voxels are NaN or infinite"),
        "negative": (write(tmp_path / "dark.nii.gz", data - 2000), "dark.nii.gz: "),
        "a body": (long, "a field of view of 320 x 320 x 1600 mm is that of a body"),
    }


@pytest.mark.parametrize("kind", ["text", "no bytes", "flat", "films", "constant", "NaN", "negative", "a body"])
def test_bad_input_gets_one_line(kind, tmp_path):
    scan, said = bad(tmp_path)[kind]
    with pytest.raises(DataError) as error:
        knowing(head()).detect(scan)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_mask_elsewhere_is_told(tmp_path):
    scan = write(tmp_path / "sub-01_FLAIR.nii.gz", head().data)
    there = np.diag([2.0, 2, 2, 1])
    there[:3, 3] = 900
    box = np.zeros((9, 9, 9), np.uint8)
    box[2:5, 2:5, 2:5] = 1
    mask = nib.Nifti1Image(box, there)
    mask.set_sform(there, 1)
    with pytest.raises(DataError, match="empty on the scan's grid"):
        knowing(head()).detect(scan, mask)


def test_as_many_images_are_drawn_as_the_thresholds_were_counted_with(monkeypatch):
    detector, asked = knowing(head()), []
    draw = detector.model.draw

    def counting(stack, seeds, options):
        asked.append(len(seeds))
        return draw(stack, seeds)

    monkeypatch.setattr(detector.model, "draw", counting)
    detector.maps(head())
    own = thresholds()
    counted = AnomalyDetector(detector.model, Thresholds(*(replace(one, made_with={"n": 5}) for one in own.known)))
    counted.maps(head())
    counted.maps(head(), n=3)
    assert asked == [2, 5, 3]
