"""Classifier-free guidance against two Gaussians, for which the guided prediction has a closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracles import SCHEDULES, name_of

from diffx.condition import Condition
from diffx.guide import cfg
from diffx.noise import Noise
from diffx.plan import make_plan
from diffx.process import EDM, Gaussian
from diffx.sample import sample

every = pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)
NULL = Condition(vector=torch.zeros(3, 1))
TOLD = Condition(vector=torch.ones(3, 1))
MEAN, STD, MEAN_NULL, STD_NULL = 1.0, 0.4, 0.2, 0.4


def two_gaussians(schedule):
    """Denoiser of N(1, 0.4^2) when told, of N(0.2, 0.4^2) when not."""
    asked = []

    def predict(x, t, condition=None):
        told = bool(condition.vector[0, 0])
        asked.append(told)
        mean, std = (MEAN, STD) if told else (MEAN_NULL, STD_NULL)
        alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
        return mean + alpha * std**2 / (alpha**2 * std**2 + sigma**2) * (x - alpha * mean)

    predict.asked = asked
    return predict


def test_weight_one_is_off() -> None:
    predict = two_gaussians(EDM())
    assert cfg(predict, 1, NULL) is predict
    assert cfg(predict, 1.0, NULL, interval=(0, 1), rescale=0.5) is predict


@every
def test_weight_zero_is_unconditional_to_the_bit(schedule) -> None:
    predict, x, t = two_gaussians(schedule), Noise([1, 2, 3]).normal(7), 0.4
    assert torch.equal(cfg(predict, 0, NULL)(x, t, TOLD), predict(x, t, NULL))


@every
@pytest.mark.parametrize("weight", [-0.5, 0.5, 2.0, 7.0])
def test_closed_form(weight, schedule) -> None:
    """With equal deviations the guided denoiser is that of N(m0 + w (m1 - m0), s^2), so sampling ends there."""
    predict, x, t = two_gaussians(schedule), Noise([1, 2, 3]).normal(7), 0.4
    shifted = MEAN_NULL + weight * (MEAN - MEAN_NULL)
    alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
    expected = shifted + alpha * STD**2 / (alpha**2 * STD**2 + sigma**2) * (x - alpha * shifted)
    torch.testing.assert_close(cfg(predict, weight, NULL)(x, t, TOLD), expected, rtol=1e-5, atol=1e-5)


def test_guided_samples_have_the_shifted_mean() -> None:
    process, plan = Gaussian(EDM(), 0.5), make_plan(EDM(), "dpmpp_2m", 30)
    end = sample(cfg(two_gaussians(EDM()), 3.0, NULL), process, plan, (20_000,), [1, 2, 3], TOLD)
    assert float(end.mean()) == pytest.approx(MEAN_NULL + 3 * (MEAN - MEAN_NULL), abs=0.02)
    assert float(end.std()) == pytest.approx(STD, rel=0.03)


def test_interval_guides_above_low_up_to_high() -> None:
    predict, x = two_gaussians(EDM()), Noise([1, 2, 3]).normal(7)
    guided, free = cfg(predict, 4.0, NULL, interval=(0.2, 5.0)), cfg(predict, 4.0, NULL)
    for t, on in ((0.1, False), (0.2, False), (0.21, True), (5.0, True), (5.01, False)):
        predict.asked.clear()
        assert torch.equal(guided(x, t, TOLD), free(x, t, TOLD) if on else predict(x, t, TOLD))
    predict.asked.clear()
    guided(x, 0.1, TOLD)
    assert predict.asked == [True]  # outside it costs one evaluation


def test_rescale_restores_the_conditional_deviation() -> None:
    x, t = Noise([1, 2, 3]).normal(2, 500), 0.7

    def predict(x, t, condition=None):  # guidance makes this one grow: std 1 + w 0.5
        return x * (1.5 if condition.vector[0, 0] else 1.0) + 0.3

    plain, full, part = (cfg(predict, 5.0, NULL, rescale=r)(x, t, TOLD) for r in (0.0, 1.0, 0.7))
    wanted = predict(x, t, TOLD).flatten(1).std(1)
    torch.testing.assert_close(full.flatten(1).std(1), wanted)
    torch.testing.assert_close(full, plain * (wanted / plain.flatten(1).std(1))[:, None, None])
    torch.testing.assert_close(part, 0.7 * full + 0.3 * plain)  # Lin et al. 2024, eq. 16


def test_rescale_leaves_constants_and_single_numbers_alone() -> None:
    def predict(x, t, condition=None):
        return torch.full_like(x, 2.0 if condition.vector[0, 0] else 1.0)

    for shape in ((1,), (1, 8)):
        torch.testing.assert_close(
            cfg(predict, 3.0, NULL, rescale=0.7)(torch.zeros(3, *shape), 0.5, TOLD), torch.full((3, *shape), 4.0)
        )


def test_guides_compose() -> None:
    """A guide of a guide is a prediction like any other: w = 2 of (w = 3, null) is null + 6 (told - null)."""
    predict, x = two_gaussians(EDM()), Noise([1, 2, 3]).normal(7)

    def inner(x, t, condition=None):
        return cfg(predict, 3.0, NULL)(x, t, condition)

    torch.testing.assert_close(cfg(inner, 2.0, NULL)(x, 0.4, TOLD), cfg(predict, 6.0, NULL)(x, 0.4, TOLD))
    assert np.isfinite(cfg(inner, 2.0, NULL)(x, 80.0, TOLD).numpy()).all()
