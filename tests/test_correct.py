"""Langevin corrections against the exact moments of their recursion, and exact inversion against sampling."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
import torch

from diffx.noise import Noise
from diffx.plan import SOLVERS, Plan, ddim, ddpm, euler, make_plan
from diffx.process import Gaussian
from diffx.sampling import sample
from diffx.sampling.adaptive import adaptive
from diffx.sampling.correct import predictor_corrector
from diffx.sampling.inversion import invert
from diffx.schedule import EDM, Cosine, Linear
from oracles import TWO_MODES, Mixture, gaussian_end

DATA = Mixture()  # N(0.7, 0.5^2)


def moments(plan, schedule, corrections: int, snr: float, sigma_data: float) -> tuple[float, float]:
    """Mean and deviation of a state of very many independent elements, for which norms are their expectations."""
    mean = 0.0
    variance = (schedule.alpha(plan.rows[0].t) * sigma_data) ** 2 + schedule.sigma(plan.rows[0].t) ** 2
    for row in plan.rows:
        alpha, sigma = schedule.alpha(row.t), schedule.sigma(row.t)
        gain = alpha * 0.25 / (alpha**2 * 0.25 + sigma**2)
        factor = row.a + row.b[0] * gain
        mean = factor * mean + row.b[0] * (0.7 - gain * alpha * 0.7)
        variance = factor**2 * variance + row.c**2
        if row.s == 0:
            break
        alpha, total = schedule.alpha(row.s), schedule.alpha(row.s) ** 2 * 0.25 + schedule.sigma(row.s) ** 2
        floor = 1 / (schedule.alpha(row.s) ** 2 * sigma_data**2 + schedule.sigma(row.s) ** 2)
        for _ in range(corrections):
            power = (variance + (mean - alpha * 0.7) ** 2) / total**2
            size = 2 * snr**2 / max(power, floor)
            mean -= size / total * (mean - alpha * 0.7)
            variance = (1 - size / total) ** 2 * variance + 2 * size
    return mean, math.sqrt(variance)


@pytest.mark.parametrize("schedule", [Cosine(), EDM()], ids=["Cosine", "EDM"])
@pytest.mark.parametrize(
    ("solver", "corrections", "snr", "sigma_data"),
    [(ddim, 1, 0.16, 0.5), (ddim, 3, 0.3, 0.5), (ddpm, 2, 0.16, 0.8), (euler, 1, 0.16, 0.3), (ddim, 0, 0.16, 0.5)],
)
def test_moments_are_those_of_langevin_dynamics(solver, corrections, snr, sigma_data, schedule) -> None:
    plan = solver(schedule, [float(schedule.time(r)) for r in np.geomspace(20, 0.05, 9)] + [0.0])
    end = predictor_corrector(
        DATA.predict(schedule), Gaussian(schedule, sigma_data), plan, (20_000,), [1, 2, 3, 4],
        corrections=corrections, snr=snr,
    )  # fmt: skip
    mean, std = moments(plan, schedule, corrections, snr, sigma_data)
    assert float(end.mean()) == pytest.approx(mean, abs=5 * std / math.sqrt(80_000))
    assert float(end.double().std()) == pytest.approx(std, rel=5 / math.sqrt(2 * 80_000))


def test_corrections_mend_a_coarse_predictor() -> None:
    """Ten steps of DDIM lose a sixth of the deviation; with corrections the published 1 / (1 - snr^2) is left."""
    schedule = Cosine()
    plan = ddim(schedule, [float(schedule.time(r)) for r in np.geomspace(40, 0.02, 11)] + [0.0])
    assert gaussian_end(plan, schedule, 0.7, 0.5)[1] < 0.5 * 0.85
    mended = predictor_corrector(
        DATA.predict(schedule), Gaussian(schedule, 0.5), plan, (20_000,), [5], corrections=30, snr=0.1
    )
    assert float(mended.std()) == pytest.approx(0.5 / math.sqrt(1 - 0.01), rel=0.02)
    assert float(mended.mean()) == pytest.approx(0.7, abs=0.01)


def test_a_sample_is_bit_equal_alone_and_beside_one_with_another_score() -> None:
    """Song et al.'s code averages the norms over the batch, so that a sample's step size follows its neighbours."""
    schedule = EDM()
    process, plan = Gaussian(schedule, 0.5), make_plan(schedule, "ddim", 8)
    spread = {3: 1.0, 8: 30.0, 5: 0.2}  # what a sample's own network says

    def run(seeds: list[int]) -> torch.Tensor:
        scale = torch.tensor([spread[seed] for seed in seeds]).view(-1, 1, 1)

        def predict(x, t, condition=None):
            return scale * torch.tanh(x / scale) / (1 + t)

        return predictor_corrector(predict, process, plan, (5, 7), seeds, corrections=2)

    whole = run([3, 8, 5])
    for index in ([0], [1], [2, 0], [1, 0, 2]):
        assert torch.equal(run([[3, 8, 5][i] for i in index]), whole[index])


def test_without_corrections_it_is_sample() -> None:
    schedule, calls = Linear(), []
    process, plan = Gaussian(schedule, 0.5), make_plan(schedule, "ddpm", 7)

    def predict(x, t, condition=None):
        calls.append(t)
        return DATA.predict(schedule)(x, t)

    same = sample(predict, process, plan, (6,), [1, 2])
    calls.clear()
    assert torch.equal(predictor_corrector(predict, process, plan, (6,), [1, 2], corrections=0), same)
    assert calls == [row.t for row in plan.rows]
    calls.clear()
    predictor_corrector(predict, process, plan, (6,), [1, 2], corrections=2)
    assert calls == [t for row in plan.rows for t in ([row.t] + [row.s] * 2 * (row.s > 0))]


def test_every_correction_has_its_own_noise() -> None:
    """Without score and predictor a state only gathers noise, whose variance then adds up."""
    schedule, states = EDM(), []
    plan = ddim(schedule, (2.0, 1.0, 0.5, 0.25, 0.0))
    predictor_corrector(
        lambda x, t, c=None: x.clone(), Gaussian(schedule, 1e-9), plan, (40_000,), [6], start=torch.zeros(1, 40_000),
        corrections=2, snr=0.2, callback=lambda i, x, m: states.append(x),
    )  # fmt: skip
    expected = np.sqrt(np.cumsum([2 * 2 * 2 * (0.2 * s) ** 2 for s in (1.0, 0.5, 0.25)]))
    assert len(states) == 4 and [float(x.std()) for x in states[:3]] == pytest.approx(list(expected), rel=0.02)


def test_all_samplers_are_called_alike() -> None:
    common = list(inspect.signature(sample).parameters)
    assert list(inspect.signature(predictor_corrector).parameters) == [*common, "corrections", "snr"]
    common.remove("plan")
    assert list(inspect.signature(adaptive).parameters) == [*common, "high", "low", "rtol", "atol"]


def test_what_cannot_be_is_refused() -> None:
    predict, process = DATA.predict(EDM()), Gaussian(EDM())
    for name in ("dpmpp_2m", "heun", "unipc", "pndm"):
        with pytest.raises(ValueError, match="correct ddim, ddpm or euler"):
            predictor_corrector(predict, process, make_plan(EDM(), name, 5), (1,), [0])
    for options in ({"corrections": -1}, {"snr": 0.0}):
        with pytest.raises(ValueError, match="corrections are 0 or more"):
            predictor_corrector(predict, process, make_plan(EDM(), "ddim", 5), (1,), [0], **options)


# --------------------------------------------------------------------------------------------------------- inversion


def states(schedule, t: float) -> torch.Tensor:
    """[4, 12] quantiles of the marginal at t, shuffled, so that every region is met in every sample."""
    u = (np.random.default_rng(3).permutation(48) + 0.5) / 48
    return torch.from_numpy(TWO_MODES.quantile(schedule, u, t)).float().view(4, 12)


@pytest.mark.parametrize("solver", ["ddim", "euler"])
@pytest.mark.parametrize(("schedule", "grid"), [(EDM(), "karras"), (Cosine(), "uniform"), (Linear(), "angle")])
def test_sampling_from_the_inverted_state_returns_to_the_start(solver, schedule, grid) -> None:
    """To fp32 rounding at ten coarse steps, where going up the flow by the same rows misses a thousand times as far."""
    process, predict = Gaussian(schedule, 0.88), TWO_MODES.predict(schedule)
    plan = make_plan(schedule, solver, 10, grid)
    down = Plan(plan.name, plan.rows[:-1])
    x = states(schedule, plan.rows[-1].t)

    def returned(noisy: torch.Tensor) -> float:
        return float((sample(predict, process, down, (12,), range(4), start=noisy) - x).square().mean().sqrt())

    assert returned(invert(predict, process, plan, x, iterations=25, tolerance=1e-5)) < 3e-5
    assert returned(invert(predict, process, down, x)) < 3e-3
    alone = invert(predict, process, plan, x[1:2])
    assert torch.equal(alone, invert(predict, process, plan, x)[1:2])
    times = [row.t for row in plan.rows][::-1]
    if schedule.alpha(times[-1]) > 0 or solver == "ddim":
        up = sample(predict, process, SOLVERS[solver](schedule, times), (12,), range(4), start=x)
        assert returned(up) > 0.03


def test_data_of_the_expected_deviation_is_inverted_in_two_iterations() -> None:
    process, predict = Gaussian(EDM(), 0.5), DATA.predict(EDM())
    plan = make_plan(EDM(), "ddim", 10)
    x = sample(predict, process, Plan("", plan.rows[:-1]), (12,), [1, 2])
    torch.testing.assert_close(
        invert(predict, process, plan, x, iterations=2, tolerance=1e-5),
        process.prior((12,), Noise([1, 2]), 80.0), rtol=1e-4, atol=1e-3,
    )  # fmt: skip


def test_an_inversion_that_fails_says_so() -> None:
    process = Gaussian(EDM(), 0.88)
    plan, x = make_plan(EDM(), "ddim", 10), states(EDM(), 0.002)
    jumpy = torch.tensor([0.0, 1.0]).view(2, 1)
    with pytest.raises(ArithmeticError, match="inversion of sample 1 came within"):
        invert(lambda x, t, c=None: jumpy * torch.sin(50 * x), process, plan, x[:2])
    with pytest.raises(ArithmeticError, match="inversion of sample 0"):
        invert(lambda x, t, c=None: x * math.nan, process, plan, x[:1])
    with pytest.raises(ValueError, match="at least 2"):
        invert(TWO_MODES.predict(EDM()), process, plan, x, iterations=1)
    for name, eta in (("ddpm", None), ("ddim", 0.5), ("dpmpp_2m", None), ("heun", None), ("unipc", None)):
        with pytest.raises(ValueError, match="noise or memory"):
            invert(TWO_MODES.predict(EDM()), process, make_plan(EDM(), name, 5, eta=eta), x)
