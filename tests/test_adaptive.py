"""Adaptive steps: error within a tolerance, whatever the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffx.guide import keep
from diffx.noise import Noise
from diffx.plan import ab
from diffx.plan.grids import angle_least
from diffx.process import Gaussian
from diffx.sampling.adaptive import adaptive
from diffx.schedule import EDM, Cosine, Linear
from oracles import EVERY_SCHEDULE, QUANTILES, TWO_MODES, Mixture, execute, name_of

SPIKE = Mixture((0.7, 0.3), (0.0, 1.5), (0.05, 0.5))


def paths(schedule, data: Mixture, **options) -> tuple[float, np.ndarray]:
    """Mean error of where the paths of the flow end, one sample a quantile, and what they took."""
    process = Gaussian(schedule, 0.88)
    start = torch.from_numpy(data.quantile(schedule, QUANTILES, schedule.t_max)).float()[:, None]
    end, evaluations = adaptive(data.predict(schedule), process, (1,), range(len(start)), start=start, **options)
    return float(np.abs(end.double().numpy().ravel() - data.quantile(schedule, QUANTILES, 0.0)).mean()), evaluations


@pytest.mark.parametrize("schedule", [s for s in EVERY_SCHEDULE if s.ratio(0.0) == 0], ids=name_of)
def test_the_error_follows_the_tolerance(schedule) -> None:
    error, evaluations = {}, {}
    for tolerance in (1e-2, 1e-3, 1e-4):
        error[tolerance], evaluations[tolerance] = paths(schedule, TWO_MODES, rtol=tolerance, atol=tolerance)
        assert error[tolerance] < 2 * tolerance
    assert error[1e-4] < error[1e-2] / 10
    assert 20 < evaluations[1e-2].mean() < evaluations[1e-4].mean() < 150


def test_hard_paths_take_more_evaluations_and_are_as_good() -> None:
    error, evaluations = paths(EDM(), SPIKE, rtol=1e-3, atol=1e-3)
    assert error < 4e-3
    assert evaluations.max() > 1.5 * evaluations.min()  # between spike and mode the flow divides


def test_fewer_evaluations_than_a_fixed_grid_at_a_small_error() -> None:
    """Fifth order pays from errors of 1e-4 on."""
    error, evaluations = paths(EDM(), TWO_MODES, rtol=3e-5, atol=3e-5)
    n = int(evaluations.mean())
    plan = ab(EDM(), angle_least(EDM(), n, sigma_data=0.88), 2, 0.88)
    start = TWO_MODES.quantile(EDM(), QUANTILES, 80.0)
    end = execute(plan, lambda x, t: TWO_MODES.denoise(EDM(), x, t), start)
    assert error < np.abs(end - TWO_MODES.quantile(EDM(), QUANTILES, 0.0)).mean()


@pytest.mark.parametrize("shape", [(1,), (3, 2)])
def test_a_sample_is_bit_equal_in_any_batch(shape) -> None:
    process, predict, seeds = Gaussian(Cosine(), 0.88), SPIKE.predict(Cosine()), [4, 9, 2, 7]
    whole = adaptive(predict, process, shape, seeds)
    assert len(set(whole.evaluations)) > 1  # each at its own pace
    for index in ([0], [3], [2, 1], [3, 2, 1, 0]):
        part = adaptive(predict, process, shape, [seeds[i] for i in index])
        assert torch.equal(part.x, whole.x[index])
        np.testing.assert_array_equal(part.evaluations, whole.evaluations[index])


def test_evaluations_are_counted() -> None:
    calls = []

    def predict(x, t, condition=None):
        calls.append(np.array(t))
        return TWO_MODES.predict(EDM())(x, t)

    _, evaluations = adaptive(predict, Gaussian(EDM(), 0.88), (1,), [1, 2, 3])
    assert len(calls) == evaluations.max()
    assert all(t.shape == (3,) and t.dtype == np.float64 and (t <= 80).all() for t in calls)
    np.testing.assert_allclose(calls[0], 80)
    np.testing.assert_allclose(calls[-1], 0.002)


def test_samples_come_from_the_prior_and_have_the_distribution_of_the_data() -> None:
    x, _ = adaptive(TWO_MODES.predict(Linear()), Gaussian(Linear(), 0.88), (8000,), [1], rtol=1e-3, atol=1e-3)
    u = TWO_MODES.cdf(Linear(), np.sort(x.double().numpy().ravel()), 0.0)
    assert np.abs(u - (np.arange(8000) + 0.5) / 8000).max() < 0.022  # p = 0.001 is 0.0218
    prior = Gaussian(Linear(), 0.88).prior((8000,), Noise([1]), 1.0)
    seen = []
    adaptive(lambda x, t, c=None: seen.append(x) or 0 * x, Gaussian(Linear(), 0.88), (8000,), [1])
    torch.testing.assert_close(seen[0], prior)


def test_between_any_two_levels() -> None:
    schedule, process = Cosine(), Gaussian(Cosine(), 0.88)
    t, s = float(schedule.time(1.5)), float(schedule.time(0.4))
    start = torch.from_numpy(TWO_MODES.quantile(schedule, QUANTILES, t)).float()[:, None]
    last = []

    def predict(x, t, condition=None):
        last[:] = [x, t]
        return TWO_MODES.predict(schedule)(x, t)

    adaptive(predict, process, (1,), range(len(start)), start=start, high=1.5, low=0.4, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(last[1], s, rtol=1e-9)
    np.testing.assert_allclose(last[0].numpy().ravel(), TWO_MODES.quantile(schedule, QUANTILES, s), atol=3e-5)


def test_what_is_kept_has_its_bits() -> None:
    mask, known = torch.tensor([True, False, True]), torch.tensor([0.1, 0.0, 1 / 3])
    x, _ = adaptive(keep(TWO_MODES.predict(EDM()), mask, known), Gaussian(EDM(), 0.88), (3,), [1, 2])
    assert torch.equal(x[:, mask], known[mask].expand(2, 2)) and not torch.equal(x[0, 1], x[1, 1])


def test_what_cannot_be_is_refused() -> None:
    process, predict = Gaussian(EDM()), TWO_MODES.predict(EDM())
    for options in ({"rtol": 1e-7}, {"atol": 0.0}, {"rtol": float("nan")}):
        with pytest.raises(ValueError, match="tolerances of 1e-6"):
            adaptive(predict, process, (1,), [0], **options)
    for options in ({"high": 0.1, "low": 0.2}, {"low": 0.0}, {"high": 0.001}):
        with pytest.raises(ValueError, match="from high to low"):
            adaptive(predict, process, (1,), [0], **options)
    bad = torch.tensor([[1.0], [float("nan")]])
    with pytest.raises(ArithmeticError, match="sample 1 is stuck at t = 80"):
        adaptive(lambda x, t, c=None: 0.5 * x * bad, process, (1,), [0, 1])
