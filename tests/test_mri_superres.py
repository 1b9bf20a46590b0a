"""Thick slices to thin ones: the result averages to what was measured, lies where it came from, and knows the brain."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

pytest.importorskip("monai")

import torch
from mri_restore import SMALL, centres, narrow_synth, scene, small_codec, straight

from diffx.cli import main
from diffx.errors import DataError
from diffx_mri.placed import Placed
from diffx_mri.synth import superres as module
from diffx_mri.synth.superres import Slices, consistent, divided, division, enlarged, means, superres
from diffx_mri.volume import Volume, load

FACTORS = (1, 1, 3)


def thick_scan(factor: int = 5) -> tuple[Volume, Volume, np.ndarray, np.ndarray]:
    """A phantom's means over `factor` slices of 4 mm, its mask, and truth and affine of the thin slices."""
    affine, (n, _, _) = straight(4.0)
    shape = (n, n, n // factor * factor)
    image, mask = scene(centres(affine, shape), 0.4)
    wide = divided(affine, (1, 1, 1 / factor))
    parts = (1, 1, factor)
    return (
        Volume((means(image, parts) * 700).astype(np.float32), wide),
        Volume((means(mask, parts) > 0.5).astype(np.float32), wide),
        image * 700,
        affine,
    )


def test_a_voxel_is_divided_into_the_fewest_parts_that_are_fine_enough():
    assert division(np.array([1.0, 1.0, 6.0]), 2.0) == (1, 1, 3)
    assert division(np.array([2.0, 2.0, 5.0]), 2.0) == (1, 1, 3)  # 1.67 mm; two parts would have 2.5
    assert division(np.array([2.05, 2.0, 6.1]), 2.0) == (1, 1, 3)  # a twentieth is no reason
    assert division(np.array([3.0, 3.0, 6.0]), 1.5) == (2, 2, 4)


def test_parts_lie_where_their_voxel_lay():
    """The centre of a voxel's parts is its own, in the world, whatever the tilt; and dividing undoes itself."""
    affine = np.array([[0.9, 0.1, -2.0, 5], [-0.2, 1.1, 1.0, -7], [0.1, 0.0, 5.0, 3], [0, 0, 0, 1]])
    factors = (2, 1, 3)
    thin = divided(affine, factors)
    coarse, fine = centres(affine, (4, 3, 5)), centres(thin, (8, 3, 15))
    np.testing.assert_allclose(fine.reshape(4, 2, 3, 1, 5, 3, 3).mean((1, 3, 5)), coarse, atol=1e-9)
    np.testing.assert_allclose(divided(thin, (1 / 2, 1, 1 / 3)), affine, atol=1e-12)


def test_interpolation_is_exact_for_lines_and_consistent_means_the_measurement():
    ramp = np.broadcast_to(np.arange(12.0), (5, 6, 12)).copy()
    fine = enlarged(ramp, FACTORS, 1)
    np.testing.assert_allclose(fine[2, 2, 3:-3], (np.arange(36.0) - 1)[3:-3] / 3, atol=1e-9)  # cell-centred
    rng = np.random.default_rng(0)
    measured, guess = rng.normal(size=(6, 8, 5)), rng.normal(size=(12, 8, 15))
    out = consistent(guess, measured, (2, 1, 3))
    np.testing.assert_allclose(means(out, (2, 1, 3)), measured, atol=1e-12)
    np.testing.assert_allclose(consistent(out, measured, (2, 1, 3)), out, atol=1e-12)  # a projection
    smooth = enlarged(rng.normal(size=(3, 4, 3)), (2, 2, 5), 3)
    # what is missing comes back smoothly: a blurred copy is nearer to the truth than its steps would be
    parts = (1, 1, 3)
    back, steps = consistent(0 * smooth, means(smooth, parts), parts), means(smooth, parts).repeat(3, 2)
    assert np.square(back - smooth).mean() < 0.3 * np.square(steps - smooth).mean()


def test_the_operator_is_linear_and_its_adjoint_exact():
    codec = small_codec()
    where = SMALL.points((20, 24, 18), 8.0) * 0.8
    counted = (torch.rand(1, 1, 20, 24, 6, generator=torch.Generator().manual_seed(1)) > 0.2).float()
    slices = Slices(codec, where, FACTORS, counted)
    x = torch.randn(2, *codec.shape, generator=torch.Generator().manual_seed(2))
    y = torch.randn(2, 1, 20, 24, 6, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(slices(2 * x[:1] - 3 * x[1:]), 2 * slices(x[:1]) - 3 * slices(x[1:]), atol=1e-4, rtol=0)
    left, right = (slices(x) * y).sum((1, 2, 3, 4)), (x * slices.adjoint(y)).sum((1, 2, 3, 4))
    torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-3)
    assert slices.adjoint(y)[:, :3].abs().max() == 0  # shape is not measured
    assert (slices(x)[~counted.bool().expand(2, -1, -1, -1, -1)] == 0).all()


def test_thin_slices_average_to_the_thick_ones_and_beat_interpolation(monkeypatch):
    synth = narrow_synth(monkeypatch, module)
    parts = (1, 1, 5)
    scan, brain, truth, affine = thick_scan(5)
    done = superres(synth, scan, brain, 4.0, [1, 2])
    assert done.factors == parts and done.data.shape == (2, *truth.shape)
    np.testing.assert_allclose(done.affine, affine, atol=1e-6)
    for one in (*done.data, done.mean, done.cubic):
        assert np.abs(means(one, parts) - scan.data).max() < 1e-4 * np.ptp(scan.data)
    assert done.error < 1e-4
    inside = done.brain
    error = lambda data: float(np.square(data - truth)[inside].mean())  # noqa: E731
    assert error(done.mean) < 0.8 * error(done.cubic)
    np.testing.assert_allclose(done.data[:, 0], np.repeat(done.cubic[None, 0], 2, 0), atol=1e-3)  # outside: cubic
    alone = superres(synth, scan, brain, 4.0, [2])
    np.testing.assert_allclose(alone.data[0], done.data[1], rtol=1e-4, atol=0.5)
    with pytest.raises(DataError, match="nothing to divide"):
        superres(synth, scan, brain, 20.0)


def test_points_go_to_the_canvas_and_back():
    angle = 0.3
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    pose[:3, 3] = [4, -3, 8]
    placed = Placed(torch.zeros(1), pose, np.array([10.0, -20, 30]), 1.0)
    points = np.random.default_rng(0).normal(0, 50, (7, 3))
    np.testing.assert_allclose(placed.to_world(placed.to_canvas(points)), points, atol=1e-9)
    np.testing.assert_allclose(placed.to_canvas(np.array([14.0, -23, 38])), 0, atol=1e-12)


def test_the_command_line_keeps_scanner_space_and_measurement(tmp_path):
    """Shipped weights, sagittal 8 mm slices stored LSA: written thin, coded as the scan was, and averaging to it."""
    from diffx_mri import BrainSynth

    codec = BrainSynth.load(device="cpu").codec
    mean = codec.mean_brain().numpy()[::2, ::2, ::2]
    affine = codec.affine @ np.diag([2.0, 2, 2, 1])
    wide, parts = divided(affine, (1 / 2, 1, 1)), (2, 1, 1)
    turn = nib.orientations.ornt_transform(nib.io_orientation(wide), nib.orientations.axcodes2ornt(("L", "S", "A")))
    for name, data in (("thick_T1w", means(mean, parts) * 900), ("brain", means(mean, parts) > 0.1)):
        image = nib.Nifti1Image(data.astype(np.float32), wide)
        image.header.set_xyzt_units("mm")
        stored = image.as_reoriented(turn)
        stored.set_sform(stored.affine, 4)
        stored.to_filename(tmp_path / f"{name}.nii.gz")
    words = ["plugin=mri_synth", "task=superres", f"data.file={tmp_path / 'thick_T1w.nii.gz'}", "data.voxel=4", "n=1"]
    words += [f"data.brain={tmp_path / 'brain.nii.gz'}", "restore.steps=2", "restore.iterations=1", "device=cpu"]
    words += ["restore.detail=true", "restore.detail_steps=1"]
    assert main(["run", *words, f"out={tmp_path / 'run'}"]) == 0
    written = tmp_path / "run/samples/thick_desc-superres_T1w.nii.gz"
    thin, thick = load(written), load(tmp_path / "thick_T1w.nii.gz")
    assert nib.load(written).header["sform_code"] == 4
    np.testing.assert_allclose(thin.affine, affine, atol=1e-4)
    assert np.abs(means(thin.data, parts) - thick.data).max() < 3e-4 * np.ptp(thick.data)  # int16
    assert (tmp_path / "run/report.html").read_text().count("data:image/") == 1


def test_a_notebook_gets_thin_slices_where_the_thick_ones_lie(monkeypatch, tmp_path):
    """`BrainSynth.superres`: the same of a file and of the image in it; every thin image averages to the scan."""
    from diffx_mri import BrainSynth

    face = BrainSynth(None, narrow_synth(monkeypatch, module).codec, {})
    parts = (1, 1, 5)
    scan, brain, _, affine = thick_scan(5)
    image, mask = (nib.Nifti1Image(v.data, v.affine) for v in (scan, brain))
    image.header.set_xyzt_units("mm")
    turn = nib.orientations.ornt_transform(nib.io_orientation(scan.affine), [[2, 1], [0, -1], [1, 1]])
    turned = image.as_reoriented(turn)
    turned.set_sform(turned.affine, 4)
    nib.save(turned, tmp_path / "thick_T1w.nii.gz")
    made = face.superres(turned, voxel=4.0, n=2, seed=1, brain=mask)
    for got in (*made.samples, made.mean):
        np.testing.assert_allclose(got.affine, affine, atol=1e-5)
        assert got.header["sform_code"] == 4 and got.header.get_xyzt_units()[0] == "mm"
        assert np.abs(means(got.get_fdata(), parts) - scan.data).max() < 1e-4 * np.ptp(scan.data)
    np.testing.assert_allclose(
        made.mean.get_fdata(), (made.samples[0].get_fdata() + made.samples[1].get_fdata()) / 2, atol=1e-3
    )
    assert made.spread.get_fdata().max() > 0
    one = face.superres(tmp_path / "thick_T1w.nii.gz", 4.0, n=1, seed=2, brain=mask)
    np.testing.assert_allclose(one.samples[0].get_fdata(), made.samples[1].get_fdata(), rtol=1e-4, atol=0.5)
    assert one.spread is None
    [file] = one.save(tmp_path, "thick")
    assert file.name == "thick_desc-superres_T1w.nii.gz"
    np.testing.assert_allclose(load(file).data, one.mean.get_fdata(), atol=np.ptp(scan.data) / 32767)
    with pytest.raises(DataError, match=r"thick_T1w.nii.gz: voxels of 4 x 4 x 20 mm are not coarser"):
        face.superres(tmp_path / "thick_T1w.nii.gz", 20.0, n=1, brain=mask)
