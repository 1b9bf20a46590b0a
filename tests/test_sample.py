"""The loop: a sample depends on its own seed and condition, and on nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffx.condition import Condition
from diffx.noise import Noise
from diffx.plan import SOLVERS, dpmpp, make_plan
from diffx.process import Gaussian
from diffx.sampling import sample
from diffx.schedule import EDM, Cosine
from oracles import SCHEDULES, TWO_MODES, execute, name_of

every = pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)


def analytic(schedule):
    """Elementwise, so that it has no batch effects of its own: the denoiser of N(condition, 0.5^2)."""

    def predict(x, t, condition=None):
        mean = condition.vector.view(-1, *(1,) * (x.ndim - 1)) if condition else 0.0
        alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
        return mean + alpha * 0.25 / (alpha**2 * 0.25 + sigma**2) * (x - alpha * mean)

    return predict


@every
@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("shape", [(1,), (3,), (2, 5, 7)])
def test_a_sample_is_bit_equal_in_any_batch_and_order(shape, name, schedule) -> None:
    process = Gaussian(schedule, 0.5)
    plan = make_plan(schedule, name, 6, eta=1.0 if name.startswith(("ddim", "dpmpp")) else None)
    seeds = [11, 0, 2**62, 5, 6]
    told = Condition(vector=torch.tensor([0.1, -0.4, 0.0, 2.0, 0.1]).view(5, 1))

    def run(index: list[int]) -> torch.Tensor:
        return sample(analytic(schedule), process, plan, shape, [seeds[i] for i in index], told[torch.tensor(index)])

    whole = run([0, 1, 2, 3, 4])
    assert whole.shape == (5, *shape) and whole.dtype == torch.float32 and whole.isfinite().all()
    for index in ([0], [3], [4, 1], [2, 0, 4, 3, 1], [1, 1, 1]):
        assert torch.equal(run(index), whole[index])
    assert len({tuple(row.flatten().tolist()) for row in whole}) == 5


@every
@pytest.mark.parametrize("name", SOLVERS)
def test_the_loop_is_the_table(name, schedule) -> None:
    """Against the plain executor: prior, rows and noise in the documented places."""
    process, plan = Gaussian(schedule, 0.5), make_plan(schedule, name, 7)
    noise, seeds = Noise([3, 8]), [3, 8]
    start = process.prior((4,), noise, plan.rows[0].t).double().numpy().ravel()
    expected = execute(
        plan,
        lambda x, t: TWO_MODES.denoise(schedule, x, t),
        start,
        lambda k: noise["step"].normal(4, step=k).double().numpy().ravel(),
    )
    end = sample(TWO_MODES.predict(schedule), process, plan, (4,), seeds)
    np.testing.assert_allclose(end.numpy().ravel(), expected, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize(("name", "eta"), [("dpmpp_2m", 0.0), ("ddim", 0.0), ("heun", None), ("dpmpp_3m", 1.0)])
def test_samples_have_the_distribution_of_the_data(name, eta) -> None:
    """Kolmogorov-Smirnov distance to the two-mode mixture, 20 000 samples; 0.0138 is p = 0.001, plus the solver's."""
    schedule = Cosine()
    plan = make_plan(schedule, name, 50, "angle", eta)
    x = sample(TWO_MODES.predict(schedule), Gaussian(schedule, 0.9), plan, (10_000,), [1, 2])
    x = np.sort(x.double().numpy().ravel())
    u = TWO_MODES.cdf(schedule, x, 0.0)
    distance = np.abs(u - (np.arange(len(x)) + 0.5) / len(x)).max()
    assert distance < (0.03 if name == "ddim" else 0.018)


def test_a_stochastic_step_draws_fresh_noise() -> None:
    schedule, states = EDM(), []
    plan = make_plan(schedule, "ddpm", 20)
    sample(
        lambda x, t, c=None: torch.zeros_like(x), Gaussian(schedule), plan, (50_000,), [4],
        callback=lambda i, x, m: states.append(x),
    )  # fmt: skip
    noises = [(b - r.a * a) / r.c for a, b, r in zip(states, states[1:-1], plan.rows[1:-1], strict=False)]
    correlation = np.corrcoef(torch.stack(noises).squeeze(1).numpy()) - np.eye(len(noises))
    assert np.abs(correlation).max() < 5 / np.sqrt(50_000)


def test_start_replaces_the_prior() -> None:
    schedule = Cosine()
    process, plan = Gaussian(schedule), dpmpp(schedule, (0.4, 0.2, 0.1, 0.0))
    start = torch.full((2, 3), 0.5)
    expected = execute(plan, lambda x, t: TWO_MODES.denoise(schedule, x, t), np.full(6, 0.5))
    for given in (start, start.half(), start.double()):
        end = sample(TWO_MODES.predict(schedule), process, plan, (3,), [1, 2], start=given)
        assert end.dtype == torch.float32
        np.testing.assert_allclose(end.numpy().ravel(), expected, rtol=1e-5)
    assert torch.equal(start, torch.full((2, 3), 0.5))


def test_the_callback_sees_every_row() -> None:
    schedule, seen = Cosine(), []
    plan = make_plan(schedule, "heun", 4)
    end = sample(
        analytic(schedule), Gaussian(schedule), plan, (3,), [1], callback=lambda i, x, m: seen.append((i, x, m))
    )
    assert [i for i, _, _ in seen] == list(range(7))
    assert torch.equal(seen[-1][1], end) and torch.equal(seen[-1][2], end)  # ends on its last prediction
    assert len({float(x[0, 0]) for _, x, _ in seen}) == 7  # states are not one buffer overwritten


def test_no_global_generator_and_no_gradient() -> None:
    schedule = EDM()
    weight = torch.ones((), requires_grad=True)
    state = torch.get_rng_state()
    end = sample(lambda x, t, c=None: x * weight * 0.1, Gaussian(schedule), make_plan(schedule, "ddpm", 3), (2,), [1])
    assert not end.requires_grad and torch.equal(state, torch.get_rng_state())
