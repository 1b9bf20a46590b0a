"""Plans against exact flows, exact moments, and the published formulas written out plainly."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from oracles import QUANTILES, SCHEDULES, TWO_MODES, Mixture, execute, gaussian_end, name_of, order_of

from diffx.config import RunConfig, schema
from diffx.noise import Noise
from diffx.plan import GRIDS, SOLVERS, Plan, Row, ddim, ddpm, dpmpp, euler, heun, make_plan
from diffx.process import EDM, Cosine, Gaussian, Linear, Memory, RectifiedFlow

every = pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)
ALL = [(name, eta) for name in SOLVERS for eta in ((None,) if name in ("ddpm", "euler", "heun") else (0.0, 0.5, 1.0))]
# Published "3M" weighs the second difference with half of what the exact rule asks for, which makes it second order.
ORDERS = {"ddim": 1, "euler": 1, "heun": 2, "dpmpp_1m": 1, "dpmpp_2m": 2, "dpmpp_3m": 2}


def spaced(schedule, n: int, high: float = 8.0, low: float = 0.05) -> tuple[float, ...]:
    """n intervals even in log-SNR over the part where data and noise mix."""
    return tuple(float(schedule.time(r)) for r in np.geomspace(high, low, n + 1))


def flow_error(plan: Plan, schedule, data: Mixture) -> float:
    """Mean distance of where the plan takes each path of the probability flow from where it goes."""
    start = data.quantile(schedule, QUANTILES, plan.rows[0].t)
    end = execute(plan, lambda x, t: data.denoise(schedule, x, t), start)
    return float(np.abs(end - data.quantile(schedule, QUANTILES, plan.rows[-1].s)).mean())


# ------------------------------------------------------------------------------------------------------ convergence


@every
@pytest.mark.parametrize("data", [Mixture(), TWO_MODES], ids=["gaussian", "two modes"])
@pytest.mark.parametrize("name", ORDERS)
def test_measured_order_of_convergence(name, data, schedule) -> None:
    errors = [flow_error(SOLVERS[name](schedule, spaced(schedule, n)), schedule, data) for n in (40, 80, 160)]
    assert order_of(errors) == pytest.approx(ORDERS[name], abs=0.1)


@every
@pytest.mark.parametrize("order", [1, 2, 3])
def test_local_error_of_multistep_rows(order, schedule) -> None:
    """One full row, its history exact: the error falls as h^(p+1), p the order."""
    data, z = Mixture(), np.array([0.9])
    errors = []
    for h in (0.1, 0.05, 0.025):
        times = [float(schedule.time(math.exp(0.5 - k * h))) for k in (-2.1, -0.9, 0, 1)]
        exact = [data.quantile(schedule, z, t) for t in times]
        memory = [data.denoise(schedule, x, t) for x, t in zip(exact, times, strict=True)][2::-1]
        row = dpmpp(schedule, times, order).rows[-1]
        assert len(row.b) == order
        end = row.a * exact[2] + sum(b * m for b, m in zip(row.b, memory, strict=False))
        errors.append(abs(end - exact[3]).item())
    assert order_of(errors) == pytest.approx(min(order, 2) + 1, abs=0.2)


@every
def test_3m_beats_2m_beats_1m(schedule) -> None:
    for data in (Mixture(), TWO_MODES):
        one, two, three = (flow_error(dpmpp(schedule, spaced(schedule, 40), k), schedule, data) for k in (1, 2, 3))
        assert three < two / 2 < one / 20


@every
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("name", "eta"), ALL)
def test_every_solver_reaches_the_data(name, eta, grid, schedule) -> None:
    """Mean and deviation for N(0.7, 0.5^2), exactly and without sampling, from prior to data."""
    ends = [gaussian_end(make_plan(schedule, name, n, grid, eta), schedule, 0.7, 0.5) for n in (100, 400)]
    errors = [max(abs(mean - 0.7), abs(std / 0.5 - 1)) for mean, std in ends]
    assert errors[1] < errors[0] / 2
    if not (grid == "uniform" and isinstance(schedule, EDM)):  # which spends 1 % of its steps below sigma = 1
        second = ORDERS.get(name, 1) == 2
        assert errors[1] < (2e-3 if second else 2e-2)


@every
@pytest.mark.parametrize("name", ORDERS)
def test_every_path_of_the_flow_ends_where_it_should(name, schedule) -> None:
    """Sample by sample, to clean data, for two modes."""
    error = flow_error(make_plan(schedule, name, 400, "angle"), schedule, TWO_MODES)
    assert error < (4e-3 if ORDERS[name] == 1 else 3e-4)


def test_known_error_of_ddim() -> None:
    """Deterministic DDIM on data of zero deviation lands on it exactly; on N(0, s^2) each step is a known factor."""
    schedule = Cosine()
    plan = make_plan(schedule, "ddim", 13, "uniform")
    assert gaussian_end(plan, schedule, 0.7, 1e-9)[0] == pytest.approx(0.7, abs=1e-12)
    # for unit data on a VP schedule x_0-hat = alpha x, so a step multiplies by cos of the angle it turns
    mean, std = gaussian_end(plan, schedule, 0.0, 1.0)
    assert std == pytest.approx(math.cos(math.pi / 26) ** 13, rel=1e-12) and mean == 0


# ------------------------------------------------------------------------------------------- published formulas, plain


def strange(x: np.ndarray, t: float) -> np.ndarray:
    """Any function does: the formulas must agree whatever the network says."""
    return np.tanh(1.3 * x + 0.4) * (1 + 0.3 * np.sin(5 * t)) + 0.1 * np.cos(x)


def published_dpmpp(schedule, times, order: int, eta: float, x: np.ndarray, draw) -> np.ndarray:
    """Lu et al. 2022b, algorithm 2 and appendix, in their symbols; eta > 0 as in the 2M and 3M SDE solvers."""
    lam = [math.log(schedule.alpha(t) / schedule.sigma(t)) if t else math.inf for t in times]
    m: list[np.ndarray] = []
    for i in range(1, len(times)):
        m.append(strange(x, times[i - 1]))
        if times[i] == 0:
            return m[-1]
        sigma_ratio = schedule.sigma(times[i]) / schedule.sigma(times[i - 1])
        h = lam[i] - lam[i - 1]
        h_eta = (1 + eta) * h
        x_new = sigma_ratio * math.exp(-eta * h) * x - schedule.alpha(times[i]) * math.expm1(-h_eta) * m[-1]
        if order == 2 and i > 1:
            r = (lam[i - 1] - lam[i - 2]) / h
            d1 = (m[-1] - m[-2]) / r
            x_new = x_new - 0.5 * schedule.alpha(times[i]) * math.expm1(-h_eta) * d1
        if order == 3 and i > 1:
            phi_2 = math.expm1(-h_eta) / h_eta + 1
            r0 = (lam[i - 1] - lam[i - 2]) / h
            d1_0 = (m[-1] - m[-2]) / r0
            d1, d2 = d1_0, 0 * d1_0
            if i > 2:
                r1 = (lam[i - 2] - lam[i - 3]) / h
                d1_1 = (m[-2] - m[-3]) / r1
                d1 = d1_0 + r0 / (r0 + r1) * (d1_0 - d1_1)
                d2 = (d1_0 - d1_1) / (r0 + r1)
            phi_3 = phi_2 / h_eta - 0.5
            x_new = x_new + schedule.alpha(times[i]) * (phi_2 * d1 - phi_3 * d2)
        if eta:
            x_new = x_new + schedule.sigma(times[i]) * math.sqrt(-math.expm1(-2 * eta * h)) * draw(i - 1)
        x = x_new
    return x


@every
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_dpmpp_is_the_published_one(order, eta, schedule) -> None:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((20, 50))
    for times in (GRIDS["karras"](schedule, 9), spaced(schedule, 6), GRIDS["uniform"](schedule, 9)[1:]):
        start = rng.standard_normal(50) * schedule.sigma(times[0])
        expected = published_dpmpp(schedule, times, order, eta, start, lambda i: z[i])
        got = execute(dpmpp(schedule, times, order, eta), strange, start, lambda i: z[i])
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-11)


def test_edm_euler_and_heun_are_algorithm_1() -> None:
    """Karras et al. 2022, deterministic, Heun's correction left out where it would divide by zero."""
    times = GRIDS["karras"](EDM(), 8)
    start = 80 * np.random.default_rng(1).standard_normal(40)
    ends = {}
    for correct in (False, True):
        x = start
        for t, s in itertools.pairwise(times):
            d = (x - strange(x, t)) / t
            new = x + (s - t) * d
            if correct and s:
                new = x + (s - t) * (d + (new - strange(new, s)) / s) / 2
            x = new
        ends[correct] = x
    np.testing.assert_allclose(execute(euler(EDM(), times), strange, start), ends[False], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(execute(heun(EDM(), times), strange, start), ends[True], rtol=1e-10, atol=1e-11)


def test_flow_euler_adds_the_velocity() -> None:
    times = GRIDS["uniform"](RectifiedFlow(), 7)
    x = start = np.random.default_rng(2).standard_normal(40)
    for t, s in itertools.pairwise(times):
        eps = (x - (1 - t) * strange(x, t)) / t
        x = x + (s - t) * (eps - strange(x, t))  # d x / d t = eps - x_0
    np.testing.assert_allclose(execute(euler(RectifiedFlow(), times), strange, start), x, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("schedule", [Cosine(), Linear()], ids=name_of)
def test_ddpm_is_the_posterior_of_ho_et_al(schedule) -> None:
    """Eq. 6 and 7 with beta of the transition, on a variance-preserving schedule."""
    times = GRIDS["uniform"](schedule, 25)[1:]
    for row in ddpm(schedule, times).rows[:-1]:
        bar_t, bar_s = schedule.alpha(row.t) ** 2, schedule.alpha(row.s) ** 2
        beta = 1 - bar_t / bar_s
        assert row.a == pytest.approx(math.sqrt(1 - beta) * (1 - bar_s) / (1 - bar_t), rel=1e-9)
        assert row.b == pytest.approx([math.sqrt(bar_s) * beta / (1 - bar_t)], rel=1e-9)
        assert row.c**2 == pytest.approx(beta * (1 - bar_s) / (1 - bar_t), rel=1e-9)


@every
def test_ddim_is_eq_12_of_song_et_al(schedule) -> None:
    """Predicted x_0, direction to x_t, noise; sigma by eq. 16 in terms of sigma and alpha."""
    eta = 0.7
    for row in ddim(schedule, GRIDS["karras"](schedule, 9), eta).rows[:-1]:
        a_t, s_t, a_s, s_s = schedule.alpha(row.t), schedule.sigma(row.t), schedule.alpha(row.s), schedule.sigma(row.s)
        sigma = eta * (s_s / s_t) * math.sqrt(s_t**2 - (a_t / a_s) ** 2 * s_s**2)
        direction = math.sqrt(s_s**2 - sigma**2)
        assert row.c == pytest.approx(sigma, rel=1e-9)
        assert row.a == pytest.approx(direction / s_t, rel=1e-9)
        assert row.b[0] == pytest.approx(a_s - direction * a_t / s_t, rel=1e-9)


@every
def test_relations_between_solvers(schedule) -> None:
    times = GRIDS["karras"](schedule, 12)

    def numbers(plan: Plan) -> np.ndarray:
        return np.array([[r.t, r.s, r.a, *r.b, r.c] for r in plan.rows])

    for first_order, same in (
        (dpmpp(schedule, times, 1), ddim(schedule, times)),
        (dpmpp(schedule, times, 1, 1.0), ddpm(schedule, times)),
    ):
        np.testing.assert_allclose(numbers(first_order), numbers(same), rtol=1e-9, atol=1e-12)


# ------------------------------------------------------------------------------------------- what breaks in peers


@every
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("name", "eta"), ALL)
@pytest.mark.parametrize("n", [1, 2, 3, 13])
def test_rows_connect_and_are_finite(name, eta, grid, n, schedule) -> None:
    """Each transition starts where the last one ended, from zero terminal SNR and with one step too."""
    plan = make_plan(schedule, name, n, grid, eta)
    assert len(plan) == (2 * n - 1 if name == "heun" else n)
    for row, after in itertools.pairwise(plan.rows):
        assert row.s == after.t
    assert plan.rows[0].t == GRIDS[grid](schedule, n)[0] and plan.rows[-1].s == 0
    for row in plan.rows:
        assert all(type(v) is float and math.isfinite(v) for v in (row.t, row.s, row.a, row.c, row.d, *row.b))
    assert (plan.rows[-1].a, plan.rows[-1].b, plan.rows[-1].c) == (0, (1.0,), 0)  # ends on the prediction itself
    assert {row.t for row in plan.rows} == set(GRIDS[grid](schedule, n)[:-1])


@every
@pytest.mark.parametrize("name", SOLVERS)
def test_one_step_returns_the_prediction(name, schedule) -> None:
    end = execute(make_plan(schedule, name, 1), strange, np.array([0.3]))
    assert end == strange(np.array([0.3]), make_plan(schedule, name, 1).rows[0].t)


@every
@pytest.mark.parametrize("name", [name for name in SOLVERS if name != "ddpm"])
def test_a_constant_prediction_is_followed_exactly(name, schedule) -> None:
    """If the network always says c, the flow is x_t = alpha c + sigma eps: first-order solvers in log-SNR are exact,
    the others keep the mean; with noise the deviation stays sigma too."""
    times, c = spaced(schedule, 7), 1.7
    plan = SOLVERS[name](schedule, times)
    start = schedule.alpha(times[0]) * c
    if name in ("euler", "heun") and not isinstance(schedule, EDM | RectifiedFlow):
        return  # there the flow of a constant is curved in t
    end = execute(plan, lambda x, t: np.full_like(x, c), np.array([start, start + schedule.sigma(times[0]) * 0.8]))
    expected = schedule.alpha(times[-1]) * c + schedule.sigma(times[-1]) * np.array([0, 0.8])
    np.testing.assert_allclose(end, expected, rtol=1e-10)
    if "dpmpp" in name or name == "ddim":
        variance = schedule.sigma(times[0]) ** 2
        for row in SOLVERS[name](schedule, times, eta=0.8).rows:
            variance = row.a**2 * variance + row.c**2
            assert variance == pytest.approx(schedule.sigma(row.s) ** 2, rel=1e-10)


def test_plans_start_anywhere() -> None:
    """Image to image: the grid's tail."""
    times = GRIDS["karras"](Cosine(), 10)[4:]
    plan = dpmpp(Cosine(), times)
    assert plan.rows[0].t == times[0] and len(plan) == 6
    assert flow_error(dpmpp(Cosine(), GRIDS["log_snr"](Cosine(), 200)[90:]), Cosine(), TWO_MODES) < 1e-3


@pytest.mark.parametrize(
    "times", [(), (1.0,), (0.5, 0.5), (1.0, 0.5, 0.5, 0.0), (0.2, 0.7), (0.5, -0.1), (1.0, math.nan)]
)
@pytest.mark.parametrize("solver", [ddim, ddpm, euler, heun, dpmpp])
def test_grids_that_do_not_fall_are_refused(solver, times) -> None:
    with pytest.raises(ValueError, match="falls strictly"):
        solver(Cosine(), times)


def test_wrong_options_are_refused_with_what_would_be_right() -> None:
    with pytest.raises(ValueError, match=r"unknown sampler 'dpm'.*dpmpp_2m"):
        make_plan(Cosine(), "dpm", 5)
    with pytest.raises(ValueError, match=r"unknown grid 'kerras'.*karras"):
        make_plan(Cosine(), "ddim", 5, "kerras")
    with pytest.raises(ValueError, match="at least 1, not 0"):
        make_plan(Cosine(), "ddim", 0)
    with pytest.raises(ValueError, match="order 1, 2 or 3"):
        dpmpp(Cosine(), (0.5, 0.1), order=4)
    for eta in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="eta"):
            ddim(Cosine(), (0.5, 0.1), eta)
    with pytest.raises(ValueError, match="eta"):
        dpmpp(Cosine(), (0.5, 0.1), eta=-1.0)


# ----------------------------------------------------------------------------------------------------------- objects


@every
@pytest.mark.parametrize(("name", "eta"), ALL)
def test_json_is_lossless(name, eta, schedule) -> None:
    plan = make_plan(schedule, name, 7, "karras", eta)
    back = Plan.from_json(plan.to_json())
    assert back == plan and hash(back) == hash(plan) and back.to_json() == plan.to_json()
    assert {plan: 1}[back] == 1
    assert make_plan(schedule, name, 8, "karras", eta) != plan


def test_plans_are_frozen_and_print() -> None:
    plan = make_plan(Cosine(), "heun", 3)
    with pytest.raises(AttributeError):
        plan.name = "x"
    with pytest.raises(AttributeError):
        plan.rows[0].a = 2.0
    lines = str(plan).splitlines()
    assert lines[0] == "heun: 5 evaluations" and len(lines) == 7 and "(anchor)" in lines[2]


def run_in_library(plan: Plan, process: Gaussian, predict, x: torch.Tensor, noise: Noise) -> torch.Tensor:
    memory = Memory()
    for index, row in enumerate(plan.rows):
        x = process.step(x, predict(x, row.t), row, memory, noise, index)
    return x


@every
@pytest.mark.parametrize(("name", "eta"), ALL)
def test_the_library_executes_rows_as_documented(name, eta, schedule) -> None:
    """In float64, so that they agree to rounding; twice with one plan, so that nothing is left behind in it."""
    process, noise = Gaussian(schedule, sigma_data=0.5), Noise([4, 9])
    plan = make_plan(schedule, name, 9, "karras", eta)
    start = process.prior((6,), noise, plan.rows[0].t).double()
    draws = [noise["step"].normal(6, step=k).double().numpy().ravel() for k in range(len(plan))]
    expected = execute(plan, lambda x, t: TWO_MODES.denoise(schedule, x, t), start.numpy().ravel(), lambda k: draws[k])
    kept = start.clone()
    for _ in range(2):
        end = run_in_library(plan, process, TWO_MODES.predict(schedule), start, noise)
        np.testing.assert_allclose(end.numpy().ravel(), expected, rtol=1e-9, atol=1e-10)
        assert torch.equal(start, kept)


def test_a_row_that_asks_for_more_history_than_there_is_fails() -> None:
    row = Row(0.5, 0.4, 1.0, (0.1, 0.1))
    with pytest.raises(ValueError):
        Gaussian(Cosine()).step(torch.zeros(1, 1), torch.zeros(1, 1), row, Memory(), Noise([0]), 0)


@every
def test_a_plan_that_stops_early_ends_with_the_prediction_there(schedule) -> None:
    whole = make_plan(schedule, "dpmpp_2m", 20, "karras")
    early = make_plan(schedule, "dpmpp_2m", 20, "karras", stop=0.3)
    kept = [row.t for row in whole.rows if schedule.ratio(row.t) > 0.3]
    assert [row.t for row in early.rows] == kept and len(kept) < 20
    assert early.rows[:-1] == whole.rows[: len(early) - 1]
    assert (early.rows[-1].a, early.rows[-1].b, early.rows[-1].s) == (0.0, (1.0,), 0.0)


def test_the_grids_that_the_option_names_are_those_there_are() -> None:
    assert schema(RunConfig).options["sample.grid"].choices == tuple(GRIDS)
