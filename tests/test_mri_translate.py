"""mri_translate: where its output lies, on what scale, and what a trained network makes of a known mapping."""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage

from diffx.cli import main
from diffx.cli.chosen import choose, configure
from diffx.config import resolve
from diffx.errors import DataError, UsageError
from diffx.io.checkpoint import load as load_tensors
from diffx.metrics import spread_skill
from diffx.noise import Noise
from diffx.pipeline import pipeline
from diffx.schedule import EDM
from diffx_mri.contrast import Contrast, find_contrast
from diffx_mri.slice_net import Regression
from diffx_mri.slices import SliceGrid, head_mask, heights
from diffx_mri.stored import Stored, write_int16
from diffx_mri.translate import intensity
from diffx_mri.translate.config import SliceData, SliceSampling, TranslateConfig
from diffx_mri.translate.data import Pairs, prepare
from diffx_mri.translate.evaluate import scores
from diffx_mri.translate.face import Translator
from diffx_mri.translate.mean_model import MeanModel, Stack
from diffx_mri.translate.training import training_data
from diffx_mri.translate.uncertainty import estimated, spread_of
from diffx_mri.volume import Volume, load

LGG = Path(os.environ.get("DIFFX_DATA", Path(__file__).parents[1] / "../shared/data")) / "mri/lgg"
LICENCE = "CC BY-NC-SA 4.0, research use only"


def phantom(points: np.ndarray) -> np.ndarray:
    """A head without symmetry, as a function of world points [..., 3] in mm: skull, brain, one bright and one dark."""

    def ball(centre, radii):
        return 1 / (1 + np.exp(((((points - centre) / radii) ** 2).sum(-1) ** 0.5 - 1) * 8))

    head = 300 * ball((3, -4, 8), (70, 85, 75)) + 250 * ball((3, -2, 6), (58, 72, 62))
    return head + 350 * ball((28, 20, 20), (15, 12, 18)) - 300 * ball((-20, -30, 2), (12, 16, 14))


def points(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def turned(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    tilt = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    return tilt @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def affine_of(axes: str, spacing: tuple[float, ...], shape: tuple[int, ...], degrees: float = 0) -> np.ndarray:
    """Voxel axes towards those directions, the scan's middle near the head's."""
    matrix = np.eye(4)
    for column, (axis, step) in enumerate(zip(axes, spacing, strict=True)):
        row, sign = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}[axis]
        matrix[:3, column] = 0
        matrix[row, column] = sign * step
    matrix[:3, :3] = turned(degrees) @ matrix[:3, :3]
    matrix[:3, 3] = np.array([4.0, -6, 5]) - matrix[:3, :3] @ ((np.array(shape) - 1) / 2)
    return matrix


SCANS = {  # name: axes, spacing, shape, tilt, sform code, qform code, 4-D
    "RAS": ("RAS", (4, 4, 6), (50, 50, 28), 0, 1, 1, False),
    "LAS": ("LAS", (4, 3, 6), (50, 66, 28), 0, 2, 1, False),
    "PSR": ("PSR", (4, 5, 4), (50, 36, 45), 0, 1, 1, False),
    "LPI, oblique": ("LPI", (4, 3, 5), (48, 66, 34), 17, 1, 1, False),
    "oblique, qform alone": ("ARS", (4, 4, 4), (48, 46, 42), -12, 0, 1, False),
    "sform alone, one frame of 4-D": ("RAS", (4, 4, 5), (48, 50, 35), 8, 4, 0, True),
}


@pytest.fixture(params=SCANS)
def scan(request, tmp_path) -> Path:
    axes, spacing, shape, degrees, sform, qform, frames = SCANS[request.param]
    affine = affine_of(axes, spacing, shape, degrees)
    data = np.rint(phantom(points(affine, shape))).astype(np.int16)
    image = nib.Nifti1Image(data[..., None] if frames else data, affine)
    image.set_sform(affine, code=sform)
    image.set_qform(affine, code=qform)
    path = tmp_path / "sub-01_FLAIR.nii.gz"
    nib.save(image, path)
    return path


def test_a_new_image_has_every_voxel_in_its_place_and_the_geometry_of_the_header(scan, tmp_path):
    stored = Stored.read(scan)
    path = tmp_path / "out.nii.gz"
    write_int16(stored.image(stored.volume.data, "made"), path)
    before, after = nib.load(scan), nib.load(path)
    assert after.shape == before.shape
    for form in ("sform", "qform"):
        (a, code_a), (b, code_b) = (getattr(i.header, f"get_{form}")(coded=True) for i in (before, after))
        assert code_a == code_b
        assert (a is None and b is None) or np.array_equal(a, b)
    assert np.array_equal(before.affine, after.affine)
    assert before.header.get_xyzt_units() == after.header.get_xyzt_units()
    top = np.abs(before.get_fdata()).max()
    assert np.abs(after.get_fdata() - before.get_fdata()).max() <= top / 32767


def test_what_is_made_lies_where_the_source_does(scan, monkeypatch):
    """A network that returns its input: world coordinates in and out must show the same head."""
    translator = object.__new__(Translator)
    translator.contrasts = ["FLAIR", "T1ce"]
    monkeypatch.setattr(Translator, "grid", SliceGrid())
    monkeypatch.setattr(
        Translator, "draw", lambda self, stack, *_: (stack.slices + np.c_[[0, 0.1]][..., None, None], stack.slices)
    )
    result = translator.translate(scan, "FLAIR", "T1ce", n=2)
    before = load(scan)
    _, _, scale = intensity.normalise(SliceGrid().slices(before))
    made = load(write_int16(result.image, scan.with_name("out.nii.gz")))
    assert np.allclose(made.affine, before.affine)
    truth = phantom(points(made.affine, made.data.shape))
    inside = truth > 60
    error = np.abs(made.data * scale - truth)[inside]
    assert error.mean() < 12 and np.percentile(error, 99) < 70  # of 900: what resampling costs
    spread = result.uncertainty.get_fdata()[Stored.read(scan).to_file_order(inside)]
    assert np.allclose(spread, 0.1 / 2**0.5, atol=1e-4)


def test_a_scan_on_the_networks_grid_is_not_resampled():
    scan = Volume(np.random.default_rng(0).random((16, 16, 5), np.float32), np.diag([2.0, 2, 6, 1]))
    grid = SliceGrid(16)
    slices = grid.slices(scan)
    assert np.array_equal(np.moveaxis(slices, 0, 2), scan.data) and np.array_equal(grid.back(slices, scan), scan.data)
    # a larger grid shifts by whole pixels
    wide = SliceGrid(20).slices(scan)
    assert np.allclose(wide[:, 2:18, 2:18], slices, atol=1e-6) and wide[:, :2].max() == 0


def test_neighbours_are_a_gap_away():
    slices = np.arange(9, dtype=np.float32)[:, None, None] * np.ones((9, 2, 2), np.float32)
    at = SliceGrid(2, 2.0, gap=6.0).neighbours(slices, thickness=6.0)[:, :, 0, 0]
    assert np.array_equal(at[4], [3, 4, 5]) and np.isnan(at[0, 0]) and np.isnan(at[8, 2])
    thin = SliceGrid(2, 2.0, gap=6.0).neighbours(slices, thickness=4.0)[:, :, 0, 0]
    assert np.array_equal(thin[4], [2.5, 4, 5.5]) and np.isnan(thin[1, 0]) and thin[2, 0] == 0.5
    thick = SliceGrid(2, 2.0, gap=6.0).neighbours(slices, thickness=10.0)[:, :, 0, 0]
    assert np.array_equal(thick[4], [3, 4, 5])
    mask = np.zeros((6, 2, 2), bool)
    mask[1:5] = True
    assert np.allclose(heights(mask), [0, 0, 1 / 3, 2 / 3, 1, 1])


def test_the_intensity_scale_is_the_heads_own():
    affine = affine_of("RAS", (2, 2, 6), (100, 100, 28))
    slices = np.moveaxis(phantom(points(affine, (100, 100, 28))), 2, 0).astype(np.float32)
    normal, mask, scale = intensity.normalise(slices)
    louder, mask_again, scale_again = intensity.normalise(slices * 7)
    assert np.allclose(normal, louder, atol=1e-4) and scale_again == pytest.approx(7 * scale)
    assert np.allclose(normal * scale, slices, rtol=1e-5) and np.array_equal(mask, mask_again)
    assert intensity.robust_mean(normal[mask]) == pytest.approx(1, abs=1e-3)
    spiked = slices.copy()
    spiked[14, 45:53, 45:53] = 20_000  # a vessel, a clip
    assert intensity.normalise(spiked)[2] == pytest.approx(scale, rel=0.02)
    body = ndimage.binary_erosion(mask, np.ones((1, 3, 3)))
    assert body[14].any() and (slices[body] > 20).all()  # the dark ball inside counts as head, the air does not
    assert np.allclose(intensity.from_state(intensity.to_state(normal)), np.maximum(normal, 0), atol=1e-6)
    with pytest.raises(DataError, match="no head"):
        intensity.normalise(np.zeros((3, 8, 8), np.float32))


def test_histogram_matching_maps_percentiles_to_percentiles():
    rng = np.random.default_rng(0)
    given, wanted = rng.gamma(3, 1, 20_000), rng.gamma(2, 2, 20_000)
    quantiles = [np.percentile(v, intensity.LEVELS) for v in (given, wanted)]
    done = intensity.matched(given, *quantiles)
    assert np.allclose(np.percentile(done, intensity.LEVELS), quantiles[1], atol=0.02)
    assert (np.diff(done[np.argsort(given)]) >= 0).all()


def test_a_regression_sees_nothing_of_the_answer():
    process = Regression(EDM(sigma_max=20.0))
    x = torch.randn(3, 1, 4, 4)
    noisy = process.corrupt(x, process.times(np.array([0.1, 0.5, 0.9])), Noise([1, 2, 3]))
    assert noisy.x.abs().max() == 0 and set(noisy.t) == {process.schedule.t_max}
    assert torch.equal(noisy.x, process.prior((1, 4, 4), Noise([7, 8, 9])))
    assert torch.allclose(process.loss(x + 0.25, noisy), torch.full((3,), 0.25))


def test_scores_are_those_of_the_field():
    monai = pytest.importorskip("monai.metrics.regression")
    rng = np.random.default_rng(0)
    truth = ndimage.gaussian_filter(rng.random((3, 40, 40)), (0, 2, 2)) * 5
    image = truth + 0.2 * ndimage.gaussian_filter(rng.standard_normal(truth.shape), (0, 1, 1))
    mask = np.zeros(truth.shape, bool)
    mask[:, 5:-5, 5:-5] = True  # where MONAI's window is whole
    peer = monai.SSIMMetric(2, data_range=3.0, win_size=11, kernel_sigma=1.5)
    theirs = peer(*(torch.from_numpy(v)[:, None] for v in (image, truth))).mean()
    assert scores.ssim(image, truth, mask, 3.0) == pytest.approx(float(theirs), abs=1e-4)
    assert scores.psnr(truth + 0.03, truth, mask, 3.0) == pytest.approx(40.0)
    assert scores.mae(truth - 0.03, truth, mask, 3.0) == pytest.approx(0.01)
    top = np.where(mask, np.linspace(0, 1, mask.size).reshape(mask.shape), 99)
    assert scores.peak(top, mask) == pytest.approx(np.percentile(top[mask], 99.5))


def test_the_spread_of_samples_is_that_of_the_error():
    rng = np.random.default_rng(0)
    n = 4
    sigma = rng.uniform(0.5, 2, 100_000)
    drawn = (rng.standard_normal((n + 1, sigma.size)) * sigma).reshape(n + 1, 10, 100, 100)
    mean = estimated(drawn[:n], drawn[n], "mean")
    for pooled in (0, 2):
        spread = spread_of(drawn[:n], pooled)
        assert spread_skill(spread, drawn[n] - mean, n) == pytest.approx(1, abs=0.01)
    assert spread_of(drawn[:1]) is None
    assert np.array_equal(estimated(drawn[:3], drawn[3], "median"), np.sort(drawn[:3], 0)[1])
    assert np.array_equal(estimated(drawn[:3], drawn[3], "regression"), drawn[3])
    alike = np.ones((10, 100, 100))  # where neighbours are alike, eight samples and their neighbours know it better
    eight = rng.standard_normal((8, *alike.shape))
    assert spread_of(eight, 0).std() > 0.2 and spread_of(eight).std() < 0.05


def test_contrasts_are_told_apart(tmp_path):
    anat = tmp_path / "sub-01/ses-2/anat"
    anat.mkdir(parents=True)
    for name in ("ce-GD_T1w", "T1w", "run-2_T1w", "FLAIR", "T2w"):
        (anat / f"sub-01_ses-2_{name}.nii.gz").touch()
    alone = tmp_path / "sub-02/anat"
    alone.mkdir(parents=True)
    (alone / "sub-02_ce-GD_T1w.nii.gz").touch()
    found = {word: find_contrast(tmp_path, Contrast.of(word)) for word in ("T1", "t1ce", "T1gd", "flair", "T2w")}
    names = {word: paths["sub-01", "ses-2"].name.removeprefix("sub-01_ses-2_") for word, paths in found.items()}
    assert names["T1"] == "T1w.nii.gz" and names["t1ce"] == names["T1gd"] == "ce-GD_T1w.nii.gz"
    assert ("sub-02", None) in found["t1ce"] and ("sub-02", None) not in found["T1"]
    assert names["flair"] == "FLAIR.nii.gz" and names["T2w"] == "T2w.nii.gz"
    with pytest.raises(UsageError, match="no contrast"):
        Contrast.of("T1-ce")


@pytest.fixture(scope="module")
def bids(tmp_path_factory) -> Path:
    """Heads of five subjects in two contrasts; T1ce is a known function of FLAIR, the other way round the inverse."""
    root = tmp_path_factory.mktemp("bids")
    shape = (32, 32, 6)
    affine = affine_of("LPS", (6, 6, 20), shape)
    rng = np.random.default_rng(0)
    for number in range(1, 6):
        anat = root / f"sub-{number:02d}/anat"
        anat.mkdir(parents=True)
        here = points(affine, shape) + rng.uniform(-15, 15, 3)
        flair = phantom(here)
        head = 300 / (1 + np.exp(-(flair - 60) / 8))
        for name, data in (("FLAIR", flair), ("ce-GD_T1w", head * (1.6 - flair / 900) * 3)):
            image = nib.Nifti1Image(data.astype(np.float32), affine)
            image.set_sform(affine, 1)
            nib.save(image, anat / f"sub-{number:02d}_{name}.nii.gz")
    (root / "sub-05/anat/sub-05_ce-GD_T1w.nii.gz").unlink()
    (root / "dataset_description.json").write_text(json.dumps({"Name": "toy", "License": LICENCE}))
    lines = ["participant_id\tsplit", *(f"sub-{i:02d}\t{'val' if i > 3 else 'train'}" for i in range(1, 7))]
    (root / "participants.tsv").write_text("\n".join(lines) + "\n")
    return root


def some(bids: Path, folder: Path, *subjects: str) -> Path:
    """A BIDS folder of a few of the subjects."""
    shutil.copy(bids / "dataset_description.json", folder)
    for subject in subjects:
        shutil.copytree(bids / subject, folder / subject)
    return folder


GRID = ["data.size=32", "data.spacing=6", "data.gap=20"]
TINY = [*GRID, "net.channels=[16,16]", "net.attention=[]", "net.fold=2", "net.condition=16", "train.lr=4e-3",
        "train.warmup=10", "train.batch=4", "train.val_every=0", "train.ema_std=0.1", "train.log_every=100",
        "device=cpu"]  # fmt: skip


@pytest.fixture(scope="module")
def trained(bids, tmp_path_factory) -> dict[str, Path]:
    """A diffusion and a regression, trained by the command line."""
    folder = tmp_path_factory.mktemp("runs")
    common = ["run", "plugin=mri_translate", "task=train", f"data.root={bids}", f"data.cache={folder}/cache", *TINY]
    assert main([*common, "train.steps=100", "regression=true", f"out={folder}/regression"]) == 0
    assert main([*common, "train.steps=60", f"from={folder}/regression", f"out={folder}/diffusion"]) == 0
    return {"diffusion": folder / "diffusion", "regression": folder / "regression", "cache": folder / "cache"}


def test_training_sees_each_direction_as_it_is_and_mirrored(bids, tmp_path):
    data = SliceData(root=str(bids), size=32, spacing=6.0, gap=20.0, cache=str(tmp_path))
    slices = prepare(TranslateConfig(data=data))  # of which a regression learns
    pairs = Pairs(slices, "train")
    kinds = {(given, wanted, mirrored) for _, _, given, wanted, mirrored in pairs.items}
    assert len(kinds) == 4 and len(Pairs(slices, "val")) < len(pairs)
    row, k, given, wanted, _ = pairs.items[8]
    plain, mirrored = pairs[8], pairs[9]
    scan = {name: np.moveaxis(load(bids / row["subject"] / f"anat/{row['subject']}_{file}.nii.gz").data, 2, 0)
            for name, file in (("FLAIR", "FLAIR"), ("T1ce", "ce-GD_T1w"))}  # fmt: skip
    for name, seen in ((given, plain["source"][1]), (wanted, plain["x"][0])):
        truth = intensity.to_state(intensity.normalise(scan[name])[0][k])
        # off by what a byte holds: half a level, and nothing above 3.98
        assert np.abs(seen.numpy() - np.minimum(truth, intensity.to_state(255 / 64))).max() < 0.6 / 64 / 0.7
    below = intensity.to_state(intensity.normalise(scan[given])[0][k - 1])
    assert np.abs(plain["source"][0].numpy() - below).max() < 0.6 / 64 / 0.7
    for field in ("x", "source"):
        assert torch.equal(plain[field].flip(-2), mirrored[field]) and not torch.equal(plain[field], mirrored[field])
    assert plain["height"] == pytest.approx((k - row["low"]) / (row["high"] - row["low"]))
    # one file, carried away, is as good as the folder
    file = next(tmp_path.glob("*.safetensors"))
    again = Pairs(prepare(TranslateConfig(data=replace(data, root=str(file)))), "train")
    assert torch.equal(again[8]["x"], plain["x"])
    with pytest.raises(DataError, match="holds FLAIR, T1ce"):
        prepare(TranslateConfig(data=replace(data, root=str(file), contrasts=["T1w", "T2w"])))


def test_weights_hold_what_translation_needs(trained):
    tensors, meta = load_tensors(trained["diffusion"] / "checkpoints/weights.safetensors")
    assert meta["licence"] == LICENCE and meta["contrasts"] == ["FLAIR", "T1ce"]
    flair = tensors["extra.quantiles.FLAIR"]
    assert len(flair) == 101 and flair.diff().min() >= 0 and 0.7 < flair[50] < 1.3


def test_the_diffusion_learns_what_the_regression_leaves(trained, bids):
    data = SliceData(root=str(bids), size=32, spacing=6.0, gap=20.0, cache=str(trained["cache"]))
    first = MeanModel.load(trained["regression"] / "checkpoints/weights.safetensors")
    found = training_data(TranslateConfig(data=data, from_=str(trained["regression"]), device="cpu"))
    spread, sets = float(found.tensors["spread"]), found.sets
    plain = Pairs(sets["train"].slices, "train")
    items = [sets["train"][i] for i in range(len(plain))]
    whole = [item["x"] * spread + item["expected"] for item in items]
    assert all(torch.allclose(x, plain[i]["x"], atol=1e-4) for i, x in enumerate(whole))
    assert torch.stack([item["x"] for item in items]).square().mean().sqrt() == pytest.approx(1, abs=0.02)
    assert torch.equal(items[0]["expected"].flip(-2), items[1]["expected"])
    # what is expected is the regression's answer, and the diffusion's file holds that regression
    row, k, given, wanted, _ = plain.items[0]
    source = plain.slices.scan(row, given)
    stack = Stack(source, head_mask(source), row["thickness"])
    both = Translator.load(trained["diffusion"], device="cpu", say=lambda text: None)
    answers = [of(stack, plain.slices.grid, given, wanted)[k] for of in (first, both.regressor)]
    assert np.allclose(*answers, atol=2e-2) and np.allclose(answers[0], items[0]["expected"][0], atol=2e-2)
    alone = Translator.load(trained["regression"], device="cpu", say=lambda text: None)
    drawn, expected = alone.draw(stack, given, wanted, 5, 0, SliceSampling())
    assert len(drawn) == 1 and np.array_equal(drawn[0], expected) and spread_of(drawn) is None
    with pytest.raises(UsageError, match="regression=true"):
        training_data(TranslateConfig(data=data))


def test_translate_writes_derivatives_and_says_the_licence_once(trained, bids, tmp_path, capsys):
    pipeline._announced.clear()
    root = some(bids, tmp_path, "sub-04", "sub-05")
    call = ["run", "plugin=mri_translate", f"data.root={root}", "source=FLAIR", "target=T1ce", "n=2", "estimate=mean",
            "sample.steps=2", f"from={trained['diffusion']}", "device=cpu"]  # fmt: skip
    assert main([*call, f"out={tmp_path}/a"]) == 0
    assert capsys.readouterr().err.count(LICENCE) == 1
    assert main([*call, "sample.batch=5", f"out={tmp_path}/b"]) == 0
    assert LICENCE not in capsys.readouterr().err
    made = tmp_path / "a/samples/sub-05/anat/sub-05_ce-GD_desc-synth_T1w"
    image, again = (nib.load(f"{str(made).replace('/a/', f'/{x}/')}.nii.gz") for x in "ab")
    source = nib.load(bids / "sub-05/anat/sub-05_FLAIR.nii.gz")
    assert image.shape == source.shape and np.array_equal(image.affine, source.affine)
    assert np.allclose(image.get_fdata(), again.get_fdata(), atol=1e-3)  # whatever the batch
    sidecar = json.loads(Path(f"{made}.json").read_text())
    assert sidecar["Sources"] == ["bids:raw:sub-05_FLAIR.nii.gz"] and sidecar["WeightsLicence"] == LICENCE
    assert nib.load(str(made).replace("desc-synth", "desc-synthsd") + ".nii.gz").get_fdata().max() > 0
    described = json.loads((tmp_path / "a/samples/dataset_description.json").read_text())
    assert described["GeneratedBy"][0]["Name"] == "diffx" and described["License"] == LICENCE
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        pipeline._announced.clear()
        Translator.load(trained["diffusion"])
        Translator.load(trained["diffusion"])
    assert sum(LICENCE in str(w.message) for w in said) == 1


def test_mri_synth_hands_over(trained, bids, tmp_path):
    """One translation, whichever plugin is asked."""
    root = some(bids, tmp_path, "sub-01")
    words = [f"data.root={root}", "source=FLAIR", "target=T1ce", "n=2", "seed=3", "sample.steps=2", "device=cpu"]
    images = []
    for call in (["plugin=mri_synth", "task=translate"], ["plugin=mri_translate"]):
        out = tmp_path / call[0][7:]
        assert main(["run", *call, f"from={trained['diffusion']}", f"out={out}", *words]) == 0
        anat = out / "samples/sub-01/anat"
        images.append([nib.load(anat / f"sub-01_ce-GD_desc-{d}_T1w.nii.gz").get_fdata() for d in ("synth", "synthsd")])
    assert np.array_equal(*images)


def handed(words: list[str], file: Path | None = None):
    """What mri_translate is asked for where mri_synth was asked with these words."""
    from diffx_mri.synth.config import SynthConfig
    from diffx_mri.synth.tasks.translate import given, translate_config

    words = ["plugin=mri_synth", "task=translate", *words, *([f"config={file}"] if file else [])]
    cfg = resolve(SynthConfig, overrides=words)
    return translate_config(cfg, given(["run", *words], cfg.config))


def test_what_is_handed_over_is_what_was_asked_for(tmp_path):
    plain = handed([])
    assert (plain.n, plain.sample) == (8, SliceSampling())  # as mri_translate by itself
    assert handed(["sample.autoguidance=1"]).sample == SliceSampling()  # asks for nothing
    asked = handed(["n=4", "sample.steps=16", "sample.grid=angle", "sample.eta=0.5", "seed=3"])
    assert (asked.n, asked.sample.steps, asked.sample.grid, asked.sample.eta, asked.seed) == (4, 16, "angle", 0.5, 3)
    file = tmp_path / "c.yaml"
    file.write_text("n: 4\nsample:\n  steps: 16\n")
    assert (handed([], file).n, handed([], file).sample.steps) == (4, 16)
    file.write_text("sample.steps: 16\n")
    assert (handed(["n=2"], file).n, handed([], file).n, handed([], file).sample.steps) == (2, 8, 16)
    for wrong in ("sample.weak=mri-synth-ixi-weak", "sample.autoguidance=2"):
        with pytest.raises(UsageError, match=f"{wrong}.*no guidance by weaker weights"):
            handed([wrong])


@pytest.mark.parametrize("word", ["sample.autoguidance=1", "sample.weak=x"])
def test_mri_synth_hands_over_or_says_why_not(trained, bids, tmp_path, capsys, word):
    root = some(bids, tmp_path, "sub-01")
    words = [f"data.root={root}", "source=FLAIR", "target=T1ce", "n=1", "device=cpu", f"from={trained['diffusion']}"]
    code = main(["run", "plugin=mri_synth", "task=translate", *words, word, f"out={tmp_path}/r"])
    assert code == (0 if word == "sample.autoguidance=1" else 2)
    assert ("no guidance by weaker weights" in capsys.readouterr().err) == (code == 2)


def test_a_link_without_content_is_named_and_the_rest_goes_on(trained, bids, tmp_path):
    """git-annex: one FLAIR was not fetched; training data of the rest are packed, and on each run the list is whole."""
    (tmp_path / "b").mkdir()
    root = some(bids, tmp_path / "b", "sub-01", "sub-02", "sub-03")
    scan = root / "sub-02/anat/sub-02_FLAIR.nii.gz"
    scan.unlink()
    scan.symlink_to("../../.git/annex/objects/x.nii.gz")
    data = SliceData(root=str(root), size=32, spacing=6.0, gap=20.0, cache=str(tmp_path))
    for _ in range(2):
        failed: dict[str, str] = {}
        slices = prepare(TranslateConfig(data=data), fail=failed.__setitem__)
        assert [row["subject"] for row in slices.rows] == ["sub-01", "sub-03"]
        assert list(failed) == ["sub-02"] and "datalad get" in failed["sub-02"]
    out = tmp_path / "run"
    call = ["run", "plugin=mri_translate", f"data.root={root}", "source=FLAIR", "target=T1ce", "n=1", "device=cpu"]
    assert main([*call, f"from={trained['diffusion']}", f"out={out}"]) == 1
    assert len(list((out / "samples").rglob("*_T1w.nii.gz"))) == 2


def test_the_lesion_of_a_slice_is_that_of_the_session(tmp_path):
    """Not that of another session whose name begins alike, nor one in a template's space."""
    from diffx_mri.bids import derived
    from diffx_mri.translate.pack import _largest_lesion

    def mask(name: str, k: int) -> None:
        area = np.zeros((8, 8, 5), np.uint8)
        area[2:4, 2:4, k] = 1
        path = tmp_path / "derivatives/l" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = nib.Nifti1Image(area, np.eye(4))
        image.set_qform(np.eye(4), 1)
        image.to_filename(path)

    (tmp_path / "sub-01/anat").mkdir(parents=True)
    mask("sub-01/anat/sub-01_space-MNI152_label-lesion_mask.nii.gz", 0)
    mask("sub-01/ses-1/anat/sub-01_ses-1_label-lesion_mask.nii.gz", 1)
    mask("sub-01/dwi/sub-01_label-lesion_mask.nii.gz", 4)
    found = derived(tmp_path, ("mask", "roi"))
    assert _largest_lesion(found["sub-01", None], 5) is None
    mask("sub-01/anat/sub-01_label-lesion_mask.nii.gz", 3)
    assert _largest_lesion(derived(tmp_path, ("mask", "roi"))["sub-01", None], 5) == 3


def test_a_trained_network_beats_the_copy_in_both_directions(trained, bids, tmp_path):
    """T1ce is FLAIR turned upside down: no histogram matching makes one of the other, a network does."""
    call = ["run", "plugin=mri_translate", "task=evaluate", f"data.root={bids}", f"data.cache={trained['cache']}",
            "n=4", f"from={trained['diffusion']}", "device=cpu"]  # fmt: skip
    assert main([*call, f"out={tmp_path}/e"]) == 0
    found = json.loads((tmp_path / "e/metrics.json").read_text())["translate"]
    assert set(found) == {"FLAIR_to_T1ce", "T1ce_to_FLAIR"}
    for direction in found.values():
        figure = direction["psnr"]
        others = figure["baselines"]
        assert next(iter(others)) == "copy" and figure["baseline"] == others["copy"]  # the trivial one
        assert figure["value"] > others["copy"] + 3 and others["regression"] > others["copy"] + 3
        assert figure["value"] == others["regression"]  # as written by default
        assert others["mean of samples"] > others["one sample"]  # a mean is nearer than a sample
        assert figure["n"] == 1  # sub-05 has no truth


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        (["source=T2w", "target=T1ce"], 2, "these weights know FLAIR, T1ce, not T2w"),
        (["source=FLAIR", "target=FLAIR"], 2, "source and target are both FLAIR"),
        (["source=FLAIR"], 2, "target= says which contrast"),
        (["source=FLAIR", "target=T1ce", "data.root=EMPTY"], 5, "no FLAIR scan in it (found: T2w)"),
        (["source=FLAIR", "target=T1ce", "data.root=NOWHERE"], 5, "no such file or folder"),
    ],
)
def test_errors_are_one_line(trained, bids, tmp_path, capsys, given, code, says):
    empty = tmp_path / "empty/sub-01/anat"
    empty.mkdir(parents=True)
    (empty / "sub-01_T2w.nii.gz").touch()
    given = [word.replace("EMPTY", f"{tmp_path}/empty").replace("NOWHERE", f"{tmp_path}/no") for word in given]
    given += [] if any(word.startswith("data.root") for word in given) else [f"data.root={bids}"]
    capsys.readouterr()
    assert main(["run", "plugin=mri_translate", f"from={trained['diffusion']}", f"out={tmp_path}/x", *given]) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(lines) == 1 and says in lines[0]


def test_a_broken_scan_is_named_and_the_rest_goes_on(trained, bids, tmp_path, capsys):
    root = tmp_path / "some"
    for subject, whole in (("sub-01", False), ("sub-02", True)):
        anat = root / subject / "anat"
        anat.mkdir(parents=True)
        data = (bids / subject / f"anat/{subject}_FLAIR.nii.gz").read_bytes()
        (anat / f"{subject}_FLAIR.nii.gz").write_bytes(data if whole else data[:300])
    call = ["run", "plugin=mri_translate", f"data.root={root}", "source=FLAIR", "target=T1c", "n=1", "device=cpu"]
    assert main([*call, f"from={trained['diffusion']}", f"out={tmp_path}/r"]) == 1
    made = sorted(p.name for p in (tmp_path / "r/samples").rglob("*.nii.gz"))
    assert made == ["sub-02_ce-GD_desc-synth_T1w.nii.gz"]  # and no uncertainty of a single sample
    assert "sub-01_FLAIR.nii.gz" in json.loads((tmp_path / "r/status.json").read_text())["failures"][0]["reason"]


def test_every_diffx_line_of_the_pages_resolves():
    pages = (Path(__file__).parents[1] / "docs").glob("*/mri_translate.md")
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    lines = re.findall(r"^diffx run (plugin=mri_translate.*)$", text, re.M)
    assert len(lines) >= 5
    for line in lines:
        words = [re.sub(r"[<>]", "", word) for word in line.split() if "=" in word]
        assert configure(choose(words, "run"), words).plugin == "mri_translate"


HELD_OUT = "sub-TCGACS4944"  # 20 slices
ABOVE_COPY = {("FLAIR", "T1ce"): 1.8, ("T1ce", "FLAIR"): 2.2}  # dB; measured 2.1 and 2.6


@pytest.fixture(scope="module")
def shipped() -> Translator:
    if not (LGG / HELD_OUT).is_dir():
        pytest.skip("the LGG scans are not here; DIFFX_DATA says where they are")
    return Translator.load(device="cpu", say=lambda text: None)


@pytest.mark.parametrize(("given", "wanted"), ABOVE_COPY)
def test_shipped_weights_beat_the_copy_on_a_head_they_never_saw(shipped, given, wanted):
    files = {name: find_contrast(LGG, Contrast.of(name))[HELD_OUT, None] for name in (given, wanted)}
    made = shipped.translate(files[given], given, wanted, n=1)
    assert made.uncertainty is None and np.allclose(shipped.grid.slices(load(made.image)), made.estimate, atol=1e-5)
    truth, head, _ = intensity.normalise(shipped.grid.slices(load(files[wanted])))
    copy = intensity.matched(made.source, shipped.quantiles[given], shipped.quantiles[wanted])
    top = scores.peak(truth, head)
    ours, theirs = (scores.psnr(image, truth, head, top) for image in (made.estimate, copy))
    assert ours > theirs + ABOVE_COPY[given, wanted]


def test_shipped_weights_draw_the_same_of_the_same_seed(shipped):
    file = find_contrast(LGG, Contrast.of("FLAIR"))[HELD_OUT, None]
    one, again, other = (
        shipped.translate(scan, "FLAIR", "T1ce", n=2, seed=seed, estimate="mean", steps=2, batch=batch)
        for scan, seed, batch in ((file, 5, 20), (nib.load(file), 5, 13), (file, 7, 20))
    )
    inside = head_mask(one.source)
    assert np.allclose(one.samples, again.samples, atol=1e-3) and np.allclose(one.spread, again.spread, atol=1e-3)
    assert np.abs(one.estimate - other.estimate)[inside].mean() > 0.05
    assert one.spread[inside].mean() > 3 * one.spread[~inside].mean()  # air is certain
