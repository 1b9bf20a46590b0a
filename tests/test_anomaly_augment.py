"""Other scanners, made of the one at hand, and the slices that training reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffx.noise import derive
from diffx_mri.anomaly.augment import Strength, moved, other_mask, rescanned, thicker
from diffx_mri.anomaly.data import Made, seen
from diffx_mri.anomaly.lesions import Blobs
from diffx_mri.anomaly.pack import STEPS, Slices

STILL = Strength(turn=0, zoom=0, shift=0, warp=0)
SAME = Strength(gamma=0, field=0, blur=0.3, noise=0.01, level=0)


def picture(seed: int = 0) -> np.ndarray:
    y, x = np.mgrid[:128, :128] - 63.5
    head = (np.hypot(x / 0.85, y) < 55).astype(np.float32)
    return np.stack([head * (1 + 0.2 * np.sin(x / 9 + k) * np.cos(y / 7)) for k in range(9)]).astype(np.float32)


def test_a_head_that_is_not_moved_is_itself_or_its_mirror_image():
    slices = picture()[:3]
    slices[:, 20:40, 50:60] = 2.0  # on one side only
    brain = slices > 0.5
    found = set()
    for seed in range(12):
        out, there = moved(np.random.default_rng(seed), slices, brain, STILL)
        mirrored = np.allclose(out, slices[:, ::-1], atol=1e-4)
        assert mirrored or np.allclose(out, slices, atol=1e-4)
        assert np.array_equal(there, brain[:, ::-1] if mirrored else brain)
        found.add(mirrored)
    assert found == {True, False}


def test_a_turn_keeps_shapes_and_sizes():
    slices = picture()[:3]
    brain = slices > 0.5
    for seed in range(10):
        out, there = moved(np.random.default_rng(seed), slices, brain, Strength(turn=90, zoom=0, shift=0, warp=0))
        assert there.sum() == pytest.approx(brain.sum(), rel=0.01)
        assert out.sum() == pytest.approx(slices.sum(), rel=0.01)


def test_a_warp_moves_slices_and_brain_alike_and_smoothly():
    """Of a slice whose intensity is its place, the change is the displacement."""
    x, y = np.mgrid[:128, :128].astype(np.float32)
    inner, moves = np.s_[24:104, 24:104], []
    for seed in range(12):
        places = [moved(np.random.default_rng(seed), one[None] + 1, one[None] > 63.5, Strength(0, 0, 0, warp=2.5))
                  for one in (x, y)]  # fmt: skip
        for image, there in places:
            assert (
                np.array_equal(there[0][inner], (image[0] - 1 > 63.5)[inner])
                or np.abs((there[0] ^ (image[0] - 1 > 63.5))[inner]).mean() < 0.01
            )
        shifted = places[1][0][0][inner] - 1 - y[inner]  # along the axis that is never mirrored
        moves.append(float(np.abs(shifted).max()))
        assert np.abs(np.diff(shifted, axis=0)).max() < 0.8 and np.abs(np.diff(shifted, axis=1)).max() < 0.8  # no folds
    assert sum(move < 1e-3 for move in moves) > 1 and 1 < max(moves) < 12


def test_another_scanner_keeps_the_order_of_tissues_and_the_level_of_the_brain():
    slices = picture()[:3]
    for seed in range(20):
        out = rescanned(np.random.default_rng(seed), slices, Strength(field=0, blur=0.3, noise=0.01))
        assert np.median(out[slices > 0.5]) == pytest.approx(1, abs=0.35)
        smooth = slices > 0.5
        assert np.corrcoef(out[smooth], slices[smooth])[0, 1] > 0.9


def test_a_scanner_that_is_the_same_changes_next_to_nothing():
    for seed in range(10):
        assert np.abs(rescanned(np.random.default_rng(seed), picture()[:3], SAME) - picture()[:3]).mean() < 0.02


def test_a_thick_slice_is_the_mean_of_the_thin_ones():
    images = np.stack([np.full((128, 128), float(k), np.float32) for k in range(40)])
    brains = np.ones((40, 128, 128), bool)
    kinds = set()
    for seed in range(60):
        slices, _, gap, known = thicker(np.random.default_rng(seed), images, brains, 20, 2.0, 6.0)
        many = 4 if gap == 8 else 3  # neighbours lie 6 mm away, or a whole slice
        assert gap in (6.0, 8.0)
        assert slices[1].std() == 0
        middle = float(slices[1, 0, 0])
        assert middle in (20.0, 20.5)
        for channel, side in ((0, -1), (2, 1)):
            if known[channel]:
                assert slices[channel, 0, 0] - middle == side * gap / 2
        kinds.add((gap, middle, many))
    assert len(kinds) > 2


def test_beyond_the_ends_of_a_scan_nothing_is_known():
    images = np.ones((10, 128, 128), np.float32)
    for seed in range(10):
        _, _, _, known = thicker(np.random.default_rng(seed), images, images > 0, 0, 6.0, 6.0)
        assert not known[0] and known[1]


def test_other_masks_are_a_little_larger_or_smaller():
    brain = picture()[:3] > 0.5
    sizes = {int(other_mask(np.random.default_rng(s), brain).sum()) for s in range(20)}
    assert len(sizes) == 4 and min(sizes) < brain.sum() < max(sizes)


def packed(stripped: bool = False) -> Slices:
    images = np.rint(picture() * STEPS).astype(np.uint8)
    rows = [
        {"subject": name, "session": None, "split": split, "first": 0, "count": 9, "thickness": 6.0,
         "stripped": stripped, "healthy": list(range(9)), "whole": [4]}
        for name, split in (("a", "train"), ("b", "val"))
    ]  # fmt: skip
    return Slices(torch.from_numpy(images), torch.from_numpy((picture() > 0.5).astype(np.uint8)), rows, "FLAIR")


def test_an_item_is_a_function_of_the_seed_and_its_number():
    data, again, other = (Made(packed(), "train", Blobs(), seed=s) for s in (1, 1, 2))
    for index in (0, 5, 12345):
        assert torch.equal(data[index]["x"], again[index]["x"])
        assert data[index]["source"].equal(again[index]["source"]) or data[index]["source"].isnan().any()
    assert not torch.equal(data[5]["source"].nan_to_num(), other[5]["source"].nan_to_num())
    assert not torch.equal(data[4]["source"].nan_to_num(), data[4 + len(data.places)]["source"].nan_to_num())


def test_what_was_changed_taken_away_leaves_the_healthy_slice():
    data = Made(packed(), "train", Blobs())
    for index in range(30):
        rng = np.random.default_rng(derive(0, "train", index))
        healthy, brain, gaps, _ = data.healthy(rng, *data.places[index % len(data.places)])
        _, lesion = data.fall_ill(rng, healthy, brain, gaps)
        assert not lesion[~brain[1]].any()
        item = data[index]
        healed = (item["source"][1].numpy() - seen(np.zeros(1))[0]) * 0.7 - item["x"][0].numpy()
        assert np.allclose(healed, healthy[1], atol=1e-5)
        assert np.array_equal(item["x"][1].numpy(), lesion)
    assert set(np.unique(item["x"][1])) <= {0.0, 1.0}
    assert np.isfinite(seen(np.zeros(1))).all()


def test_what_does_not_show_is_no_lesion(monkeypatch):
    """A dark lesion in a ventricle changes nothing that can be seen; beside it, in tissue, it does."""

    def dark(rng, slices, brain, *_, **__):
        share = np.zeros_like(slices)
        share[:, 40:60, 40:80] = 1
        out = slices.copy()
        out[:, 40:60, 40:80] = 0.2
        return out, share

    monkeypatch.setattr("diffx_mri.anomaly.data.insert", dark)
    data = Made(packed(), "train", Blobs())
    healthy = np.ones((3, 128, 128), np.float32)
    healthy[:, :, 60:] = 0.2  # fluid
    lesions = [data.fall_ill(np.random.default_rng(k), healthy, healthy > 0, (-6, 0, 6))[1] for k in range(20)]
    assert any(one.any() for one in lesions)
    for one in lesions:
        assert not one.any() or (one[40:60, 40:60].all() and not one[:, 63:].any())


def test_an_autoencoder_sees_no_lesions():
    data = Made(packed(), "train", Blobs(), "autoencoder")
    assert not any(data[k]["x"][1].any() for k in range(20))
    assert all(data[k]["x"][0].any() for k in range(20))


def test_a_brain_without_skull_stays_black_outside():
    data = Made(packed(stripped=True), "train", Blobs())
    for index in range(20):
        air = data[index]["source"][1] == seen(np.zeros(1, np.float32))[0]
        assert air.float().mean() > 0.2
