"""Where things lie: what a scan holds at a world point is found there again, whatever the file's orientation."""

from __future__ import annotations

import mri_restore
import nibabel as nib
import numpy as np
import pytest

pytest.importorskip("monai")

from diffx.errors import DataError
from diffx_mri.bids import find_scans
from diffx_mri.derivatives import DerivativesWriter
from diffx_mri.geometry import Geometry
from diffx_mri.volume import Volume, load, normalise, resample, sample, save


def blob(points: np.ndarray) -> np.ndarray:
    """A smooth scene without symmetry, defined in the world, mm: three Gaussians."""
    scene = np.zeros(points.shape[:-1])
    for centre, width, height in (((12, -20, 8), 14, 1.0), ((-25, 5, 20), 10, 0.7), ((5, 25, -18), 9, 0.5)):
        scene += height * np.exp(-((points - np.array(centre)) ** 2).sum(-1) / (2 * width**2))
    return scene


def rotation(x: float, y: float, z: float) -> np.ndarray:
    out = np.eye(3)
    for axis, angle in enumerate(np.deg2rad([x, y, z])):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        out = turn @ out
    return out


def scanner(codes: str, spacing=(2.0, 2.0, 2.0), tilt=(0.0, 0.0, 0.0)) -> tuple[np.ndarray, np.ndarray]:
    """Scene and affine of a scan stored with those axis codes, centred on the world's origin."""
    axes = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    matrix = np.zeros((3, 3))
    for column, code in enumerate(codes):
        axis, sign = axes[code]
        matrix[axis, column] = sign * spacing[column]
    matrix = rotation(*tilt) @ matrix
    shape = [int(150 / s) for s in spacing]
    affine = np.eye(4)
    affine[:3, :3] = matrix
    affine[:3, 3] = -matrix @ (np.array(shape) - 1) / 2
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
    return blob(index @ matrix.T + affine[:3, 3]).astype(np.float32), affine


def written(path, data: np.ndarray, affine: np.ndarray, sform: int = 1, qform: int = 1):
    image = nib.Nifti1Image(data, None)
    image.set_sform(affine, code=sform)
    image.set_qform(affine, code=qform)
    if not sform:  # a stale matrix in the header must not count
        image.header["srow_x"] = [9, 0, 0, 77]
    if not qform:
        image.header["qoffset_x"] = 55
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


CASES = {
    "RAS": {},
    "LAS": {},
    "PSR": {},
    "LPI": {},
    "ASR oblique": {"tilt": (12, -7, 20)},
    "LSA anisotropic": {"spacing": (1.2, 1.0, 4.0)},
    "SPL oblique anisotropic": {"spacing": (1.0, 3.0, 1.5), "tilt": (-9, 15, 5)},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("form", ["both", "sform", "qform"])
def test_every_voxel_lands_where_it_came_from(tmp_path, case, form):
    data, affine = scanner(case.split()[0], **CASES[case])
    file = written(tmp_path / "scan.nii.gz", data, affine, int(form != "qform"), int(form != "sform"))
    volume = load(file)
    assert nib.aff2axcodes(volume.affine) == ("R", "A", "S")
    index = np.stack(np.meshgrid(*[np.arange(n) for n in volume.data.shape], indexing="ij"), -1)
    # the qform stores a quaternion in float32: hundredths of a mm
    np.testing.assert_allclose(volume.data, blob(volume.world(index)), atol=2e-3)
    grid = Geometry()
    placed = resample(volume, grid.affine(grid.canvas), grid.canvas, 3)
    truth = blob(grid.points(grid.canvas).numpy())
    centre = np.linalg.norm(grid.points(grid.canvas).numpy(), axis=-1) < 60
    limit = 0.05 if max(volume.spacing) > 2.5 else 0.02  # interpolation of thick slices
    assert np.abs(placed.data - truth)[centre].max() < limit
    again = load(save(tmp_path / "out.nii.gz", placed, dtype="float32"))
    np.testing.assert_array_equal(again.data, placed.data)
    np.testing.assert_allclose(again.affine, placed.affine, atol=1e-5)


def test_a_mirrored_file_is_not_a_mirrored_head(tmp_path):
    """The bright blob is on the right (+x) in every storage order; a swap of left and right would move it."""
    for codes in ("RAS", "LAS", "PSR", "LPS"):
        data, affine = scanner(codes)
        volume = load(written(tmp_path / f"{codes}.nii", data, affine))
        assert sample(volume, np.array([[12.0, -20, 8]]))[0] > 0.95
        assert sample(volume, np.array([[-12.0, -20, 8]]))[0] < 0.4


def test_save_codes_both_forms_units_and_description(tmp_path):
    affine = np.diag([-2.0, 2, 2, 1])
    affine[:3, 3] = [70, -80, -60]
    data = np.linspace(0, 1.37, 6 * 7 * 8).reshape(6, 7, 8).astype(np.float32)
    image = nib.load(save(tmp_path / "a.nii.gz", Volume(data, affine), "diffx test"))
    header = image.header
    assert int(header["sform_code"]) > 0 and int(header["qform_code"]) > 0
    np.testing.assert_allclose(image.get_sform(), affine, atol=1e-6)
    np.testing.assert_allclose(image.get_qform(), affine, atol=1e-6)
    assert header.get_xyzt_units()[0] == "mm"
    assert header["descrip"].item().decode() == "diffx test"
    assert image.get_data_dtype() == np.int16
    np.testing.assert_allclose(image.get_fdata(), data, atol=1.37 / 32767)
    assert [p.name for p in tmp_path.iterdir()] == ["a.nii.gz"]  # no temporary file left


def test_single_frame_4d_is_a_volume_and_several_frames_are_refused(tmp_path):
    data, affine = scanner("PSR")
    one = load(written(tmp_path / "one.nii.gz", data[..., None], affine))
    np.testing.assert_array_equal(one.data, load(written(tmp_path / "flat.nii.gz", data, affine)).data)
    several = written(tmp_path / "several.nii.gz", np.stack([data, data], -1), affine)
    with pytest.raises(DataError, match=r"several\.nii\.gz.*several frames"):
        load(several)


def test_bad_files_are_named_with_the_reason(tmp_path):
    data, affine = scanner("RAS")
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"not a scan")
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(written(tmp_path / "good.nii.gz", data, affine).read_bytes()[:4000])
    holes = data.copy()
    holes[3, 3, 3] = np.nan
    cases = {
        tmp_path / "absent.nii": "no such file",
        broken: "not readable",
        cut: "cannot be read",
        written(tmp_path / "nan.nii", holes, affine): "1 voxels are NaN",
        written(tmp_path / "flat.nii", np.ones_like(data), affine): "same value",
        written(tmp_path / "uncoded.nii", data, affine, 0, 0): "left and right are unknown",
    }
    for path, reason in cases.items():
        with pytest.raises(DataError, match=reason) as caught:
            load(path)
        assert path.name in str(caught.value)


def test_coarser_grids_are_smoothed_first():
    """A pattern finer than the target grid must average out, not alias."""
    fine = np.zeros((96, 96, 96), np.float32)
    fine[::2] = 1.0  # stripes of 1 mm
    affine = np.diag([1.0, 1, 1, 1])
    out = resample(Volume(fine, affine), np.diag([2.0, 2, 2, 1]), (48, 48, 48)).data[4:-4, 4:-4, 4:-4]
    assert np.abs(out - 0.5).max() < 0.1


def test_normalise_sets_the_99th_percentile_to_one():
    data = np.arange(1000, dtype=np.float32).reshape(10, 10, 10)
    out = normalise(data, np.ones_like(data))
    assert np.percentile(out, 99) == pytest.approx(1.0, abs=1e-4)
    with pytest.raises(DataError, match="mask is empty"):
        normalise(data, np.zeros_like(data))


def test_canvas_and_box_nest_and_share_voxels():
    grid = Geometry()
    canvas, box = grid.points(grid.canvas), grid.points(grid.box)
    np.testing.assert_array_equal(grid.crop(canvas.movedim(-1, 0)).movedim(0, -1), box)
    assert grid.affine(grid.canvas)[0, 3] == -95.0  # voxel centres symmetric about x = 0
    with pytest.raises(ValueError, match="multiple of 8"):
        Geometry(box=(80, 98, 80))


def folder_with(root, files: dict[str, tuple[np.ndarray, np.ndarray]], participants: str | None = None):
    for name, (data, affine) in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        written(path, data, affine)
    if participants is not None:
        (root / "participants.tsv").write_text(participants)
    return root


def test_bids_folders_with_and_without_sessions(tmp_path):
    small = (np.arange(27, dtype=np.float32).reshape(3, 3, 3), np.eye(4))
    root = folder_with(
        tmp_path,
        {
            "sub-01/anat/sub-01_T1w.nii.gz": small,
            "sub-01/anat/sub-01_ce-GD_T1w.nii.gz": small,
            "sub-02/ses-a/anat/sub-02_ses-a_T1w.nii": small,
            "sub-02/ses-b/anat/sub-02_ses-b_run-1_T1w.nii.gz": small,
            "sub-02/ses-b/anat/sub-02_ses-b_run-2_T1w.nii.gz": small,
            "sub-03/anat/sub-03_FLAIR.nii.gz": small,
            "derivatives/x/sub-01/anat/sub-01_dseg.nii.gz": small,
            "derivatives/x/sub-01/anat/sub-01_desc-brain_mask.nii.gz": small,
            "derivatives/x/sub-02/ses-a/anat/sub-02_ses-a_desc-y_dseg.nii.gz": small,
            "derivatives/x/sub-02/ses-b/anat/sub-02_ses-b_space-MNI_desc-brain_mask.nii.gz": small,
            "derivatives/x/sub-02/ses-b/anat/sub-02_ses-b_label-lesion_mask.nii.gz": small,
        },
        "participant_id\tage\tsex\tsplit\nsub-01\t34.5\tF\ttrain\nsub-02\tn/a\tmale\tn/a\nsub-03\told\tF\tval\n",
    )
    scans, problems = find_scans(root)
    assert [(s.subject, s.session, s.age, s.sex, s.split, s.mask_kind) for s in scans] == [
        ("sub-01", None, 34.5, "F", "train", "mask"),
        ("sub-02", "ses-a", None, "M", None, "dseg"),
        ("sub-02", "ses-b", None, "M", None, None),
    ]
    assert scans[0].path.name == "sub-01_T1w.nii.gz" and scans[2].path.name == "sub-02_ses-b_run-1_T1w.nii.gz"
    assert any("sub-03" in p and "T1w" in p for p in problems) and any("'old'" in p for p in problems)
    with pytest.raises(DataError, match="no such folder"):
        find_scans(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no T1w scan"):
        find_scans(tmp_path / "empty")


def test_derivatives_are_named_and_described_as_bids_asks(tmp_path):
    import json

    writer = DerivativesWriter(tmp_path, "Synthetic brains", "brainCodec", "approximately MNI152")
    volume = Volume(np.arange(60, dtype=np.float32).reshape(3, 4, 5), np.diag([2.0, 2, 2, 1]))
    path = writer.write("synth001", volume, {"Sampler": "ddim"}, age=70, sex="F", seed=1, ventricles=-1.5)
    writer.write("synth002", volume)
    assert path == tmp_path / "sub-synth001/anat/sub-synth001_space-brainCodec_desc-synth_T1w.nii.gz"
    np.testing.assert_allclose(load(path).data, volume.data, atol=60 / 32767)
    sidecar = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
    assert (sidecar["Age"], sidecar["Sex"], sidecar["Seed"], sidecar["Sampler"]) == (70, "F", 1, "ddim")
    description = json.loads((tmp_path / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative" and description["GeneratedBy"][0]["Name"] == "diffx"
    assert (tmp_path / "participants.tsv").read_text().splitlines() == [
        "participant_id\tage\tsex\tventricles\tseed",
        "sub-synth001\t70\tF\t-1.5\t1",
        "sub-synth002\tn/a\tn/a\tn/a\tn/a",
    ]
    with pytest.raises(ValueError, match="letters and digits"):
        writer.write("synth-1", volume)


FILES = {
    "RAS": {},
    "PSR both forms": {"spacing": (3.0, 3.0, 3.0)},
    "LAS oblique, sform only": {"tilt": (9, -6, 12), "spacing": (3.0, 3.0, 3.0)},
    "ASR oblique anisotropic, qform only": {"tilt": (-7, 8, -10), "spacing": (2.0, 3.0, 5.0)},
}


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    """One head stored in several ways, each loaded, encoded, decoded and rendered onto its own voxels."""
    import torch

    from diffx_mri.placed import place, render, scan_points, template_points

    folder, out = tmp_path_factory.mktemp("ways"), {}
    for name, kind in FILES.items():
        spacing = kind.get("spacing", (4.0, 4.0, 4.0))
        _, affine = scanner(name.split()[0], spacing, kind.get("tilt", (0, 0, 0)))
        # the field of view wide enough for a head around the world's origin, then away from it as scanners have it
        shape = [int(200 / s) for s in spacing]
        affine[:3, 3] = np.array([0, -17, 8]) - affine[:3, :3] @ (np.array(shape) - 1) / 2
        image, mask = mri_restore.scene(mri_restore.centres(affine, tuple(shape)), 0.4)
        affine[:3, 3] += AWAY
        forms = (int("qform only" not in name), int("sform only" not in name))
        if name == "RAS":
            image, mask = image[..., None], mask[..., None]  # one frame
        scan = load(written(folder / f"{len(out)}-scan.nii.gz", image * 500, affine, *forms))
        brain = load(written(folder / f"{len(out)}-mask.nii.gz", mask, affine, *forms))
        codec = mri_restore.small_codec()
        placed = place(scan, brain, codec)
        world = mri_restore.centres(scan.affine, scan.data.shape)
        where = template_points(placed, codec, world)
        with torch.no_grad():
            again = render(codec, placed.z, where)[0].numpy() * placed.scale
        some = where[::6, ::6, ::6]
        out[name] = scan, brain, again, world[::6, ::6, ::6], scan_points(placed, codec, some)
    return out


AWAY = np.array([23.0, -14.0, 31.0])  # mm: where the scanner put the head


@pytest.mark.parametrize("name", FILES)
def test_an_encoded_scan_is_decoded_to_where_it_came_from(encoded, name):
    """The bright spot, on the right alone, comes back at its world point; every voxel agrees with the scan's."""
    scan, brain, again, points, back = encoded[name]
    inside = brain.data > 0
    assert np.corrcoef(scan.data[inside], again[inside])[0, 1] > 0.95
    spot = mri_restore.LANDMARK + AWAY
    world = mri_restore.centres(scan.affine, scan.data.shape)
    near = (np.linalg.norm(world - spot, axis=-1) < 22) & inside
    for data in (scan.data, again):
        weight = np.clip(data[near] - np.percentile(data[near], 60), 0, None)
        assert np.linalg.norm((weight[:, None] * world[near]).sum(0) / weight.sum() - spot) < 4
    mirror = spot * [-1, 1, 1] + [2 * AWAY[0], 0, 0]
    rendered = Volume(again, scan.affine)
    assert sample(rendered, spot[None])[0] > sample(rendered, mirror[None])[0] + 0.15 * 500
    central = np.linalg.norm(points - AWAY - [0, -17, 8], axis=-1) < 55
    assert np.linalg.norm(back - points, axis=-1)[central].max() < 1.0  # mm, through the warp and back


def test_every_way_of_storing_a_head_gives_the_same_brain_at_the_same_world_points(encoded):
    probe = AWAY + np.array([[x, y, z] for x in (-35, -10, 25) for y in (-60, -20, 20) for z in (-15, 15, 35)])
    values = np.array([sample(Volume(again, scan.affine), probe) for scan, _, again, *_ in encoded.values()])
    for one in values[1:]:
        assert np.corrcoef(values[0], one)[0, 1] > 0.93
        assert np.abs(values[0] - one).mean() < 0.08 * 500


def test_what_is_no_volume_is_refused_with_one_line(tmp_path):
    data, affine = scanner("RAS", (5.0, 5.0, 5.0))
    singular = affine.copy()
    singular[:3, 2] = singular[:3, 1]
    flat = nib.Nifti1Image(data[:, :, 5], affine)
    nib.save(flat, tmp_path / "slice.nii")
    image = nib.Nifti1Image(data, None)
    image.header["sform_code"], image.header["pixdim"][1:4] = 1, 2
    for row, name in enumerate(("srow_x", "srow_y", "srow_z")):
        image.header[name] = singular[row]
    raw = image.header.copy()
    with open(tmp_path / "singular.nii", "wb") as file:
        raw["vox_offset"], raw["magic"] = 352, b"n+1"
        raw.set_data_dtype(np.float32)
        file.write(raw.binaryblock + b"\0" * 4 + data.astype("<f4").tobytes(order="F"))
    cases = {
        written(tmp_path / "frames.nii", np.stack([data] * 3, -1), affine): "several frames",
        tmp_path / "slice.nii": "not a 3-D volume",
        written(tmp_path / "zero.nii", np.zeros_like(data), affine): "same value, 0",
        tmp_path / "singular.nii": "affine in the header is singular",
    }
    for path, reason in cases.items():
        with pytest.raises(DataError, match=reason) as caught:
            load(path)
        assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
