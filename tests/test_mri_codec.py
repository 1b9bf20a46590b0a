"""Registration recovers known warps; the codec keeps brains, mirrors exactly, survives a file to the bit."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("monai")

import torch

from diffx.errors import DataError
from diffx_mri.align import linear_velocity, prepare, read_mask, split_pose
from diffx_mri.bids import find_scans
from diffx_mri.brain_extraction import extract_brain
from diffx_mri.codec import BrainCodec
from diffx_mri.fit import fit_codec, head_template
from diffx_mri.geometry import Geometry
from diffx_mri.pack import pack, read_latents
from diffx_mri.patches import PatchMoments, from_patches, mirror_order, to_patches
from diffx_mri.pull import pull_back, push
from diffx_mri.register import (
    affine_points,
    displaced,
    exponential,
    pool,
    register_affine,
    register_velocity,
)
from diffx_mri.volume import Volume, load, save

GRID = Geometry()
SMALL = Geometry(box=(40, 48, 40), canvas=(48, 56, 48), spacing=4.0)


def phantom(points: np.ndarray, seed: int = 0, asymmetric: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
    """A brain-like scene at points (mm): grey shell, white core, dark ventricles, gyral ripple; and its mask."""
    rng = np.random.default_rng(seed)
    x, y, z = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)
    radius = np.sqrt((x / 62) ** 2 + ((y + 17) / 78) ** 2 + ((z - 8) / 58) ** 2)
    # three lobes: a plain ellipsoid turned looks like one sheared, and no affine registration could tell
    radius = radius * (1 + 0.07 * np.cos(3 * np.arctan2(x, y + 17)) * np.clip(radius, 0, 1))
    soft = lambda a: 1 / (1 + np.exp(np.clip(-a, -50, 50)))  # noqa: E731
    inside = soft((1 - radius) * 40)
    phase = rng.uniform(0, 2 * np.pi, 3)
    ripple = np.sin(x / 6 + phase[0]) * np.sin(y / 7 + phase[1]) * np.sin(z / 6.5 + phase[2])
    white = soft((0.8 + 0.06 * ripple - radius) * 25)
    ventricles = np.exp(-(((np.abs(x) - 12) / 7) ** 2 + ((y + 15) / 22) ** 2 + ((z - 12) / 8) ** 2))
    lesion = asymmetric * np.exp(-(((x - 30) ** 2 + (y + 40) ** 2 + (z - 20) ** 2) / 200))
    image = inside * np.clip(0.55 + 0.4 * white - 0.7 * ventricles + lesion, 0, None)
    return image.astype(np.float32), (radius < 1).astype(np.float32)


def smooth_velocity(geometry: Geometry, size: float, seed: int) -> torch.Tensor:
    """A random velocity field [1, 3, *grid], at most `size` mm, zero at the border."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 3, 4, 5, 4, generator=generator)
    field = torch.nn.functional.interpolate(coarse, size=geometry.grid, mode="trilinear", align_corners=True)
    for axis in (2, 3, 4):
        n = field.shape[axis]
        window = torch.sin(torch.pi * (torch.arange(n) + 0.5) / n).clamp_min(0)
        field = field * window.reshape([-1 if a == axis else 1 for a in range(5)])
    return field / field.norm(dim=1).max() * size


def brain_of(
    geometry: Geometry, matrix: np.ndarray, seed: int = 0, velocity: torch.Tensor | None = None, flip: bool = False
):
    """A prepared phantom scan on its own 3 mm grid: scene(exp(v)(matrix x)), optionally mirrored."""
    affine = np.diag([3.0, 3, 3, 1])
    affine[:3, 3] = [-94.5, -124.5, -94.5]
    index = np.stack(np.meshgrid(*[np.arange(n) for n in (64, 72, 64)], indexing="ij"), -1)
    points = index @ affine[:3, :3].T + affine[:3, 3]
    if flip:
        points = points * [-1, 1, 1]
    points = points @ matrix[:3, :3].T + matrix[:3, 3]
    if velocity is not None:
        shift = exponential(velocity, geometry)
        moved = torch.stack(
            [
                geometry.warp(_full(shift[:, i : i + 1], geometry), torch.from_numpy(points).float()[None])[0, 0]
                for i in range(3)
            ],
            -1,
        )
        points = points + moved.numpy()
    image, mask = phantom(points, seed)
    return prepare(Volume(image, affine), Volume(mask, affine), geometry)


def _full(field: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    return torch.nn.functional.interpolate(field, size=geometry.canvas, mode="trilinear", align_corners=False)


def test_exponential_of_a_linear_field_is_the_matrix_exponential():
    """Head size lives in the velocity: exp of logm(S) x must be S x, to a tenth of a millimetre inside the brain."""
    stretch = torch.tensor([[0.09, 0.01, 0.0], [0.01, -0.06, 0.02], [0.0, 0.02, 0.05]], dtype=torch.float64)
    velocity = linear_velocity(stretch[None], GRID)
    points = GRID.points(GRID.canvas)
    moved = displaced(exponential(velocity, GRID), points, GRID.canvas)[0]
    truth = points.double() @ torch.linalg.matrix_exp(stretch).T
    inside = (points - torch.tensor(GRID.centre)).norm(dim=-1) < 60
    assert (moved - truth)[inside].norm(dim=-1).max() < 0.1


def test_the_inverse_of_exp_v_is_exp_of_minus_v():
    velocity = smooth_velocity(GRID, 8.0, 3)
    there, back = exponential(velocity, GRID), exponential(-velocity, GRID)
    points = GRID.points(GRID.canvas)
    halfway = displaced(back, points, GRID.canvas)
    both = halfway[0] + GRID.warp(_full(there, GRID), halfway)[0].movedim(0, -1)
    inside = (points - torch.tensor(GRID.centre)).norm(dim=-1) < 70
    assert (both - points)[inside].norm(dim=-1).mean() < 0.1
    assert (both - points)[inside].norm(dim=-1).max() < 0.6
    assert (halfway[0] - points)[inside].norm(dim=-1).max() > 4  # it did move


def test_affine_registration_recovers_a_known_map_within_half_a_millimetre():
    points4 = GRID.points((48, 60, 48), 4.0)
    truth = torch.tensor([[1.06, 0.09, 0.0, 5.0], [-0.10, 0.95, 0.05, -4.0], [0.02, -0.03, 1.04, 6.0], [0, 0, 0, 1]])
    template = torch.from_numpy(phantom(GRID.points((40, 48, 40), 4.0).numpy())[0])[None, None]
    # the scan s must satisfy s(truth(x)) = template(x), so s(y) = scene(truth^-1 y)
    inverse = torch.linalg.inv(truth)
    moving = torch.from_numpy(phantom(affine_points(inverse[None], points4)[0].numpy())[0])[None, None]
    found = torch.eye(4)[None]
    for factor, steps, rate in ((2, 50, 1.0), (1, 60, 0.5)):
        found, score = register_affine(pool(moving, factor), pool(template, factor), GRID, found, steps, rate)
    probe = torch.tensor([[40.0, -20, 10], [-40, -20, 10], [0, 40, 10], [0, -80, 10], [0, -20, 50], [0, -20, -30]])
    error = (probe @ (found[0] - truth)[:3, :3].T + (found[0] - truth)[:3, 3]).norm(dim=1)
    assert score > 0.999
    assert error.max() < 0.5


def test_velocity_registration_recovers_a_known_warp():
    """Tissue borders displaced by up to 6 mm are put back to 0.5 mm on average (across them; along them none shows)."""
    truth = smooth_velocity(GRID, 6.0, 1)
    half, canvas = (40, 48, 40), (48, 60, 48)
    template = torch.from_numpy(phantom(GRID.points(half, 4.0).numpy())[0])[None, None]
    back = displaced(exponential(-truth, GRID), GRID.points(canvas, 4.0), canvas)
    moving = torch.from_numpy(phantom(back[0].numpy())[0])[None, None]  # moving(exp(v)(x)) = template(x)
    zero = torch.zeros_like(truth)
    found, error = register_velocity(moving, template, GRID, zero, zero, steps=40)
    slope = torch.stack(torch.gradient(template[0, 0], spacing=4.0))
    border = slope.norm(dim=0) > 0.02  # per mm; the image spans 0 to 1
    normal = slope / slope.norm(dim=0).clamp_min(1e-6)
    moved = GRID.crop(exponential(truth, GRID))[0]
    across = ((GRID.crop(exponential(found, GRID))[0] - moved) * normal).sum(0)[border].abs().mean()
    before = (moved * normal).sum(0)[border].abs().mean()
    assert before > 1.0
    assert across < 0.5
    assert across < 0.35 * before
    assert error[0] < 0.1 * (GRID.crop(moving) - template).square().mean()


def test_polar_split_gives_back_the_map():
    angle = np.deg2rad(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    stretch = np.array([[1.1, 0.03, 0], [0.03, 0.95, 0.02], [0, 0.02, 1.05]])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn @ stretch, [3, -2, 9]
    pose, log = split_pose(matrix)
    np.testing.assert_allclose(pose[:3, :3], turn, atol=1e-10)
    np.testing.assert_allclose(torch.linalg.matrix_exp(torch.from_numpy(log)).numpy(), stretch, atol=1e-10)
    np.testing.assert_allclose(pose[:3, 3], [3, -2, 9])
    with pytest.raises(DataError, match="mirrored"):
        split_pose(np.diag([-1.0, 1, 1, 1]))


def test_patches_are_a_permutation_and_components_are_even_or_odd():
    volume = torch.randn(2, 8, 12, 16, generator=torch.Generator().manual_seed(0))
    patches = to_patches(volume, 4)
    assert torch.equal(from_patches(patches, 4), volume)
    assert torch.equal(to_patches(volume.flip(1), 4), patches[:, mirror_order(4)].flip(2))
    moments = PatchMoments(4)
    moments.add(volume)
    basis, signs, variance = moments.basis(64)
    assert torch.allclose(basis @ basis.T, torch.eye(64), atol=1e-5)
    assert torch.allclose(basis[:, mirror_order(4)], basis * signs[:, None], atol=1e-5)
    assert (variance.diff() <= 1e-6).all() and variance.sum() == pytest.approx(
        float(to_patches(volume, 4).square().sum(1).mean()), rel=1e-4
    )


@pytest.fixture(scope="module")
def fitted():
    """A codec of eight phantoms of different size, pose, folding and contrast; and the phantoms."""
    rng = np.random.default_rng(5)
    brains = []
    for number in range(8):
        matrix = np.eye(4)
        matrix[:3, :3] += rng.normal(0, 0.03, (3, 3))
        matrix[:3, 3] = rng.normal(0, 3, 3)
        brains.append(brain_of(SMALL, matrix, number % 3))
    codec, latents, poses = fit_codec(brains, SMALL, components=12, rounds=2, steps=10)
    return codec, latents, poses, brains


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    inside = b > 0.05
    return float(-10 * torch.log10((a - b)[inside].square().mean()))


def test_a_brain_comes_back_and_better_than_the_mean(fitted):
    codec, latents, poses, brains = fitted
    decoded = codec.decode(latents)
    real = torch.stack([torch.from_numpy(b.canvas(SMALL, p, 3)) for b, p in zip(brains, poses, strict=True)])
    mean = codec.decode(torch.zeros_like(latents[:1]))
    assert decoded.shape == (8, *SMALL.canvas) and decoded.min() == 0
    assert (decoded[:, :4] == 0).all()  # background is exactly zero
    for one, truth in zip(decoded, real, strict=True):
        assert psnr(one, truth) > 26
        assert psnr(one, truth) > psnr(mean[0], truth) + 3


def test_latents_are_standardised(fitted):
    codec, latents, *_ = fitted
    both = torch.cat([latents, codec.flip(latents)])
    assert both.mean(0).abs().max() < 0.02
    # fp16 statistics and floors: never above one, one where brains differ
    assert both.square().mean(0).max() < 1.02
    assert both[:, :3].square().mean() > 0.5


def test_flip_is_the_mirror_image(fitted):
    codec, latents, *_ = fitted
    assert torch.equal(codec.flip(codec.flip(latents)), latents)
    apart = (codec.decode(codec.flip(latents[:3])) - codec.decode(latents[:3]).flip(1)).abs()
    assert (apart > 1e-3).float().mean() < 1e-4  # a voxel at the background's threshold may fall to either side


def test_encoding_the_mirrored_scan_gives_the_mirrored_latent(fitted):
    codec, *_ = fitted
    matrix = np.eye(4)
    matrix[:3, :3] += np.array([[0.04, 0.02, 0], [-0.03, 0.02, 0.01], [0.01, 0, -0.03]])
    straight, mirrored = brain_of(SMALL, matrix, 1), brain_of(SMALL, matrix, 1, flip=True)
    z, _ = codec.encode([straight, mirrored], steps=20)
    apart = (z[1] - codec.flip(z[:1])[0]).square().mean().sqrt()
    assert apart < 0.1 * z[0].square().mean().sqrt()


def test_pose_is_nuisance_and_size_is_not(fitted):
    """A turned head has the same latent; a bigger head decodes bigger."""
    codec, *_ = fitted
    turn = np.eye(4)
    angle = np.deg2rad(8)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turn[:3, 3] = [6, -5, 4]
    shrink = np.diag([1 / 1.1, 1 / 1.1, 1 / 1.1, 1.0])
    scans = [brain_of(SMALL, np.eye(4), 0), brain_of(SMALL, turn, 0), brain_of(SMALL, shrink, 0)]
    z, poses = codec.encode(scans[:3], steps=20)
    volumes = (codec.decode(z) > 0.3).sum((1, 2, 3)).float()
    assert abs(float(volumes[1] / volumes[0]) - 1) < 0.02
    assert float(volumes[2] / volumes[0]) == pytest.approx(1.1**3, rel=0.05)
    off = poses[1][:3, :3].T @ turn[:3, :3].T @ poses[0][:3, :3]
    assert np.rad2deg(np.arccos((np.trace(off) - 1) / 2)) < 2.0


def test_file_keeps_the_codec_to_the_bit(fitted, tmp_path):
    codec, latents, *_ = fitted
    again = BrainCodec.load(codec.save(tmp_path / "codec.safetensors"))
    assert again.geometry == codec.geometry and again.facts == codec.facts and again.shape == codec.shape
    assert torch.equal(again.decode(latents[:2]), codec.decode(latents[:2]))
    for name, tensor in codec.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    (tmp_path / "other.safetensors").write_bytes(b"nonsense")
    for name in ("absent", "other"):
        with pytest.raises(DataError, match=name):
            BrainCodec.load(tmp_path / f"{name}.safetensors")


def test_push_is_what_pull_back_inverts(fitted):
    codec, latents, poses, brains = fitted
    velocity, _ = codec.unpack(latents[:1])
    truth = torch.from_numpy(brains[0].canvas(SMALL, poses[0], 3))
    plain, refined = (
        push(pull_back(brains[:1], poses[:1], velocity, SMALL, False, n), velocity, SMALL)[0] for n in (0, 4)
    )
    assert psnr(refined, truth) > psnr(plain, truth) + 2


def test_wrong_masks_are_refused():
    affine = np.diag([3.0, 3, 3, 1])
    image, mask = phantom(np.stack(np.meshgrid(*[np.arange(-90, 90, 3)] * 3, indexing="ij"), -1))
    tiny = np.zeros_like(mask)
    tiny[30:33, 30:33, 30:33] = 1
    with pytest.raises(DataError, match=r"0\.3 to 3 l"):
        prepare(Volume(image, affine), Volume(tiny, affine), SMALL)


def test_pack_encodes_a_folder_resumes_and_lists_what_failed(fitted, tmp_path):
    codec, *_ = fitted
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = [-94, -124, -94]
    points = np.stack(np.meshgrid(*[np.arange(n) for n in (48, 54, 48)], indexing="ij"), -1) * 4.0 + affine[:3, 3]
    root = tmp_path / "bids"
    for number, name in enumerate(("sub-a", "sub-b", "sub-c")):
        image, mask = phantom(points * (1 + 0.03 * number), number)
        save(root / name / "anat" / f"{name}_T1w.nii.gz", Volume(image, affine))
        if name != "sub-c":
            save(root / "derivatives" / "m" / name / "anat" / f"{name}_desc-brain_mask.nii.gz", Volume(mask, affine))
    (root / "participants.tsv").write_text(
        "participant_id\tage\tsex\tsplit\nsub-a\t30\tF\ttrain\nsub-b\tn/a\tn/a\tval\n"
    )
    failed: dict[str, str] = {}
    lines: list[str] = []
    out = tmp_path / "packed"
    _, file = pack(root, out, codec, log=lines.append, fail=failed.__setitem__)
    packed = read_latents(file)
    assert list(failed) == ["sub-c"] and "mask" in failed["sub-c"]
    assert packed.z.shape == (4, *codec.shape) and packed.z.dtype == torch.float16
    assert [(r["subject"], r["age"], r["sex"], r["flipped"]) for r in packed.rows] == [
        ("sub-a", 30.0, "F", False), ("sub-b", None, None, False),
        ("sub-a", 30.0, "F", True), ("sub-b", None, None, True),
    ]  # fmt: skip
    assert packed.select("train") == [0, 2] and packed.select("val") == [1, 3]
    assert torch.allclose(codec.flip(packed.z[:2].float()), packed.z[2:].float(), atol=1e-3)
    pack(root, out, codec, log=lines.append)
    assert "already there" in lines[-1]


def test_pack_says_each_time_what_it_left_out_and_which_masks_lie_elsewhere(fitted, tmp_path):
    """A scan and a mask that git-annex has not fetched; a mask by the qform of a scan whose sform moved by 40 mm."""
    import nibabel as nib

    codec, *_ = fitted
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = [-94, -124, -94]
    points = np.stack(np.meshgrid(*[np.arange(n) for n in (48, 54, 48)], indexing="ij"), -1) * 4.0 + affine[:3, 3]
    root = tmp_path / "bids"
    files = {}
    image, mask = phantom(points, 1)
    for name in ("sub-a", "sub-b", "sub-c", "sub-d"):
        files[name] = [root / name / f"anat/{name}_T1w.nii.gz",
                       root / f"derivatives/m/{name}/anat/{name}_desc-brain_mask.nii.gz"]  # fmt: skip
        save(files[name][0], Volume(image, affine))
        save(files[name][1], Volume(mask, affine))
    for path in (files["sub-a"][0], files["sub-b"][1]):
        path.unlink()
        path.symlink_to("../../.git/annex/objects/x.nii.gz")
    scan = nib.load(files["sub-c"][0])
    moved = affine.copy()
    moved[:3, 3] += [0, 40, 0]
    image = nib.Nifti1Image(np.asarray(scan.dataobj), moved)
    image.set_sform(moved, 2)
    image.set_qform(affine, 1)
    image.to_filename(files["sub-c"][0])
    for _ in range(2):  # the second time all is there
        failed: dict[str, str] = {}
        flags: list[str] = []
        _, file = pack(root, tmp_path / "packed", codec, log=str, fail=failed.__setitem__, flag=flags.append)
        assert list(failed) == ["sub-a", "sub-b"]
        assert "sub-a_T1w.nii.gz" in failed["sub-a"] and "desc-brain_mask.nii.gz" in failed["sub-b"]
        assert all("datalad get" in reason for reason in failed.values())
        assert len(flags) == 1 and "sub-c_desc-brain_mask" in flags[0] and "40.0 mm" in flags[0]
    packed = read_latents(file)
    assert [r["subject"] for r in packed.rows[:2]] == ["sub-c", "sub-d"]
    one, other = packed.z[:2].float()
    assert (one - other).abs().mean() < 0.05 * other.abs().mean()  # the same brain, masked alike wherever it lies


def test_pack_fits_a_codec_and_goes_on_after_a_kill(tmp_path):
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = [-94, -124, -94]
    points = np.stack(np.meshgrid(*[np.arange(n) for n in (48, 54, 48)], indexing="ij"), -1) * 4.0 + affine[:3, 3]
    root, out = tmp_path / "bids", tmp_path / "packed"
    table = "participant_id\tsplit\n"
    for number in range(9):
        name = f"sub-{number}"
        image, mask = phantom(points * (1 + 0.01 * number), number)
        save(root / name / "anat" / f"{name}_T1w.nii.gz", Volume(image, affine))
        save(root / "derivatives" / "m" / name / "anat" / f"{name}_desc-brain_mask.nii.gz", Volume(mask, affine))
        table += f"{name}\t{'val' if number == 8 else 'train'}\n"
    (root / "participants.tsv").write_text(table)

    def killed(text: str) -> None:
        if text.startswith("encoded"):  # the codec and the training latents are there, the held-out scan is on its way
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(root, out, geometry=SMALL, components=8, log=killed)
    first = (out / "codec.safetensors").read_bytes()
    assert not (out / "latents.safetensors").exists()
    lines: list[str] = []
    _, file = pack(root, out, geometry=SMALL, components=8, log=lines.append)
    assert any(line.startswith("resumed: 9 of 9") for line in lines)
    assert (out / "codec.safetensors").read_bytes() == first
    packed = read_latents(file)
    assert packed.z.shape == (18, 11, *SMALL.grid) and len(packed.select("val")) == 2
    codec = BrainCodec.load(out / "codec.safetensors")
    assert codec.facts["brains"] == 8 and codec.head_brain.max() > 0.9
    train = packed.z[packed.select("train")].float()
    assert train.mean(0).abs().max() < 0.02  # standardised over the training scans and their mirror images
    sizes = (codec.decode(packed.z[:9].float()) > 0.3).sum((1, 2, 3)).float()
    assert sizes[7] < sizes[0] * 0.9  # later phantoms are smaller


DATA = Path(os.environ.get("DIFFX_DATA", Path(__file__).parents[2] / "shared" / "data")) / "mri" / "ixi"


@pytest.mark.skipif(not DATA.is_dir(), reason=f"needs real scans: {DATA} is absent (set DIFFX_DATA)")
def test_real_scans_are_explained_masked_and_kept_in_place():
    """Eight IXI scans at 4 mm: a held-out brain comes back 3 dB nearer than the mean; its quick mask has Dice 0.93."""
    scans, _ = find_scans(DATA)
    train = [s for s in scans if s.split == "train"][::16][:8]
    held_out = next(s for s in scans if s.split == "val")
    images = [load(s.path) for s in [*train, held_out]]
    masks = [read_mask(s, i) for s, i in zip([*train, held_out], images, strict=True)]
    brains = [prepare(i, m, SMALL) for i, m in zip(images, masks, strict=True)]
    codec, latents, poses = fit_codec(brains[:8], SMALL, components=24, rounds=2, steps=12)
    z, pose = codec.encode(brains[8:], steps=30)
    truth = torch.from_numpy(brains[8].canvas(SMALL, pose[0], 3))
    assert psnr(codec.decode(z)[0], truth) > psnr(codec.decode(torch.zeros_like(z))[0], truth) + 3

    velocities, _ = codec.unpack(latents)
    heads = []
    for image, mask, brain, p, v in zip(images, masks, brains, poses, velocities, strict=False):
        scaled = Volume(image.data / np.percentile(image.data[mask.data > 0], 99), image.affine)
        heads.append((scaled, mask, brain.shift, p, v))
    found = extract_brain(images[8], codec.with_head(*head_template(heads, SMALL))).data
    true = masks[8].data
    assert 2 * (found * true).sum() / (found.sum() + true.sum()) > 0.93
    with pytest.raises(DataError, match="no mean head"):
        extract_brain(images[8], codec)
