"""Figures of mri_anomaly: against closed forms, other implementations, and models of known behaviour."""

from __future__ import annotations

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from anomaly_fakes import LESION, SHAPE, Knowing, head, knowing, truth
from scipy import ndimage

from diffx.errors import DataError
from diffx.metrics import average_precision
from diffx_mri.anomaly.components import marked
from diffx_mri.anomaly.evaluate.figures import figures, pools
from diffx_mri.anomaly.evaluate.others import Others
from diffx_mri.anomaly.evaluate.ranking import Pool, Ranked, levels_of, score_of
from diffx_mri.anomaly.evaluate.scores import OWN, Counted, Found, count, found_lesions, intensity, odds
from diffx_mri.anomaly.score import Settings
from diffx_mri.anomaly.simulate import Shape, simulate
from diffx_mri.volume import Volume


def patients(count: int, size: int = 4000) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    truth = [rng.random(size) < 0.05 * (k + 1) for k in range(count)]
    return [((rng.standard_normal(size) + 1.5 * t).astype(np.float32), t) for t in truth]


def test_levels_are_in_the_order_of_scores_and_fine_enough():
    scores = np.array([-3e38, -2.0, -1.0005, -1, -1e-30, 0, 1e-30, 0.5, 1, 1.0006, 2, 3e38], np.float32)
    levels = levels_of(scores)
    assert (np.diff(levels) > 0).all()
    assert levels_of(np.float32([1.0001])) == levels_of(np.float32([1.0])) != levels_of(np.float32([1.001]))
    for score in (0.0, 0.37, 1.0, 77.0, 1e-9):
        assert score_of(levels_of(np.float32([score]))[0]) == pytest.approx(score, rel=1 / 2048)
        assert score_of(levels_of(np.float32([score]))[0]) <= np.float32(score)
    assert score_of(levels_of(np.float32([-2.5]))[0]) == pytest.approx(-2.5, rel=1 / 2048)


def test_average_precision_is_that_of_others():
    some = patients(3)
    pool = Pool([Ranked.of(*one) for one in some])
    score, truth = (np.concatenate(parts) for parts in zip(*some, strict=True))
    assert pool.average_precision() == pytest.approx(average_precision(levels_of(score), truth), abs=1e-12)
    assert pool.average_precision() == pytest.approx(average_precision(score, truth), abs=2e-3)
    assert pool.average_precision(np.array([1, 1])) == pytest.approx(
        average_precision(levels_of(some[1][0]), some[1][1]), abs=1e-12
    )
    sklearn = pytest.importorskip("sklearn.metrics")
    theirs = sklearn.average_precision_score(np.tile(truth, 2), np.tile(levels_of(score), 2))
    assert pool.average_precision(np.array([0, 0, 1, 1, 2, 2])) == pytest.approx(theirs, abs=1e-12)


def test_average_precision_in_closed_form():
    """P ill voxels on top is 1; all scores equal is the prevalence; k healthy ones above is the known sum."""
    truth = np.arange(100) < 10
    assert Pool([Ranked.of(truth.astype(float), truth)]).average_precision() == 1
    assert Pool([Ranked.of(np.ones(100), truth)]).average_precision() == pytest.approx(0.1)
    ranked = -np.arange(100.0)
    below = np.roll(truth, 5)  # five healthy voxels are ranked first
    expected = np.mean([k / (k + 5) for k in range(1, 11)])
    assert Pool([Ranked.of(ranked, below)]).average_precision() == pytest.approx(expected)
    assert np.isnan(Pool([Ranked.of(ranked, np.zeros(100, bool))]).average_precision())


def test_dice_at_every_threshold_is_that_of_the_masks():
    some = patients(2)
    pool = Pool([Ranked.of(*one) for one in some])
    score, truth = (np.concatenate(parts) for parts in zip(*some, strict=True))
    for index in range(0, len(pool.levels), 97):
        mask = score >= pool.threshold(index)
        assert pool.dice()[index] == pytest.approx(2 * (mask & truth).sum() / (mask.sum() + truth.sum()), abs=1e-12)
    every = [2 * ((score >= t) & truth).sum() / ((score >= t).sum() + truth.sum()) for t in np.linspace(-1, 4, 501)]
    assert pool.dice()[pool.best()] == pytest.approx(max(every), abs=3e-3) and pool.dice().max() >= max(every) - 1e-3


def test_a_threshold_of_the_others_knows_nothing_of_the_one_left_out():
    """Three patients whose best thresholds are told by hand: each is scored at the one of the two others."""
    truth = np.array([True, True, False, False])
    scores = [np.array([4.0, 3.0, 1.0, 1.0]), np.array([4.0, 3.0, 1.0, 1.0]), np.array([2.0, 2.0, 1.5, 1.0])]
    pool = Pool([Ranked.of(score, truth) for score in scores])
    found = pool.left_out()
    # the first: over patients 2 and 3 the best level is 2: all four ill and no healthy voxel; likewise the second
    assert found[0] == found[1] == (2, 4)
    # the third: patients 1 and 2 are best at 3, where it has nothing
    assert found[2] == (0, 2)


def brain(shape=(60, 70, 50), spacing=(2.0, 2.0, 3.0)) -> tuple[Volume, np.ndarray]:
    """A ball of 100 with noise of 2 in air, and where it is."""
    affine = np.diag([*spacing, 1.0])
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
    place = (index - (np.array(shape) - 1) / 2) * spacing
    inside = ((place / 55) ** 2).sum(-1) < 1
    noise = 2 * np.random.default_rng(0).standard_normal(shape)
    return Volume(np.where(inside, 100 + noise, 0).astype(np.float32), affine), inside


def test_lesions_are_put_in_with_the_volume_asked_for():
    scan, inside = brain()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        made = simulate(scan, inside, [Shape.ellipsoid(rng), Shape.ellipsoid(rng)], (6, 12), "FLAIR", rng)
        assert len(made.volumes) == 2 and all(6 * 0.7 < v < 12 * 1.1 for v in made.volumes)
        assert made.truth.sum() * 12 / 1000 == pytest.approx(sum(made.volumes))
        assert not (made.truth & ~inside).any()
        far = ndimage.binary_dilation(made.truth, np.ones((3, 3, 3)), iterations=4)
        assert np.array_equal(made.scan.data[~far], scan.data[~far])
        core = ndimage.binary_erosion(made.truth, iterations=2)
        assert made.scan.data[core].mean() > 120  # bright in FLAIR
    again = np.random.default_rng(5)
    same = simulate(scan, inside, [Shape.ellipsoid(again), Shape.ellipsoid(again)], (6, 12), "FLAIR", again)
    assert np.array_equal(same.scan.data, made.scan.data)


def test_the_shape_of_a_mask_keeps_its_proportions(tmp_path):
    mask = np.zeros((40, 40, 40), np.uint8)
    mask[10:30, 15:20, 18:22] = 1  # 20 x 5 x 4 mm
    mask[35, 35, 35] = 1  # a speck, which is left out
    image = nib.Nifti1Image(mask, np.diag([1.0, 1, 1, 1]))
    image.set_sform(np.eye(4), 1)
    nib.save(image, tmp_path / "mask.nii.gz")
    shape = Shape.of_mask(tmp_path / "mask.nii.gz")
    assert shape.volume == pytest.approx(400)
    at = np.array([[9.0, 0, 0], [11, 0, 0], [0, 2, 0], [0, 3.2, 0], [0, 0, 1.4], [0, 0, 2.7]])
    assert shape.inside(at).tolist() == [True, False, True, False, True, False]
    scan, inside = brain((80, 80, 80), (1.5, 1.5, 1.5))
    made = simulate(scan, inside, [shape], (4, 4), "T1w", np.random.default_rng(1))
    assert made.volumes == pytest.approx([4], rel=0.1)
    place = np.argwhere(made.truth) * scan.spacing
    axes = np.sqrt(np.linalg.eigvalsh(np.cov(place.T)))[::-1]  # of a box: side / sqrt(12)
    assert axes * 12**0.5 == pytest.approx(np.array([20, 5, 4]) * 10 ** (1 / 3), rel=0.1)
    with pytest.raises(DataError, match="found no room"):
        simulate(scan, inside, [shape], (600, 600), "T1w", np.random.default_rng(1))


def counted(lesion: float = 300.0, **changes) -> Counted:
    """Counts of a head with a box, by a model that knows its healthy image."""
    maps = replace(knowing(head()).maps(head(lesion=lesion), n=1), **changes)
    return count(maps, marked(maps.anomaly, 0.2, 1), truth(), 1, {}, "FLAIR")


def test_a_model_that_knows_the_healthy_image_is_perfect():
    """The scan's grid is not the model's, so the box's border is blurred; what it ranks is the box nevertheless."""
    one = counted()
    assert Pool([one.ranked[OWN]]).average_precision() > 0.98
    sharp = counted(anomaly=np.where(truth(), 0.6, 0.0).astype(np.float32))
    assert Pool([sharp.ranked[OWN]]).average_precision() == 1 and sharp.dice == 1
    assert sharp.lesions == [Found(pytest.approx(truth().sum() * 0.054), 1.0)] and sharp.false_lesions == 0
    assert sharp.healthy > 0 and sharp.healthy_marked == 0
    flat = counted(anomaly=np.zeros(SHAPE, np.float32))
    area = Pool([flat.ranked[OWN]]).average_precision()
    assert area == pytest.approx(flat.true / flat.voxels) and flat.dice == 0 and flat.lesions[0].dice == 0


def test_a_strict_threshold_keeps_what_is_surer():
    """The box at 0.6, a false region at 0.3: the mask of 0.2 marks both, a threshold of 0.4 the box alone."""
    anomaly = np.where(truth(), 0.6, 0.0).astype(np.float32)
    anomaly[2:8, 2:8, 2:4] = 0.3
    maps = replace(knowing(head()).maps(head(lesion=300), n=1), anomaly=anomaly)
    one = count(maps, marked(anomaly, 0.2, 1), truth(), 1, {}, "FLAIR", strict=0.4)
    assert one.false_lesions == 1 and one.strict == (one.lesions, 0) and one.lesions[0].dice == 1


def test_lesions_outside_of_the_region_are_missed():
    """A method that silences half of the box cannot have recall above one half."""
    region = np.ones(SHAPE, bool)
    region[LESION[0], LESION[1], 10:12] = False
    half = counted(anomaly=np.where(truth() & region, 0.6, 0.0).astype(np.float32), region=region)
    assert half.true == truth().sum() and half.both == half.true // 2 and half.dice == pytest.approx(2 / 3)
    # half of the ill voxels first, precision 1; the others at the end, at the prevalence
    assert Pool([half.ranked[OWN]]).average_precision() == pytest.approx(0.5 + 0.5 * half.true / half.voxels)


def test_brightness_is_the_trivial_score():
    maps = knowing(head()).maps(head(lesion=300), n=1)
    for contrast in ("FLAIR", "T1w"):
        z = intensity(maps, contrast)
        inside = maps.scan.data[maps.region]
        expected = (maps.scan.data[LESION].mean() - inside.mean()) / inside.std()
        assert z[LESION].mean() == pytest.approx(expected, rel=1e-4)
        assert (z[~maps.region] == z[maps.region].min()).all()
    dark = intensity(knowing(head()).maps(head(lesion=-400), n=1), "T1w")
    assert dark[LESION].mean() > 0 and intensity(maps, "T1w").min() >= 0


def test_lesions_are_matched_by_touch():
    ill, mask = np.zeros((2, 30, 30, 10), bool)
    ill[2:6, 2:6, 2:6] = True  # 64, half of it marked
    mask[2:6, 2:6, 2:4] = True
    ill[12:16, 12:16, 4:6] = True  # 32, missed
    ill[20:22, 2:4, 2:3] = True  # 4, marked with 12 voxels in two regions
    mask[20:22, 2:4, 2:3] = mask[20:22, 4:8, 2:3] = True
    ill[28, 28, 8] = True  # one voxel, too small to count
    mask[28, 5:7, 8] = True  # false
    found, false = found_lesions(mask, ill, np.array([1.0, 1, 1]), 2)
    assert [(round(1000 * f.volume), f.dice) for f in found] == [
        (64, pytest.approx(2 * 32 / 96)), (32, 0.0), (4, pytest.approx(2 * 4 / 16)),
    ]  # fmt: skip
    assert false == 1


def test_figures_are_those_of_the_counts():
    ranked = {
        name: Ranked.of(np.r_[np.full(60, up), np.full(940, 0.1)].astype(float), np.arange(1000) < 50)
        for name, up in (("mri_anomaly", 0.9), ("intensity", 0.1))
    }
    sure = [Found(1.0, 0.0), Found(30.0, 0.8)]
    one = Counted(ranked, 50, 60, 50, 1000, 900, 9, [Found(1.0, 0.5), Found(30.0, 0.8)], 1, (sure, 0))
    other = Counted(ranked, 50, 40, 40, 1000, 900, 0, [Found(1.5, 0.0)], 0, ([Found(1.5, 0.0)], 0))
    some = [one, other, one, other]
    made = figures(some, ["a", "b", "c", "d"], pools(some), 0.005, (2.0, 20.0))
    assert made["auprc"].value == pytest.approx(50 / 60) and made["auprc_intensity"].value == pytest.approx(0.05)
    assert [b.name for b in made["auprc"].baselines] == ["intensity"]
    assert made["dice_calibrated"].value == pytest.approx(2 * 180 / 400)
    assert made["dice_calibrated"].facts["mean_of_patients"] == pytest.approx((100 / 110 + 80 / 90) / 2)
    assert made["dice_val_threshold"].value == made["dice_oracle"].value == pytest.approx(100 / 110)
    assert made["healthy_fpr"].value == pytest.approx(18 / 3600) and made["healthy_fpr"].real_vs_real == 0.005
    assert made["lesion_f1"].value == pytest.approx(2 * 4 / (4 + 6 + 2))
    assert made["lesion_f1_strict"].value == pytest.approx(2 * 2 / (2 + 6))
    assert (made["lesion_f1_strict"].facts["found"], made["lesion_f1_strict"].facts["false"]) == (2, 0)
    assert made["dice_small"].value == pytest.approx(0.25) and made["dice_large"].value == pytest.approx(0.8)
    assert made["dice_medium"].value is None and made["prevalence"].value == 0.05
    assert made["dice_calibrated"].n == 4 and made["dice_calibrated"].interval[0] < made["dice_calibrated"].interval[1]


def test_other_methods_stand_beside_it():
    """The regression is scored as the diffusion is; the autoencoder by what is brighter than its reconstruction."""
    models = [Knowing(head()), Knowing(head())]
    for model, method in zip(models, ("regression", "autoencoder"), strict=True):
        model.config.method, model.draws = method, False
    ill = head(lesion=300)
    found = Others(models, Settings(median=1, layers=1)).maps(ill, None)
    assert list(found) == ["regression", "autoencoder"]
    assert np.median(found["autoencoder"][LESION]) == pytest.approx(300 / 500, rel=0.1)
    own = odds(knowing(head()).maps(ill, n=1, settings=Settings(median=1, layers=1)).anomaly)
    assert np.array_equal(found["regression"], own)
    with pytest.raises(DataError, match="two of the weights are of one method"):
        Others([models[0], models[0]], Settings())
