"""The evaluation of synthetic brains: its measures and its figures against cases whose answer is known."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage

from diffx.cli import main
from diffx.errors import DataError, DiffxError
from diffx.metrics import audit, frechet_distance
from diffx.noise import Noise
from diffx_mri.bids import Scan
from diffx_mri.synth import model
from diffx_mri.synth.data import shipped_codec
from diffx_mri.synth.evaluate import drawing, figures, report, scans, similarity, two_sample
from diffx_mri.synth.evaluate.ages import anatomy, fit_ages
from diffx_mri.synth.evaluate.encoder import BANDS, Encoder, Lessons, seen, vary
from diffx_mri.synth.evaluate.figures import Brains
from diffx_mri.synth.evaluate.fitting import fit
from diffx_mri.synth.evaluate.measures import Measures, Readings
from diffx_mri.synth.evaluate.sets import parts, people
from diffx_mri.synth.segmentation import kept, segment, tissues
from diffx_mri.synth.tasks import evaluate as task

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return Noise([seed]).normal(*shape)[0].double()


# --- tissues and volumes ---------------------------------------------------------------------------------------------

MAPPING = "702,ICV,1,4,31,51,61\n701,TotalBrain,4,31,51,61,35\n601,GM,31\n604,WM,61,,\n509,Ventricles,4,51\n"


def test_regions_become_classes_and_fluid_around_the_brain_is_background(tmp_path):
    (tmp_path / "map.csv").write_text(MAPPING)
    table = tissues.lookup(tmp_path / "map.csv")
    assert {i: int(table[i]) for i in np.flatnonzero(table)} == {31: 1, 61: 2, 4: 3, 51: 3, 35: 4}
    (tmp_path / "map.csv").write_text(MAPPING.replace("509,", "510,"))
    with pytest.raises(DataError, match="row 509 is missing"):
        tissues.lookup(tmp_path / "map.csv")


def test_dice_and_litres_of_boxes():
    a, b = np.zeros((2, 20, 20, 20), np.uint8)
    a[:10, :10, :10] = 1  # 1000 voxels of 8 mm^3
    b[5:15, :10, :10] = 1
    a[15:, 15:, 15:] = b[15:, 15:, 15:] = 3
    scores = segment.dice(a, b)
    assert scores[0] == 0.5 and scores[2] == 1.0 and math.isnan(scores[1])
    np.testing.assert_allclose(segment.litres(a, AFFINE), [8e-3, 0, 1e-3, 0])


# --- augmentation ----------------------------------------------------------------------------------------------------


def test_a_crop_keeps_axes_scale_and_the_place_of_its_labels():
    """Ramps along x, y and z come back with the slope of the scale drawn, and labels where the image has them."""
    shape = (96, 120, 96)
    grids = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    noise, signs = Noise(list(range(8))), set()
    for number in range(8):
        for axis in range(3):
            ramp = grids[axis].astype(np.uint8)
            image, labels = segment._crop(ramp, (ramp > 60).astype(np.uint8), noise, number)
            values = image.double() / kept.STEP
            inside = slice(8, -8)
            step = values.diff(dim=axis)[inside, inside, inside].median()  # beyond the canvas is 0
            assert 0.87 < abs(step) < 1.11
            for other in {0, 1, 2} - {axis}:  # tilted by at most 10 degrees about each axis
                assert abs(values.diff(dim=other)[inside, inside, inside].median()) < 0.42
            signs.add((axis, float(step.sign())))
            clear = (values - 60.5).abs() > 1.5
            assert (labels.bool() == (values > 60.5))[clear].double().mean() > 0.995
    assert signs == {(0, 1.0), (0, -1.0), (1, 1.0), (2, 1.0)}  # mirrored left to right, sometimes, and never else


def test_blur_is_binomial_and_disturbing_keeps_the_background():
    x = torch.zeros(1, 1, 9, 9, 9)
    x[..., 4, 4, 4] = 64
    y = segment.blur(x)
    assert y.sum() == 64 and y[0, 0, 4, 4, 4] == 8 and y[0, 0, 4, 4, 5] == 4 and y[0, 0, 3, 5, 5] == 1
    assert x[0, 0, 4, 4, 4] == 64  # not changed in place
    out = segment.disturb(x.expand(2, 1, 9, 9, 9) / 64, Noise([1, 2]))
    assert (out[x.expand(2, 1, 9, 9, 9) == 0] == 0).all() and out[0, 0, 4, 4, 4] != out[1, 0, 4, 4, 4]


# --- age -------------------------------------------------------------------------------------------------------------


def test_the_error_of_those_left_out_is_that_of_fitting_without_them():
    x = normal(30, 200)
    ages = 50 + 10 * x[:, 0] + 2 * normal(30, seed=1)
    fitted = fit_ages(x, ages)
    for i in (0, 7, 29):
        rest = [j for j in range(30) if j != i]
        mean, centre = x[rest].mean(0), ages[rest].mean()
        rows = x[rest] - mean
        weight = rows.T @ torch.linalg.solve(rows @ rows.T + fitted.penalty * torch.eye(29), ages[rest] - centre)
        left_out = ages[i] - (centre + (x[i] - mean) @ weight)
        assert float(fitted.errors[i]) == pytest.approx(float(left_out), abs=1e-6)


def test_a_planted_age_is_read_and_noise_is_not():
    direction = normal(400, seed=2)
    ages = 50 + 15 * normal(120, seed=3)
    x = 3 * normal(120, 400) + ages[:, None] / 15 * direction
    fitted = fit_ages(x[:80], ages[:80])
    assert figures.correlation(fitted(x[80:]), ages[80:]) > 0.95
    assert (fitted(x[80:]) - ages[80:]).abs().mean() < 0.4 * (ages[80:] - ages.mean()).abs().mean()
    deaf = fit_ages(x[:80] - ages[:80, None] / 15 * direction, ages[:80])
    assert (deaf(x[80:] - ages[80:, None] / 15 * direction) - 50).abs().max() < 15


def test_anatomy_does_not_know_left_from_right():
    maps = (normal(2, 16, 16, 16) > 0).numpy().astype(np.uint8)
    assert torch.allclose(anatomy(maps), anatomy(maps[:, ::-1].copy()))
    assert anatomy(maps).shape == (2, 3 * 64) and anatomy(maps).sum() > 0


# --- the encoder -----------------------------------------------------------------------------------------------------


def test_the_energies_of_noise_are_those_of_the_transfer_functions():
    """A binomial filter with taps 2^k apart passes cos^2(2^k w / 2) along each axis; octave k is what the k-th takes
    from what the others left. White noise then has its variance times the mean square of that transfer function."""
    w = 2 * np.pi * np.arange(64) / 64
    grids = np.meshgrid(w, w, w, indexing="ij", sparse=True)
    left, octaves = np.ones((64, 64, 64)), []
    for k in range(BANDS):
        smooth = math.prod(np.cos(2**k * g / 2) ** 2 for g in grids)
        octaves.append(float(np.mean((left * (1 - smooth)) ** 2)))
        left = left * smooth
    noise = 0.1 * normal(1, 1, 96, 96, 96, seed=5).float()
    found = seen(0.5 + noise)[0, :, 3:-3, 3:-3, 3:-3]  # beyond the canvas is 0
    assert found[0].mean() == pytest.approx(0.5, abs=1e-3)
    for energy, share in zip(found[1:], octaves, strict=True):
        assert float(energy.exp().mean()) == pytest.approx(0.01 * share + 1e-5, rel=0.06)
    finest = seen(0.5 + segment.blur(noise))[0, 1, 3:-3, 3:-3, 3:-3]
    assert (found[1] - finest).mean() > math.log(4)  # a blur of 0.7 voxel takes more than three quarters of it


def test_variation_blurs_nothing_in_from_beyond_the_brain_and_makes_the_grain_it_says():
    x = torch.zeros(16, 1, 24, 24, 24)
    x[..., 6:18, 6:18, 6:18] = 0.5
    varied, amount = vary(x, Noise(list(range(16))))
    blurred, grainy = amount.T
    assert 3 < (blurred > 0).sum() < 13 and 3 < (grainy > 0).sum() < 13 and amount.max() <= 1
    for one, grain in zip(varied, grainy, strict=True):
        inside = one[one > 0]
        assert len(inside) == 12**3 and 0.484 < inside.mean() < 0.516
        assert float(inside.std()) == pytest.approx(0.06 * float(grain), rel=0.1, abs=1e-5)


def test_features_are_uncorrelated_and_of_unit_spread_over_varied_brains():
    images = (255 * torch.rand(8, 32, 32, 32, generator=torch.Generator().manual_seed(0))).byte().numpy()
    net = Encoder(images.shape[1:])
    net.settle(images)
    x = torch.from_numpy(images)[:, None].float() * kept.STEP
    assert torch.allclose(net.departure(x.flip(2)), net.departure(x).flip(2), atol=1e-3)  # of mirror images
    assert net.departure(x).square().mean() == pytest.approx(1, abs=0.1)
    lessons = Lessons.of(net, images, seed=0)
    mean, axes = lessons.unit(net)
    with torch.no_grad():
        z = torch.cat([net.code(d) for each in lessons.departures for d in (each, each.flip(2))])
    made = (z.double() - mean.double()) @ axes.double()
    assert (made.T.cov() - torch.eye(16)).abs().max() < 1e-2 and made.mean(0).abs().max() < 1e-2


def test_the_shipped_encoder_hears_a_blur():
    """Eight brains of the codec, four against the other four: blurring these by one voxel doubles the distance at least
    (real brains: threefold)."""
    codec, measures = shipped_codec(), Measures.load()
    assert codec is not None
    people = [(age, sex) for age in (25.0, 40.0, 55.0, 70.0) for sex in "FM"]
    latents = [codec.expected([a], [s]) + 0.7 * Noise([i]).normal(*codec.shape) for i, (a, s) in enumerate(people)]
    images = kept.to_bytes(torch.cat([codec.decode(z) for z in latents]).numpy())
    x, inside = torch.from_numpy(images).float(), torch.from_numpy(images > 0).float()
    smooth = segment.blur(segment.blur(x)) / segment.blur(segment.blur(inside)).clamp_min(0.01)
    sharp, blurred = (measures.features(i) for i in (images, (smooth * inside).round().byte().numpy()))
    other = frechet_distance(sharp[::2], sharp[1::2])
    assert frechet_distance(sharp[::2], blurred[1::2]) > 2 * other
    assert frechet_distance(sharp, measures.features(np.roll(images, 1, 2))) < other / 2  # 2 mm further on


# --- training --------------------------------------------------------------------------------------------------------


class Monitor(SimpleNamespace):
    """As much of a run as the loop needs; interrupts itself at `stop_at`."""

    def __init__(self, stop_at: int = -1):
        super().__init__(count=0, lines=[])
        self.stop_at = stop_at
        self.log = self.lines.append

    def record(self, step, **values): ...

    def progress(self, total, label, done=0):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error): ...

    def advance(self, **shown):
        self.count += 1
        if self.count == self.stop_at:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGTERM)


def train(file: Path, stop_at: int = -1) -> torch.Tensor:
    net = torch.nn.Linear(3, 1)
    torch.nn.init.constant_(net.weight, 0.1)
    torch.nn.init.zeros_(net.bias)

    def loss(step: int) -> torch.Tensor:
        x = Noise([step]).normal(8, 3)[0]
        return (net(x)[:, 0] - x[:, 0]).square().mean()

    fit(net, loss, 250, 0.05, file, Monitor(stop_at))
    return net.weight.detach()


def test_training_stopped_by_a_signal_goes_on_to_the_same_weights(tmp_path):
    whole = train(tmp_path / "a.safetensors")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "b.safetensors", stop_at=23)
    assert torch.equal(train(tmp_path / "b.safetensors"), whole)
    assert (whole - torch.tensor([[1.0, 0, 0]])).abs().max() < 0.1


def test_training_says_when_the_loss_is_not_finite(tmp_path):
    net = torch.nn.Linear(1, 1)
    with pytest.raises(DiffxError, match="not finite at step 3"):
        fit(
            net, lambda s: net.weight.sum() * (math.nan if s == 3 else 1), 9, 0.1, tmp_path / "n.safetensors", Monitor()
        )


# --- figures ---------------------------------------------------------------------------------------------------------


def brains(n: int, seed: int, shift: float = 0.0, opening: float = 0.5) -> Brains:
    """Made-up measurements in which everything is known: ventricles are 10 + `opening` * age ml, men's brains 0.2 l
    larger, the age is read 2 years too high."""
    ages = 20 + 60 * Noise([seed]).uniform(n)[0].double()
    men = (torch.arange(n) % 2).double()
    litres = torch.stack([0.7 + 0.2 * men, torch.full((n,), 0.5).double(), (10 + opening * ages) / 1000, 0 * men], 1)
    litres[:, 1] -= litres[:, 2]
    features = normal(n, 8, seed=seed) + shift
    readings = Readings(features, np.zeros((n, 1, 1, 1), np.uint8), litres, ages + 2)
    bins = torch.zeros(n, 4, dtype=torch.float64)
    bins[:, 1 if shift else 0] = 1
    return Brains(ages, men, readings, bins, features - 0.3 * shift, features, features[:, :4])


def test_a_set_like_the_real_one_is_as_near_as_real_ones_and_a_shifted_one_does_not():
    sizes, shifts = (60, 120, 60, 60), (0, 0, 0, 3.0)
    held_out, train, same, other = (brains(n, i, shift) for i, (n, shift) in enumerate(zip(sizes, shifts, strict=True)))
    near, far = (figures.distances(s, held_out, train, {figures.MEAN: other}, 0) for s in (same, other))
    # the means differ by 3 in each of 8 dimensions: 72 more than covariances explain
    assert far["frechet"].value == pytest.approx(72, rel=0.15) == near["frechet"].baselines[0].value
    assert far["frechet_pixel"].value == pytest.approx(36, rel=0.2)
    assert near["frechet"].value < 1.5 * near["frechet"].real_vs_real < 5
    low, high = near["mmd"].real_vs_real_interval
    assert low - 0.02 < near["mmd"].value < high + 0.02 and far["mmd"].value > 0.3
    assert far["precision"].value == far["coverage"].value == 0 and near["coverage"].value > 0.8
    assert far["hist_distance"].value == 2 and near["hist_distance"].value == 0
    assert far["spectrum_distance"].value > 1.5 > 0.5 > near["spectrum_distance"].value
    assert near["frechet"].verdict == "met" and far["frechet"].verdict == "missed"
    itself = figures.distances(held_out, held_out, train, {}, 0)
    assert itself["frechet"].value < 1e-8 and itself["recall"].value == 1


def test_what_age_and_sex_do_is_read_off():
    found = figures.ages(brains(40, 1), 0)
    assert found["age_mae"].value == pytest.approx(2) and found["age_r"].value == pytest.approx(1)
    assert found["ventricle_age_slope"].value == pytest.approx(0.5)
    assert found["ventricle_age_r"].value == pytest.approx(1) and found["age_mae"].n == 40
    assert figures.ages(brains(40, 1, opening=0.0), 0)["ventricle_age_r"].value == 0
    assert figures.sex_difference(brains(40, 1), 0).value == pytest.approx(0.2)
    some = brains(40, 1)
    unknown = replace(some, ages=torch.full((40,), math.nan), men=torch.full((40,), math.nan))
    assert figures.ages(unknown, 0) == {} and figures.sex_difference(unknown, 0) is None
    part = some.ages.clone()
    part[:30] = math.nan
    assert figures.ages(replace(some, ages=part), 0)["age_r"].n == 10


def test_a_generator_that_gives_back_mirrored_training_scans_is_caught():
    train, held_out, honest = (brains(60, i) for i in range(3))
    mirrored = normal(60, 8, seed=9)
    thief = replace(honest, pixels=mirrored[:60] + 1e-4 * normal(60, 8, seed=10))
    caught, found = (figures.memorisation(s, train, held_out, honest, mirrored) for s in (thief, honest))
    assert caught["memorisation_pixel"][0].alarm and not found["memorisation_pixel"][0].alarm
    assert caught["memorisation_pixel"][1]["memorisation_pixel_copies"].value > 30
    assert caught["memorisation_pixel"][1]["memorisation_pixel_distance_ratio"].value < 0.01
    assert caught["memorisation_pixel"][1]["memorisation_pixel_neighbour_ratio"].value < 0.01
    assert found["memorisation"][0] == audit(
        honest.readings.features, train.readings.features, held_out.readings.features
    )


def test_similarity_of_images():
    texture = segment.blur(normal(1, 1, 48, 56, 48).float())[0, 0].numpy()
    one = np.clip(120 + 60 * texture, 1, 255).astype(np.uint8)
    other = np.clip(one + normal(48, 56, 48, seed=1).numpy() * 25, 1, 255).astype(np.uint8)
    assert similarity.ms_ssim(one, one) == pytest.approx(1, abs=1e-5) and 0.3 < similarity.ms_ssim(one, other) < 0.98
    twice = similarity.spectra(np.stack([one // 2 * 2, one // 2]))  # twice the amplitude is four times the power
    np.testing.assert_allclose((twice[0] - twice[1]).numpy(), math.log10(4), atol=1e-4)
    smooth, grainy = similarity.spectra(np.stack([one, other]))
    assert (grainy - smooth)[-4:].mean() > 0.5 > 0.15 > (grainy - smooth)[1:4].abs().mean()
    mirrored = one[::-1].copy()
    assert torch.allclose(similarity.pixels(one[None], mirrored=True), similarity.pixels(mirrored[None]))
    assert len(set(similarity.pairs(6, 99, 0))) == 15 and len(similarity.pairs(6, 4, 0)) == 4


# --- scans and people ------------------------------------------------------------------------------------------------


def test_people_are_those_of_the_scans_evenly():
    known = [Scan(f"sub-{i}", None, Path(), age=20.0 + i, sex="FM"[i % 2]) for i in range(10)]
    asked = people(known, 23, seed=5)
    assert [p.seed for p in asked] == list(range(5, 28))
    counts = [sum(p.age == s.age and p.sex == s.sex for p in asked) for s in known]
    assert sorted(counts) == [2] * 7 + [3] * 3 and counts[0] == 3  # the three more are spread over age
    assert [p.age for p in people(known, 2, 0)] == [20.0, 25.0]


def test_who_is_held_out():
    def folder(*splits: str | None) -> list[Scan]:
        return [Scan(f"sub-{i}", None, Path(), split=s) for i, s in enumerate(splits)]

    rest, held, known = parts(folder(*["train"] * 8, *["val"] * 6))
    assert (rest, held, known) == (list(range(8)), list(range(8, 14)), True)
    rest, held, known = parts(folder(*["test"] * 14))
    assert not known and len(rest) == len(held) == 7 and not set(rest) & set(held)
    with pytest.raises(DataError, match="11 usable scans are too few"):
        parts(folder(*["test"] * 11))


@pytest.fixture(scope="module")
def bids(tmp_path_factory) -> Path:
    """Two mean brains of different size in another orientation, one with a region map that says left from right."""
    root = tmp_path_factory.mktemp("bids")
    codec = shipped_codec()
    assert codec is not None
    brain = codec.mean_brain().numpy()
    regions = np.where(brain > 0.06, 31, 0)
    regions[: brain.shape[0] // 2] = np.where(brain > 0.06, 61, 0)[: brain.shape[0] // 2]  # x grows to the right
    (root / "derivatives/muse").mkdir(parents=True)
    (root / "derivatives/muse" / tissues.MAPPING).write_text(MAPPING)
    turn = nib.orientations.axcodes2ornt(("P", "S", "R"))
    for number, size in enumerate((1.0, 0.95), 1):
        subject = f"sub-{number:02d}"
        affine = codec.affine.copy()
        affine[:3] *= size
        affine[:3, 3] += [14.0, -9.0, 21.0]  # somewhere else in the scanner
        volumes = [(brain * 900, root / subject / "anat" / f"{subject}_T1w.nii.gz")]
        volumes += [(regions, root / "derivatives/muse" / subject / "anat" / f"{subject}_dseg.nii.gz")]
        for data, path in volumes:
            path.parent.mkdir(parents=True)
            image = nib.Nifti1Image(data.astype(np.float32), affine)
            image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(affine), turn)).to_filename(path)
    (root / "sub-03/anat").mkdir(parents=True)
    (root / "sub-03/anat/sub-03_T1w.nii.gz").write_bytes(b"no image")
    return root


def test_scans_come_to_the_pose_of_the_codec_with_their_labels_and_are_kept(bids, tmp_path, monkeypatch):
    codec = shipped_codec()
    failed: dict[str, str] = {}
    posed = scans.read_posed(bids, codec, tmp_path, failed.__setitem__)
    assert list(failed) == ["sub-03"] and "not readable" in failed["sub-03"]
    assert [s.subject for s in posed.scans] == ["sub-01", "sub-02"] and posed.labelled.all()
    brain = kept.to_bytes(codec.mean_brain().numpy())
    inside = brain > 0
    assert np.corrcoef(posed.images[0][inside], brain[inside])[0, 1] > 0.98  # back where it was
    for image, labels in zip(posed.images, posed.tissues, strict=True):
        left, right = labels[:46], labels[50:]
        assert (left[left > 0] == tissues.WHITE).mean() > 0.99 and (right[right > 0] == tissues.GREY).mean() > 0.99
        assert ((labels > 0) == (image > 0)).mean() > 0.97
    assert (posed.images[1] > 0).sum() / (posed.images[0] > 0).sum() == pytest.approx(0.95**3, abs=0.02)

    calls = []
    pose = type(codec).pose
    monkeypatch.setattr(type(codec), "pose", lambda self, some: calls.append(len(some)) or pose(self, some))
    again = scans.read_posed(bids, codec, tmp_path)
    assert not calls and np.array_equal(again.images, posed.images)
    next(tmp_path.glob("sub-01-*.npz")).write_bytes(b"PK damaged")
    mended = scans.read_posed(bids, codec, tmp_path).images.astype(float)
    assert np.abs(mended - posed.images).mean() < 0.5 and calls == [1]


# --- the task --------------------------------------------------------------------------------------------------------


def made_up(brain: np.ndarray, age: float | None, sex: str | None, own: float) -> np.ndarray:
    """The brain, larger for a man, smaller with age, and by something of one's own."""
    size = 0.97 + 0.04 * (sex == "M") - 0.001 * ((age or 50) - 50) + 0.01 * own
    middle = (np.array(brain.shape) - 1) / 2
    return ndimage.affine_transform(brain, np.full(3, 1 / size), middle * (1 - 1 / size), order=1)


class Generator:
    """Draws what `made_up` says, so it does what it is asked; it puts every brain in one place."""

    def __init__(self, codec):
        self.codec, self.meta = codec, {"step": 1}

    def brains(self, people, options=None, on_prediction=None):
        if on_prediction:
            on_prediction(0, torch.zeros(1, *self.codec.shape))
        for person in people:
            data = made_up(self.codec.mean_brain().numpy(), person.age, person.sex, person.seed % 3 - 1)
            yield model.Brain(person, data, self.codec.affine, 0.5)


class Volumes:
    """Stands in for the shipped measures: the volume of the image is all it sees."""

    encoder_sha256 = "abc"

    def check(self, shape): ...

    def read(self, images, affine, tick):
        litres = torch.tensor([(image > 0).sum() * 8e-6 for image in images], dtype=torch.float64)
        bright = torch.from_numpy(images.reshape(len(images), -1).mean(1))
        each = torch.stack([litres / 4] * 4, 1)
        return Readings(torch.stack([litres, bright], 1), images, each, 100 - 30 * litres)


NAMES = """
frechet frechet_floor mmd ms_ssim_synth ms_ssim_real precision recall density coverage age_mae_synth
age_mae_real age_r_synth ventricle_age_r_synth ventricle_age_r_real brain_volume_sex_diff_synth
brain_volume_sex_diff_real hist_distance memorisation_distance_ratio memorisation_share memorisation_copies
n_real n_synth seconds_per_volume two_sample_accuracy
"""


def test_evaluate_writes_every_figure_and_the_pictures(tmp_path, monkeypatch):
    """On made-up scans, which lie lower or higher where synthetic brains lie in one place."""
    codec = shipped_codec()
    sexes = [("F", "M")[i % 2] for i in range(14)]
    ages = [25.0 + 4 * i for i in range(14)]
    brain = codec.mean_brain().numpy()
    real = [made_up(brain, a, s, i % 5 - 2) for i, (a, s) in enumerate(zip(ages, sexes, strict=True))]
    images = kept.to_bytes(np.stack([np.roll(one, i % 3, 2) for i, one in enumerate(real)]))
    every = [Scan(f"sub-{i:02d}", None, Path(), age=a, sex=s) for i, (a, s) in enumerate(zip(ages, sexes, strict=True))]
    every = [replace(s, split="val" if i % 4 > 1 else "train") for i, s in enumerate(every)]
    every[2] = replace(every[2], age=None)
    posed = scans.Posed(every, images, np.zeros_like(images), np.zeros(14, bool), codec.affine)
    monkeypatch.setattr(task, "read_scans", lambda run, codec: posed)
    monkeypatch.setattr(task, "check_folder", lambda cfg: None)
    monkeypatch.setattr(task.BrainSynth, "load", lambda *args: Generator(codec))
    monkeypatch.setattr(task.Measures, "load", lambda source: Volumes())
    monkeypatch.setattr(task, "PAIRS", 2)
    monkeypatch.setattr(two_sample, "STEPS", 3)
    for module in (drawing, report):
        monkeypatch.setattr(module, "SWEEP", (30.0, 70.0))
    (tmp_path / "bids/sub-00/anat").mkdir(parents=True)
    (tmp_path / "bids/sub-00/anat/sub-00_T1w.nii.gz").write_bytes(b"never read")
    words = ["run", "plugin=mri_synth", "task=evaluate", f"data.root={tmp_path}/bids", f"out={tmp_path}/run"]
    assert main(words) == 0
    found = json.loads((tmp_path / "run/metrics.json").read_text())
    assert found["encoder_sha256"] == "abc"
    for name in NAMES.split():
        value = found[name]["value"] if isinstance(found[name], dict) else found[name]
        assert isinstance(value, int | float), name
    assert found["n_real"] == found["n_synth"] == 6 and found["seconds_per_volume"]["value"] == 0.5
    assert found["age_mae_synth"]["n"] == found["age_mae_real"]["n"] == 5  # one age is not known
    assert found["age_mae_synth"]["floor"] == found["age_mae_real"]["value"]
    assert list(found["two_sample_accuracy"]["baselines"]) == ["mean brain", two_sample.BLURRED]
    assert found["frechet"]["floor"] == found["frechet_floor"] and list(found["frechet"]["baselines"]) == ["mean brain"]
    verdicts = [one["goal"]["verdict"] for one in found.values() if isinstance(one, dict) and "goal" in one]
    assert len(verdicts) == 7 and set(verdicts) == {"too few to tell", "met"}  # 6 a side: only the time can be judged
    assert found["ms_ssim_synth"]["value"] > found["ms_ssim_real"]["value"]  # real ones are not all in one place
    assert found["brain_volume_sex_diff_synth"]["value"] > 0.05
    html = (tmp_path / "run/report.html").read_text()
    for title in (
        "Goals",
        "Worst cases",
        "too few to tell",
        "Real and synthetic",
        "One seed at ",
        "From noise to brain",
        "Nearest training scans",
    ):
        assert title in html
    assert html.count("data:image/") >= 7
    rows = (tmp_path / "run/samples/participants.tsv").read_text().splitlines()
    assert len(rows) == 7


def test_evaluate_asks_for_a_folder(tmp_path, capsys):
    assert main(["run", "plugin=mri_synth", "task=evaluate", f"out={tmp_path}/run"]) == 2
    assert "data.root= says which BIDS folder" in capsys.readouterr().err


@pytest.mark.parametrize("count", [4, 11])
def test_too_few_scans_are_refused_before_anything_is_read(count, tmp_path, monkeypatch, capsys):
    for number in range(count):
        path = tmp_path / f"bids/sub-{number:02d}/anat/sub-{number:02d}_T1w.nii.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"never read")
    monkeypatch.setattr(task.BrainSynth, "load", lambda *args: pytest.fail("weights were loaded"))
    words = ["run", "plugin=mri_synth", "task=evaluate", f"data.root={tmp_path}/bids", f"out={tmp_path}/run"]
    assert main(words) == 5
    said = capsys.readouterr().err
    assert (
        f"{count} usable scans are too few" in said and "at least 6 that are held out" in said and "15 of each" in said
    )
