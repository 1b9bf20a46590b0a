"""From a map to a mask and a table: sizes, places and numbers that can be told by hand."""

from __future__ import annotations

import numpy as np
import pytest

from diffx_mri.anomaly.components import as_tsv, components, lesions, marked, voxels_of


def two_boxes() -> tuple[np.ndarray, np.ndarray]:
    """Scores 2 in a box of 24 voxels, 5 in one of them; 1 in a box of 4; 3 in a voxel alone. And certainty."""
    anomaly = np.zeros((20, 20, 10))
    anomaly[2:5, 3:7, 4:6] = 2
    anomaly[3, 4, 4] = 5
    anomaly[10:12, 10:12, 8] = 1
    anomaly[15, 15, 1] = 3
    certainty = np.where(anomaly >= 2, 0.75, 0.25)
    return anomaly, certainty


def test_a_table_of_lesions_has_the_sizes_and_places_of_the_boxes():
    anomaly, certainty = two_boxes()
    turn = np.array([[0, -2.0, 0, 30], [1, 0, 0, -20], [0, 0, 4, 7], [0, 0, 0, 1]])  # axes swapped, one flipped
    mask = marked(anomaly, 0.5)
    first, second, third = lesions(anomaly, certainty, mask, turn)
    assert [r.lesion for r in (first, second, third)] == [1, 2, 3]
    assert first.volume_ml == pytest.approx(24 * 8 / 1000) and second.volume_ml == pytest.approx(4 * 8 / 1000)
    # index centroid (3, 4.5, 4.5): x = 30 - 2 * 4.5, y = -20 + 3, z = 7 + 4 * 4.5
    assert (first.x_mm, first.y_mm, first.z_mm) == pytest.approx((21, -17, 25))
    assert (third.x_mm, third.y_mm, third.z_mm) == pytest.approx((0, -5, 11))
    assert first.peak == 5 and first.mean == pytest.approx((23 * 2 + 5) / 24) and first.certainty == 0.75
    assert second.peak == second.mean == 1 and second.certainty == 0.25


def test_small_regions_are_dropped_and_corners_join():
    anomaly, _ = two_boxes()
    assert marked(anomaly, 0.5, smallest=4).sum() == 28 and marked(anomaly, 0.5, smallest=5).sum() == 24
    assert marked(anomaly, 2.0).sum() == 2  # above, not at: the 5 and the 3
    diagonal = np.zeros((4, 4, 4), bool)
    diagonal[0, 0, 0] = diagonal[1, 1, 1] = diagonal[3, 3, 3] = True
    labels, sizes = components(diagonal)
    assert sizes.tolist() == [2, 1] and labels[0, 0, 0] == labels[1, 1, 1] == 1 and labels[3, 3, 3] == 2
    assert components(np.zeros((3, 3, 3), bool))[1].size == 0


def test_what_is_small_is_told_in_millilitres():
    assert voxels_of(0.1, np.array([1.0, 1, 1])) == 100
    assert voxels_of(0.1, np.array([2.0, 2, 6])) == 5  # 0.12 ml; 4 are 0.096
    assert voxels_of(0.0, np.array([1.0, 1, 1])) == 1


def test_the_table_reads_back():
    anomaly, certainty = two_boxes()
    rows = lesions(anomaly, certainty, marked(anomaly, 0.5), np.eye(4))
    head, *lines = as_tsv(rows).splitlines()
    assert head.split("\t")[:3] == ["lesion", "volume_ml", "x_mm"] and len(lines) == 3
    assert lines[0].split("\t") == ["1", "0.024", "3.0", "4.5", "4.5", "5.0000", "2.1250", "0.750"]
    assert as_tsv([]).splitlines() == [head]
