"""Figures of mri_anomaly: against closed forms, other implementations, and models of known behaviour."""

from __future__ import annotations

import numpy as np
import pytest

from diffx.metrics import average_precision
from diffx_mri.anomaly.evaluate.ranking import Pool, Ranked, levels_of, score_of


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
