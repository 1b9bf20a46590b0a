"""One score of draws and intensity."""

from __future__ import annotations

import numpy as np
import pytest
from anomaly_phantom import head
from scipy import ndimage

from diffx.metrics import average_precision
from diffx_mri.anomaly.evidence import FEATURES, Evidence, brightness, features
from diffx_mri.anomaly.model import Healthy
from diffx_mri.anomaly.score import Settings, median, score
from diffx_mri.anomaly.stack import Stack
from diffx_mri.anomaly.weighing import fit_logistic


@pytest.fixture(scope="module")
def ill() -> tuple[Stack, np.ndarray, np.ndarray]:
    """A brain with a lesion, what it would be without, and where the lesion lies."""
    image, brain = head((100, 110, 8), (2.0, 2.0, 10.0))
    healthy = Stack.of(image, brain, "FLAIR")
    truth = np.zeros_like(healthy.region)
    truth[3:5, 50:65, 60:70] = True
    return healthy.with_slices(np.where(truth, healthy.slices * 1.6, healthy.slices)), healthy.slices, truth


def test_the_median_is_scipys():
    values = np.random.default_rng(0).normal(size=(5, 20, 24)).astype(np.float32)
    for size, layers in ((5, 3), (3, 1), (1, 3)):
        expected = ndimage.median_filter(values, (layers, size, size), mode="nearest")
        assert np.array_equal(median(values, size, layers), expected)
    assert median(values, 1, 1) is values


def test_the_true_healthy_scan_finds_the_lesion_and_nothing_else(ill):
    stack, healthy, truth = ill
    drawn = Healthy(healthy[None], np.zeros_like(healthy)[None])
    found = score(stack, drawn, Settings(median=1, layers=1))
    assert average_precision(found.anomaly, truth) == 1
    assert not found.anomaly[~stack.region].any()
    assert np.array_equal(found.healthy, healthy)
    assert np.allclose(found.difference[truth], 0.6 * healthy[truth], atol=1e-6)


def test_no_feature_ever_speaks_for_health():
    rng = np.random.default_rng(1)
    p, difference, bright = rng.random((3, 500)).astype(np.float32)
    evidence = Evidence()
    base = evidence.odds(features(p, difference, bright), True)
    for more in ((p + 0.1, difference, bright), (p, difference + 0.1, bright), (p, difference, bright + 0.1)):
        assert (evidence.odds(features(*more), True) >= base - 1e-6).all()
    assert features(np.zeros(1), np.zeros(1), np.zeros(1)).ravel().tolist() == [0.0] * len(FEATURES)


def test_what_is_bright_counts_within_tissue_and_not_beside_fluid():
    slices = np.ones((1, 64, 64), np.float32)
    slices[0, :20] = 0.1
    slices[0, [22, 52], 30] = 1.5
    bright = brightness(slices)[0]
    assert bright[52, 30] == pytest.approx(0.5)
    assert bright[22, 30] < 0.15
    assert not np.delete(bright.ravel(), [22 * 64 + 30, 52 * 64 + 30]).any()


def test_where_the_network_sees_nothing_intensity_decides(ill):
    stack, _, truth = ill
    blind = Healthy(stack.slices[None], np.zeros_like(stack.slices)[None])
    found = score(stack, blind, Settings(median=1, layers=1))
    inside = stack.region
    bright = brightness(stack.slices)
    assert average_precision(found.anomaly[inside], truth[inside]) == pytest.approx(
        average_precision(bright[inside], truth[inside])
    )


def test_certainty_is_the_share_of_draws_that_agree(ill):
    stack, healthy, truth = ill
    lesion = truth.astype(np.float32)
    nothing = np.zeros_like(lesion)
    drawn = Healthy(
        np.stack([healthy, healthy, healthy, stack.slices]), np.stack([lesion, lesion, lesion, nothing]),
        Evidence(np.tile(np.float32([1, 0, 0, 0, -6.5]), (2, 1))),
    )  # fmt: skip
    found = score(stack, drawn)
    core = ndimage.binary_erosion(truth, np.ones((1, 3, 3)))
    assert (found.certainty[core] == 0.75).all()
    assert not found.certainty[~ndimage.binary_dilation(truth, np.ones((1, 3, 3)))].any()


def test_the_surface_of_a_head_with_its_skull_is_silent():
    image, _ = head((100, 110, 8), (2.0, 2.0, 10.0))
    stack = Stack.of(image, None, "FLAIR")
    everywhere = Healthy(stack.slices[None], np.ones_like(stack.slices)[None])
    found = score(stack, everywhere, Settings(ring=3))
    rim = stack.region & ~ndimage.binary_erosion(stack.region, np.ones((1, 3, 3)))
    assert not found.anomaly[rim].any()
    assert (found.anomaly[ndimage.binary_erosion(stack.region, np.ones((1, 9, 9)))] > 0).all()


def test_the_regression_finds_the_odds_that_labels_were_drawn_with():
    rng = np.random.default_rng(5)
    x = rng.exponential(1.0, (2, 60_000)).astype(np.float32)
    odds = 1.5 * x[0] - 2.0  # the second feature says nothing
    y = rng.random(len(odds)) < 1 / (1 + np.exp(-odds))
    slope, nothing, bias = fit_logistic(x, y, np.ones(len(y)))
    assert slope == pytest.approx(1.5, abs=0.06) and bias == pytest.approx(-2.0, abs=0.06)
    assert 0 <= nothing < 0.03
