"""Thresholds from healthy scans: rates that hold on scores of a known distribution, and counts told by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from diffx.errors import DataError, UsageError
from diffx_mri.anomaly.calibrate import Calibration, Counts, Thresholds, clear_of, left_out, read, threshold_of


def score(odds):
    return odds / (1 + odds)


def odds(threshold):
    return threshold / (1 - threshold)


def exponential(seed: int, shape=(60, 60, 40), scale: float = 1.0) -> np.ndarray:
    """Scores whose odds are exponential: P(odds > t) = exp(-t / scale)."""
    return score(scale * np.random.default_rng(seed).exponential(1.0, shape))


def counted(scans: int, smallest: int = 1) -> Calibration:
    counts = Counts()
    for seed in range(scans):
        counts.add(exponential(seed), np.ones((60, 60, 40), bool), smallest=smallest)
    return Calibration.of(counts, 0.0, "abc")


def test_the_threshold_of_a_share_is_the_quantile():
    """P(odds > t) = exp(-t), so the threshold of a share f has odds of -ln f."""
    found = counted(8)
    for share in (0.1, 0.01, 0.001, 1e-4):
        assert odds(found.at(share)) == pytest.approx(-np.log(share), rel=0.04)
        assert found.rates(found.at(share))[0] == pytest.approx(share, rel=0.15)
    fresh = exponential(99)
    assert (fresh > found.at(0.01)).mean() == pytest.approx(0.01, rel=0.1)
    assert list(found.fpr) == sorted(found.fpr, reverse=True) and found.fpr[-1] == 0


def test_a_share_that_the_scans_cannot_tell_is_refused():
    found = counted(1)
    with pytest.raises(UsageError, match=r"fpr=1e-07: the 1 healthy scans .* tell 6.9e-06 to"):
        found.at(1e-7)
    with pytest.raises(UsageError, match=r"fpr=0\.9"):
        found.at(0.9)
    with pytest.raises(UsageError, match=r"false_lesions=0\.5"):
        found.at_lesions(0.5)


def balls() -> tuple[np.ndarray, np.ndarray]:
    """Regions of 27 voxels with odds 1, 2 and 4, and single voxels with odds 8, in a head of 20 x 20 x 20."""
    anomaly = np.zeros((22, 22, 22))
    for place, value in ((2, 1.01), (8, 2.01), (14, 4.01)):
        anomaly[place : place + 3, 5:8, 5:8] = value
    anomaly[3, 15, 15] = anomaly[9, 15, 15] = 8.01
    head = np.zeros(anomaly.shape, bool)
    head[1:21, 1:21, 1:21] = True
    return score(anomaly), head


def test_regions_are_counted_as_they_are_written():
    anomaly, head = balls()
    every, large = Counts(), Counts()
    for _ in range(2):
        every.add(anomaly, head)
        large.add(anomaly, head, smallest=5)
    every, large = Calibration.of(every, 0.0), Calibration.of(large, 5e-3)
    assert every.scans == 2 and every.voxels == 2 * 8000
    assert [round(every.rates(score(t))[1], 6) for t in (1, 2, 4, 8)] == [5, 4, 3, 2]
    assert [round(large.rates(score(t))[1], 6) for t in (1, 2, 4)] == [3, 2, 1]
    assert every.rates(score(4))[0] == pytest.approx(29 / 8000) and large.rates(score(4))[0] == pytest.approx(27 / 8000)
    assert 2 < odds(large.at_lesions(1)) <= 2.01 * 2 ** (1 / 4) and large.at_lesions(3) == large.thresholds[0]
    assert (anomaly > large.at_lesions(1)).sum() == 27 + 2


def test_merging_regions_do_not_fool_the_count():
    """Two peaks on one plateau: one region at low thresholds, two above. To show at most one means to be above both."""
    anomaly = np.zeros((12, 12, 12))
    anomaly[2:10, 4:8, 4:8] = 1.5
    anomaly[2:4, 4:8, 4:8] = anomaly[8:10, 4:8, 4:8] = 4.2
    counts = Counts()
    counts.add(score(anomaly), np.ones(anomaly.shape, bool))
    found = Calibration.of(counts, 0.0)
    assert found.rates(score(1))[1] == 1 and found.rates(score(3))[1] == 2
    assert odds(found.at_lesions(1)) > 4 and found.at_lesions(2) == found.thresholds[0]


def test_scans_of_different_range_are_counted_where_all_of_them_were():
    counts = Counts()
    for scale in (1.0, 100.0):
        counts.add(exponential(0, scale=scale), np.ones((60, 60, 40), bool))
    found = Calibration.of(counts, 0.0)
    assert odds(found.thresholds[0]) == pytest.approx(100 * -np.log(0.2), rel=0.2)  # the greater scan's 80th percentile
    assert found.fpr[0] == pytest.approx(0.1, rel=0.3)  # all of it from one of two scans
    assert odds(found.at(0.05)) == pytest.approx(-100 * np.log(0.1), rel=0.05)


def test_parts_of_scans_count_as_parts():
    lesion = np.zeros((4, 4, 20), bool)
    lesion[1, 1, 8:10] = True
    assert np.flatnonzero(~clear_of(lesion, 1.0)).tolist() == list(range(4, 14))
    assert np.flatnonzero(~clear_of(lesion, 6.0)).tolist() == [7, 8, 9, 10]
    assert clear_of(np.zeros((2, 2, 3), bool), 1.0).all()
    anomaly, head = balls()
    counts = Counts()
    counts.add(anomaly, head & (np.arange(22) > 10), share=0.5)
    assert counts.scans == 0.5 and counts.voxels == 4000 and counts.lesions[0] == 2
    assert Calibration.of(counts, 0.0).rates(threshold_of(0))[1] == 4


def test_a_calibration_is_written_and_read_back(tmp_path):
    found, path = Thresholds(head=counted(2)), tmp_path / "calibration.json"
    path.write_text(json.dumps(found.to_json()))
    assert read(path, "abc") == found and read(path, "") == found
    with pytest.raises(DataError, match="other weights"):
        read(path, "def")
    for text in (
        "[]",
        "{",
        "{}",
        json.dumps({"head": {**found.head.to_json(), "fpr": [0.1]}}),
        '{"brain": {"fpr": [1]}}',
    ):
        path.write_text(text)
        with pytest.raises(DataError, match="not a file that task=calibrate wrote"):
            read(path, "abc")
    with pytest.raises(DataError, match="not a file"):
        read(tmp_path / "none.json", "abc")
    with pytest.raises(DataError, match="no healthy voxel"):
        Calibration.of(Counts(voxels=5, scans=1), 0.0)


def test_heads_and_brains_have_thresholds_of_their_own():
    head, brain = counted(1), counted(2)
    both, alone = Thresholds(head, brain), Thresholds(head=head)
    assert both.of(True) is brain and both.of(False) is head and both.lacks(True) == both.lacks(False) == ""
    assert alone.of(True) is head and "counted in heads with it, not in brains without skull" in alone.lacks(True)
    assert "counted in brains without skull, not in heads with it" in Thresholds(brain=brain).lacks(False)


def test_options_that_change_the_map_are_kept():
    counts = Counts()
    counts.add(exponential(0), np.ones((60, 60, 40), bool))
    found = Calibration.of(counts, 0.1, made_with={"n": 4, "score.median": 5})
    assert found.unlike({"n": 4, "score.median": 5, "seed": 3}) == ""
    assert found.unlike({"n": 2, "score.median": 5}) == "n=2 (they: 4)"


def test_the_scans_together_are_the_sum_of_each():
    together, apart = Counts(), [Counts(), Counts(), Counts()]
    for seed, one in enumerate(apart):
        for counts in (together, one):
            counts.add(exponential(seed, (20, 20, 20), scale=1 + seed), np.ones((20, 20, 20), bool), 0.5)
    total = Counts.sum(apart)
    assert (total.voxels, total.scans, total.least) == (together.voxels, together.scans, together.least)
    assert total.marked == together.marked and total.lesions == together.lesions


def test_what_a_rate_comes_to_in_scans_that_were_not_counted():
    """Of scans that are alike the share asked for; of one that is unlike the others, what its distribution says."""
    alike = []
    for seed in range(6):
        alike.append(Counts())
        alike[-1].add(exponential(seed), np.ones((60, 60, 40), bool))
    pairs = left_out(alike, 0.01)
    assert pairs[:, 0] / pairs[:, 1] == pytest.approx(np.full(6, 0.01), rel=0.15)
    odd = Counts()
    odd.add(exponential(9, scale=2.0), np.ones((60, 60, 40), bool))
    marked, voxels = left_out([*alike, odd], 0.01)[-1]
    assert marked / voxels == pytest.approx(0.01**0.5, rel=0.1)  # P(odds > -ln 0.01) = exp(ln(0.01) / 2)
