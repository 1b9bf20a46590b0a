"""The classifier two-sample test of mri_synth: it tells what can be told, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from diffx.noise import Noise
from diffx_mri.synth.evaluate import two_sample


def textures(first: int, n: int, grain: float) -> np.ndarray:
    """Balls of noise of one power and a width of the grain in voxels, uint8 [n, 40, 40, 40]; another each number."""
    grid = np.stack(np.meshgrid(*[np.arange(40) - 19.5] * 3, indexing="ij"))
    ball = (grid**2).sum(0) < 19.5**2
    found = []
    for seed in range(first, first + n):
        field = ndimage.gaussian_filter(Noise([seed])["texture"].normal(40, 40, 40)[0].numpy(), grain)
        found.append(np.where(ball, np.clip(100 + 25 * field / field.std(), 1, 255), 0))
    return np.stack(found).astype(np.uint8)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(two_sample, "STEPS", 60)


def test_grain_of_another_width_is_told_and_the_same_is_not():
    real, others, coarse = textures(0, 8, 0.8), textures(100, 8, 0.8), textures(200, 8, 1.2)
    figure = two_sample.against(real, others, {"synthetic": coarse, "like scans": textures(300, 8, 0.8)})
    known = {baseline.name: baseline.value for baseline in figure.baselines}
    assert figure.value > 0.95 and known[two_sample.BLURRED] > 0.95
    assert 0.35 < figure.real_vs_real < 0.65 and 0.35 < known["like scans"] < 0.65
    assert figure.interval[0] <= figure.value <= figure.interval[1] and figure.n == 8


def test_the_accuracy_counts_both_sets_alike(monkeypatch):
    """A judge that says "second" of every patch is right about one set of the two, however many brains each has."""
    monkeypatch.setattr(two_sample, "learn", lambda *known: None)
    monkeypatch.setattr(two_sample, "told", lambda judge, some: torch.ones(len(some)))
    figure = two_sample.accuracy(textures(0, 12, 0.8), textures(50, 4, 0.8))
    assert figure.value == pytest.approx(0.5)


def test_patches_lie_in_the_brain_and_are_those_of_the_seed():
    images = textures(0, 2, 0.8)
    found = two_sample.patches(images, seed=3)
    assert found.shape == (2, 48, 24, 24, 24)
    assert ((found > 0).float().mean((2, 3, 4)) >= 0.9 - 1e-3).all()
    assert torch.equal(found, two_sample.patches(images, seed=3))
    assert not torch.equal(found, two_sample.patches(images, seed=4))
