"""Lesion filling: what is outside the mask keeps its bits, what was inside has no say, the rest is healthy tissue."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

pytest.importorskip("monai")

import torch
from mri_restore import LANDMARK, SMALL, centres, narrow_synth, scene, small_codec, straight

from diffx.cli import main
from diffx.errors import DataError, UsageError
from diffx_mri.harmonic import harmonic
from diffx_mri.placed import place, template_points, touched
from diffx_mri.register import ncc, register_affine, register_velocity
from diffx_mri.stored import Stored, write
from diffx_mri.synth import inpaint
from diffx_mri.synth.inpaint import fill
from diffx_mri.volume import Volume, load


def ball(affine, shape, centre, radius):
    return np.linalg.norm(centres(affine, shape) - np.array(centre), axis=-1) < radius


def test_harmonic_filling_is_exact_for_harmonic_functions_and_obeys_the_maximum_principle():
    """3 x^2 - y^2 - 2 z^2 and linear functions solve Laplace's equation, in differences too, on unequal spacing."""
    spacing = np.array([1.0, 2.0, 1.5])
    index = np.stack(np.meshgrid(*[np.arange(n) for n in (14, 12, 13)], indexing="ij"), -1) * spacing
    x, y, z = np.moveaxis(index, -1, 0)
    mask = np.linalg.norm(index - index.mean((0, 1, 2)), axis=-1) < 5
    for truth in (3 * x**2 - y**2 - 2 * z**2, 3 * x - 2 * y + z):
        torn = np.where(mask, np.nan, truth)
        np.testing.assert_allclose(harmonic(torn, mask, spacing), truth, atol=1e-3)
    noise = np.random.default_rng(0).normal(size=mask.shape)
    filled = harmonic(noise, mask, spacing)
    assert noise[~mask].min() <= filled[mask].min() and filled[mask].max() <= noise[~mask].max()
    assert np.array_equal(filled[~mask], noise[~mask])
    corner = np.zeros_like(mask)
    corner[:2, :2, :2] = True  # no flow through the edge: a constant stays one
    np.testing.assert_allclose(harmonic(np.where(corner, 9.0, 2.0), corner, spacing), 2.0, atol=1e-6)
    with pytest.raises(ValueError, match="leaves no voxel"):
        harmonic(noise, np.ones_like(mask), spacing)


@pytest.mark.parametrize("kind", ["int16 scaled", "uint8", "float32", "big-endian 4-D", "nifti-2 float64"])
def test_stored_voxels_keep_their_bits_whatever_their_type(tmp_path, kind):
    rng = np.random.default_rng(1)
    raw = rng.integers(0, 200, (9, 7, 8))
    affine = nib.affines.from_matvec(np.array([[0, 0, 2.0], [-2, 0, 0], [0, 2, 0]]), [3, 4, 5])  # PSR
    types = {"int16 scaled": "<i2", "uint8": "u1", "float32": "<f4", "big-endian 4-D": ">i2", "nifti-2 float64": "<f8"}
    header = nib.Nifti1Header(endianness=">") if kind.startswith("big") else None
    data = raw.astype(types[kind])[..., None] if kind.startswith("big") else raw.astype(types[kind])
    image = (nib.Nifti2Image if "nifti-2" in kind else nib.Nifti1Image)(data, affine, header)
    image.set_data_dtype(types[kind])
    image.set_qform(affine, 1)
    image.header.set_slope_inter(*((0.37, -5.0) if "scaled" in kind else (1.0, 0.0)))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"kept"))
    nib.save(image, tmp_path / "in.nii.gz")
    stored = Stored.read(tmp_path / "in.nii.gz")
    where = np.zeros(stored.volume.data.shape, bool)
    where[2:5, 3:5, 1:4] = True
    values = stored.volume.data + 1000.3
    write(stored.replaced(values, where, "marked"), tmp_path / "out.nii.gz")
    before, after = nib.load(tmp_path / "in.nii.gz"), nib.load(tmp_path / "out.nii.gz")
    a, b = (np.asanyarray(i.dataobj.get_unscaled()) for i in (before, after))
    assert a.dtype == b.dtype and a.shape == b.shape
    changed = (a != b).reshape(a.shape[:3])
    at = nib.affines.apply_affine(before.affine, np.argwhere(changed))
    wanted = stored.volume.world(np.argwhere(where))
    assert sorted(map(tuple, at.round(3))) == sorted(map(tuple, wanted.round(3)))  # in the world, not in the array
    for name in ("scl_slope", "scl_inter", "sform_code", "qform_code", "srow_x", "pixdim", "datatype"):
        np.testing.assert_array_equal(before.header[name], after.header[name])
    assert after.header.extensions[0].get_content() == b"kept" and after.header["descrip"].item() == b"marked"
    written = load(tmp_path / "out.nii.gz").data[where]
    limit = np.minimum(values[where], 255) if kind == "uint8" else values[where]
    np.testing.assert_allclose(written, limit, atol=max(stored.quantum, 1e-4) * 1.01)


def test_what_is_left_out_of_the_registration_has_no_influence():
    """Garbage where the weight is 0 changes neither the affine nor the diffeomorphic match; elsewhere it would."""
    generator = torch.Generator().manual_seed(0)
    template = torch.rand(1, 1, 20, 24, 20, generator=generator)
    moving = torch.nn.functional.pad(template, (2, 2, 2, 2, 2, 2)) + 0.1
    weight, torn = torch.ones_like(moving), moving.clone()
    weight[..., 9:16, 9:16, 9:16] = 0
    torn[..., 11:14, 11:14, 11:14] = 9.0  # no point reads it and a voxel that counts at once
    zero, identity = torch.zeros(1, 3, *SMALL.grid), torch.eye(4)[None]
    whole, blind, misled = (
        (register_affine(m, template, SMALL, identity, 2, weight=w)[0],
         register_velocity(m, template, SMALL, zero, zero, 2, weight=w)[0])
        for m, w in ((moving, weight), (torn, weight), (torn, None))
    )  # fmt: skip
    for kept, same, other in zip(whole, blind, misled, strict=True):
        torch.testing.assert_close(kept, same, atol=1e-6, rtol=0)
        assert (kept - other).abs().max() > 1e-3
    a, b = torch.rand(2, 1, 6, 6, 6, generator=generator), torch.rand(1, 1, 6, 6, 6, generator=generator)
    mask = (torch.rand(2, 1, 6, 6, 6, generator=generator) > 0.3).float()
    by_hand = [np.corrcoef(x[m > 0], b[0][m > 0])[0, 1] for x, m in zip(a, mask, strict=True)]
    np.testing.assert_allclose(ncc(a, b, mask), by_hand, atol=1e-5)
    np.testing.assert_allclose(ncc(a, b, torch.ones_like(a)), ncc(a, b), atol=1e-5)


@pytest.fixture(scope="module")
def filled(request):
    """A phantom, a lesion where its bright spot is, and two fillings of it under a narrow prior."""
    patch = pytest.MonkeyPatch()
    request.addfinalizer(patch.undo)
    affine, shape = straight(4.0)
    image, mask = scene(centres(affine, shape), 0.4)
    lesion = ball(affine, shape, LANDMARK, 17)
    scan, brain = Volume(image * 830 + 20, affine), Volume(mask, affine)
    synth = narrow_synth(patch, inpaint)
    return synth, scan, brain, lesion, fill(synth, scan, lesion, brain, [3, 4]), image * 830 + 20


def test_outside_the_mask_nothing_moves_and_inside_nothing_of_the_lesion_is_left(filled):
    synth, scan, brain, lesion, done, _ = filled
    assert np.array_equal(done.data[:, ~lesion], np.repeat(scan.data[None], 2, 0)[:, ~lesion])
    assert (done.data[:, lesion] != scan.data[lesion]).all()
    torn = Volume(np.where(lesion, 4000.0, scan.data).astype(np.float32), scan.affine)
    again = fill(synth, torn, lesion, brain, [3, 4])
    assert np.array_equal(again.data[:, lesion], done.data[:, lesion])  # to the bit: the lesion has no say
    alone = fill(synth, scan, lesion, brain, [4])
    np.testing.assert_allclose(alone.data[0], done.data[1], rtol=1e-5, atol=1e-2)


def test_the_filling_knows_more_of_the_brain_than_its_rim(filled):
    """Every training phantom has the bright spot: the prior brings it back, where a smooth filling cannot."""
    _, scan, _, lesion, done, truth = filled
    core = ball(scan.affine, scan.data.shape, LANDMARK, 7)
    off = lambda data: abs(float((data - truth)[core].mean()))  # noqa: E731
    assert off(done.mean) < 0.7 * off(harmonic(scan.data, lesion, scan.spacing))  # 229 and 385 of 830
    assert done.spread[lesion].max() > 0 and done.spread[~lesion].max() == 0


def test_touched_nodes_are_those_whose_patch_sees_the_lesion(filled):
    _, scan, brain, *_ = filled
    placed = place(scan, brain, small_codec(), steps=10)
    point = ball(scan.affine, scan.data.shape, [20.0, -15.0, 30.0], 6)
    nodes = touched(placed, small_codec(), Volume(point.astype(np.float32), scan.affine), dilate=0)
    seen = template_points(placed, small_codec(), scan.world(np.argwhere(point))[:, None, None])[:, 0, 0].numpy()
    step = SMALL.spacing * SMALL.cell
    index = np.floor((seen - SMALL.affine(SMALL.box)[:3, 3] + SMALL.spacing / 2) / step).astype(int)
    assert nodes[tuple(index.T)].all()
    assert 1 <= int(nodes.sum()) <= 27


def test_masks_that_cannot_be_are_refused(filled):
    synth, scan, brain, lesion, *_ = filled
    for wrong, reason in (
        (np.zeros_like(lesion), "mask is empty"),
        (np.ones_like(lesion), "covers the whole volume"),
        (brain.data > 0, "at most 40%"),
        (lesion[1:], "where the scan has"),
        (ball(scan.affine, scan.data.shape, [88.0, 70, 95], 9), "outside the brain"),
    ):
        with pytest.raises(DataError, match=reason):
            fill(synth, scan, wrong, brain)


def test_a_folder_is_filled_where_it_can_be_and_the_rest_is_listed(tmp_path):
    """The command line on shipped weights: one scan stored PSR, one without lesion, one whose mask is empty."""
    from diffx_mri import BrainSynth

    codec = BrainSynth.load(device="cpu").codec
    mean = codec.mean_brain().numpy()[::2, ::2, ::2]  # 4 mm: quick
    affine = codec.affine @ np.diag([2.0, 2, 2, 1])
    turn = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(("P", "S", "R")))
    root = tmp_path / "bids"

    def keep(path, data, kind):
        path.parent.mkdir(parents=True, exist_ok=True)
        image = nib.Nifti1Image(data.astype(kind), affine)
        image.header.set_xyzt_units("mm")
        image.as_reoriented(turn).to_filename(path)

    lesion = ball(affine, mean.shape, [25, -20, 25], 12)
    for name, hole in (("sub-1", lesion), ("sub-2", None), ("sub-3", 0 * lesion)):
        keep(root / name / f"anat/{name}_T1w.nii.gz", np.where(lesion, 30, mean * 500), "<i2")
        keep(root / f"derivatives/m/{name}/anat/{name}_desc-brain_mask.nii.gz", mean > 0.1, "u1")
        if hole is not None:
            keep(root / f"derivatives/m/{name}/anat/{name}_label-lesion_mask.nii.gz", hole, "u1")
    out = tmp_path / "run"
    words = ["plugin=mri_synth", "task=inpaint", f"data.root={root}", "n=1", "restore.steps=2", "device=cpu"]
    words += ["restore.detail=true", "restore.detail_steps=1"]
    assert main(["run", *words, f"out={out}"]) == 1
    status = json.loads((out / "status.json").read_text())
    assert {f["item"]: "lesion" in f["reason"] for f in status["failures"]} == {
        "sub-2_T1w.nii.gz": True, "sub-3_T1w.nii.gz": True,
    }  # fmt: skip
    before = nib.load(root / "sub-1/anat/sub-1_T1w.nii.gz")
    after = nib.load(out / "samples/sub-1/anat/sub-1_desc-filled_T1w.nii.gz")
    a, b = (np.asanyarray(i.dataobj.get_unscaled()) for i in (before, after))
    inside = nib.load(root / "derivatives/m/sub-1/anat/sub-1_label-lesion_mask.nii.gz").get_fdata() > 0
    assert a.dtype == b.dtype and np.array_equal(a[~inside], b[~inside])
    assert np.array_equal(before.affine, after.affine)
    truth = nib.Nifti1Image(mean * 500, affine).as_reoriented(turn).get_fdata()
    assert np.abs(b - truth)[inside].mean() < 0.5 * np.abs(a - truth)[inside].mean()
    assert (out / "report.html").read_text().count("data:image/") == 1
    lone = [f"data.file={root / 'sub-1/anat/sub-1_T1w.nii.gz'}", "plugin=mri_synth", "task=inpaint", "device=cpu"]
    assert main(["run", *lone, f"out={tmp_path / 'no-mask'}"]) == 2
    empty = root / "derivatives/m/sub-3/anat/sub-3_label-lesion_mask.nii.gz"
    assert main(["run", *lone, f"data.mask={empty}", f"out={tmp_path / 'empty'}"]) == 5


@pytest.mark.parametrize("kind", ["scaled file", "image in memory"])
def test_a_notebook_gets_images_that_read_and_keep_like_the_scan(filled, tmp_path, kind):
    """`BrainSynth.fill` on a PSR scan stored as bytes with a scale, and on float64 with the header of another type."""
    from diffx_mri import BrainSynth

    synth, scan, brain, lesion, done, _ = filled
    turn = nib.orientations.ornt_transform(
        nib.io_orientation(scan.affine), nib.orientations.axcodes2ornt(("P", "S", "R"))
    )

    def image(data: np.ndarray) -> nib.Nifti1Image:
        made = nib.Nifti1Image(data, scan.affine)
        made.header.set_xyzt_units("mm")
        return made.as_reoriented(turn)

    mask, head = image(lesion.astype(np.uint8)), image(brain.data.astype(np.uint8))
    if kind == "scaled file":
        stored = image(np.rint((scan.data - 20) / 7).clip(0, 250).astype(np.uint8))  # up to 1,770: not all of a byte
        stored.header.set_slope_inter(7, 20)
        given = write(stored, tmp_path / "sub-9_T1w.nii.gz")
        nib.save(mask, tmp_path / "hole.nii.gz")
        mask = tmp_path / "hole.nii.gz"
    else:
        given = image(scan.data.astype(np.float64))
        given.header.set_data_dtype(np.int16)
    face = BrainSynth(None, synth.codec, {})
    made = face.fill(given, mask, n=2, seed=3, brain=head)
    before = nib.load(given) if kind == "scaled file" else given
    hole = image(lesion.astype(np.uint8)).get_fdata() > 0
    atol = 3.51 if kind == "scaled file" else 1e-3  # half a step of 7
    for got, array in zip([*made.samples, made.mean], [*made.done.data, made.done.mean], strict=True):
        assert np.array_equal(got.affine, before.affine) and got.header["sform_code"] == 2
        assert np.array_equal(got.get_fdata()[~hole], before.get_fdata()[~hole])
        np.testing.assert_allclose(load(got).data[lesion], array[lesion], atol=atol)
    assert made.spread.get_fdata()[~hole].max() == 0 < made.spread.get_fdata()[hole].max()
    if kind == "image in memory":
        np.testing.assert_allclose(made.done.data, done.data, atol=0.05)
    else:
        raw = before.dataobj.get_unscaled()
        assert before.dataobj.slope == 7 and raw.dtype == np.uint8
        files = made.save(tmp_path / "out", "sub-9", Who="me")
        names = ["filled1", "filled2", "filledmean", "filledsd"]
        assert [f.name for f in files] == [f"sub-9_desc-{name}_T1w.nii.gz" for name in names]
        for file in files[:3]:
            again = nib.load(file).dataobj
            assert (again.slope, again.inter) == (7, 20)
            assert again.get_unscaled().dtype == np.uint8 and np.array_equal(again.get_unscaled()[~hole], raw[~hole])
        said = json.loads((tmp_path / "out/sub-9_desc-filled2_T1w.json").read_text())
        assert (said["Seed"], said["Who"]) == (4, "me")
        again = made.save(tmp_path / "again", "sub-9_run-1_desc-preproc_acq-x")
        assert again[0].name == "sub-9_acq-x_run-1_desc-filled1_T1w.nii.gz"  # each entity once, in the order of BIDS
        with pytest.raises(DataError, match=r"sub-9_T1w.nii.gz: this codec has no mean head"):
            face.fill(given, mask, n=1)
    with pytest.raises(UsageError, match="n=0"):
        face.fill(given, mask, n=0, brain=head)


def test_intensities_follow_a_bias_field_across_a_large_lesion():
    """A gain that is exponential along x, read from textured tissue around a ball of 65 ml; one number cannot be it."""
    affine, shape = straight(3.0, 120.0)
    points = centres(affine, shape) - np.array([0, -17, 8])
    healthy = (1.0 + 0.3 * np.random.default_rng(0).normal(size=shape)).clip(0.3).astype(np.float32) * 500
    lesion = np.linalg.norm(points, axis=-1) < 25
    bias = np.exp(points[..., 0] / 150)
    scan = Volume(np.where(lesion, 0, healthy * bias).astype(np.float32), affine)
    gain = inpaint._gain(scan, healthy, ~lesion, lesion, 500.0)
    assert np.abs(gain / bias - 1)[lesion].max() < 0.06  # 18 % at both ends with the best constant
    nothing = inpaint._gain(scan, healthy, np.zeros_like(lesion), lesion, 500.0)
    np.testing.assert_allclose(nothing, 1, atol=1e-6)
