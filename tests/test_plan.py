"""Plans against exact flows, exact moments, and the published formulas written out plainly."""

from __future__ import annotations

import inspect
import itertools
import math

import numpy as np
import pytest
import torch

from diffx.config import RunConfig, schema
from diffx.noise import Noise
from diffx.plan import (
    GRIDS,
    SOLVERS,
    Plan,
    Row,
    ab,
    ddim,
    ddpm,
    dpm2,
    dpmpp,
    dpmpp_2s,
    euler,
    euler_ancestral,
    heun,
    lms,
    make_plan,
    unipc,
)
from diffx.process import Gaussian, Masked, Memory, Product
from diffx.schedule import EDM, VE, Cosine, Linear, RectifiedFlow, Sigmoid, SubVP, ZeroTerminal
from oracles import (
    QUANTILES,
    SCHEDULES,
    TWO_MODES,
    Mixture,
    execute,
    flow_error,
    gaussian_end,
    name_of,
    order_of,
    spaced,
)

every = pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)
WITH_ETA = [name for name, solver in SOLVERS.items() if "eta" in inspect.signature(solver).parameters]
ALL = [(name, eta) for name in SOLVERS for eta in ((0.0, 0.5, 1.0) if name in WITH_ETA else (None,))]
FLOWS = [name for name in SOLVERS if name not in ("ddpm", "euler_ancestral")]  # without noise by default
# Published "3M" weighs the second difference with half of what the exact rule asks for, which makes it second order.
ORDERS = {"ddim": 1, "euler": 1, "heun": 2, "dpm2": 2, "dpmpp_2s": 2, "dpmpp_1m": 1, "dpmpp_2m": 2, "dpmpp_3m": 2,
          "unipc": 3, "ab2": 2, "pndm": 2, "plms": 2}  # fmt: skip
# Lower orders in the first rows mix into these, and of the two errors now the one is larger, now the other.
MIXED = {"unipc_3": (3.2, 4.2), "ab3": (1.5, 3.1), "ab4": (1.6, 3.1), "lms": (2.0, 3.3)}


def evaluations(name: str, n: int) -> int:
    """Of a plan to 0 in n intervals from finite noise."""
    if name in ("heun", "dpm2", "dpmpp_2s"):
        return 2 * n - 1
    return n + (3 * min(n - 1, 3) if name == "pndm" else 0) + (1 if name == "plms" and n > 1 else 0)


# ------------------------------------------------------------------------------------------------------ convergence


@pytest.mark.parametrize(
    ("schedule", "data"),
    [(Cosine(), TWO_MODES), (Linear(), TWO_MODES), (EDM(), Mixture()), (RectifiedFlow(), TWO_MODES)],
)
@pytest.mark.parametrize("name", ORDERS)
def test_measured_order_of_convergence(name, data, schedule) -> None:
    errors = [flow_error(SOLVERS[name](schedule, spaced(schedule, n)), schedule, data) for n in (40, 80, 160)]
    assert order_of(errors) == pytest.approx(ORDERS[name], abs=0.1)


@pytest.mark.parametrize("schedule", [Cosine(), EDM()], ids=name_of)
@pytest.mark.parametrize("name", MIXED)
def test_high_orders_after_a_low_start(name, schedule) -> None:
    assert {*ORDERS, *MIXED, "ddpm", "euler_ancestral"} == {*SOLVERS}
    errors = [flow_error(SOLVERS[name](schedule, spaced(schedule, n)), schedule, TWO_MODES) for n in (40, 80, 160)]
    assert MIXED[name][0] < order_of(errors) < MIXED[name][1]


def last_update(plan: Plan, schedule, data: Mixture, z: np.ndarray) -> float:
    """Error of a plan's last row, all before it exact: state, anchor and history lie on the flow's path of rank z."""

    def path(t: float) -> np.ndarray:
        return data.quantile(schedule, z, t)

    row = plan.rows[-1]
    kept = [
        r.output[0] * path(r.t) + r.output[1] * data.denoise(schedule, path(r.t), r.t) for r in plan.rows if r.evaluate
    ]
    anchor = next((path(r.t) for r in reversed(plan.rows) if r.hold), None)
    end = row.a * path(row.t) + (row.d * anchor if row.d else 0)
    return abs(end + sum(b * m for b, m in zip(row.b, kept[::-1], strict=False)) - path(row.s)).item()


@every
@pytest.mark.parametrize(
    ("solver", "order"),
    [
        *((lambda s, t, k=k: dpmpp(s, t, k), min(k, 2)) for k in (1, 2, 3)),
        (lambda s, t: dpmpp(s, t, 2, rule="heun"), 2),
        *((lambda s, t, k=k: unipc(s, t, k), k) for k in (1, 2, 3)),
        *((lambda s, t, k=k: unipc(s, t, k, "bh1"), k) for k in (2, 3)),
        *((lambda s, t, k=k: ab(s, t, k, sigma_data=0.8), k) for k in (1, 2, 3, 4)),
        *((lambda s, t, k=k: lms(s, t, k), k) for k in (1, 2, 3, 4)),
    ],
)
def test_local_error_of_multistep_rows(solver, order, schedule) -> None:
    """One full row, its history exact and unevenly spaced: the error falls as h^(p+1), p the order."""
    errors = []
    for h in (0.1, 0.05, 0.025):
        times = [float(schedule.time(math.exp(0.5 - k * h))) for k in (-3.2, -2.1, -0.9, 0, 1)]
        errors.append(last_update(solver(schedule, times), schedule, Mixture(), np.array([0.9])))
    assert order_of(errors) == pytest.approx(order + 1, abs=0.25)


@pytest.mark.parametrize("variant", ["bh1", "bh2"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_local_error_of_the_corrector(order, variant) -> None:
    """One order more than the predictor: it knows the prediction at the end of its step."""
    schedule, errors = Cosine(), []
    for h in (0.1, 0.05, 0.025):
        times = [float(schedule.time(math.exp(0.5 - k * h))) for k in (-3.2, -2.1, -0.9, 0, 1, 2)]
        plan = unipc(schedule, times, order, variant)
        corrector = [k for k, row in enumerate(plan.rows) if row.evaluate][-1]
        assert plan.rows[corrector].a == 0 and plan.rows[corrector].t == plan.rows[corrector].s
        errors.append(last_update(Plan("", plan.rows[: corrector + 1]), schedule, Mixture(), np.array([0.9])))
    assert order_of(errors) == pytest.approx(order + 2, abs=0.25)


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("schedule", [Cosine(), EDM()], ids=name_of)
def test_inversion_goes_where_the_flow_goes_and_back(name, schedule) -> None:
    """Up to noise with the order of the solver, and down again to where it started."""
    errors, returns = [], []
    for n in (40, 80, 160):
        up = SOLVERS[name](schedule, spaced(schedule, n)[::-1])
        errors.append(flow_error(up, schedule, TWO_MODES))
        start = TWO_MODES.quantile(schedule, QUANTILES, up.rows[0].t)
        there = execute(up, lambda x, t: TWO_MODES.denoise(schedule, x, t), start)
        down = SOLVERS[name](schedule, spaced(schedule, n))
        returns.append(np.abs(execute(down, lambda x, t: TWO_MODES.denoise(schedule, x, t), there) - start).mean())
    order = ORDERS.get(name, 2)
    assert order_of(errors) > order - 0.35 and order_of(returns) > order - 0.35
    assert returns[-1] < {1: 1e-2, 2: 2e-4, 3: 1e-5}[order]


@every
def test_3m_beats_2m_beats_1m(schedule) -> None:
    for data in (Mixture(), TWO_MODES):
        one, two, three = (flow_error(dpmpp(schedule, spaced(schedule, 40), k), schedule, data) for k in (1, 2, 3))
        assert three < two / 2 < one / 20


@every
@pytest.mark.parametrize(("name", "eta"), [(name, eta) for name, eta in ALL if eta != 0.5])
def test_every_solver_reaches_the_data(name, eta, schedule) -> None:
    """Mean and deviation for N(0.7, 0.5^2), exactly and without sampling, from prior to data, on every grid."""
    grids = ("uniform", "karras", "log_snr", "angle_least", "angle")  # all on one, two each on the others
    for grid in grids if schedule == Cosine() else grids[1::3] if schedule == EDM() else grids[::2][:2]:
        ends = [gaussian_end(make_plan(schedule, name, n, grid, eta), schedule, 0.7, 0.5) for n in (60, 240)]
        errors = [max(abs(mean - 0.7), abs(std / 0.5 - 1)) for mean, std in ends]
        assert errors[1] < errors[0] / 2 or errors[1] < 1e-4, (grid, errors)
        if not (grid == "uniform" and isinstance(schedule, EDM)):  # which spends 1 % of its steps below sigma = 1
            second = ORDERS.get(name, 2 if name in MIXED else 1) >= 2 and not eta
            assert errors[1] < (4e-3 if second else 5e-2), (grid, errors)


@every
@pytest.mark.parametrize("name", [*ORDERS, *MIXED])
def test_every_path_of_the_flow_ends_where_it_should(name, schedule) -> None:
    """Sample by sample, to clean data, for two modes."""
    error = flow_error(make_plan(schedule, name, 400, "angle"), schedule, TWO_MODES)
    assert error < (4e-3 if ORDERS.get(name) == 1 else 3e-4)


@pytest.mark.parametrize("schedule", [Sigmoid(), SubVP(), VE(), ZeroTerminal()], ids=name_of)
@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_on_every_schedule(name, schedule) -> None:
    plan = make_plan(schedule, name, 200, "log_snr" if isinstance(schedule, VE) else "angle")
    mean, std = gaussian_end(plan, schedule, 0.7, 0.5)
    first = 0.12 if name == "euler" else 5e-2  # time is the logarithm of noise in VE
    assert max(abs(mean - 0.7), abs(std / 0.5 - 1)) < (5e-3 if name in FLOWS and ORDERS.get(name) != 1 else first)


def test_ab_does_nothing_wrong_to_gaussian_data_of_its_own_deviation() -> None:
    """There v is 0 all the way, so any number of steps is exact; and of any deviation it is close at few."""
    for schedule in SCHEDULES:
        for order in (1, 2, 3, 4):
            plan = ab(schedule, spaced(schedule, 4), order, sigma_data=0.5)
            mean, std = gaussian_end(plan, schedule, 0.0, 0.5)
            total = math.hypot(schedule.alpha(plan.rows[-1].s) * 0.5, schedule.sigma(plan.rows[-1].s))
            assert mean == 0 and std == pytest.approx(total, rel=1e-12)


def test_ab_on_the_angle_grid_beats_dpmpp_on_karras_at_ten_evaluations() -> None:
    """W1 to the data by quantiles, as a few steps are what counts: measured 8x on two modes, 4x with a spike."""
    schedule = EDM()
    for data, sigma_data, ratio in (
        (TWO_MODES, 0.88, 6),
        (Mixture((0.7, 0.3), (0.0, 1.5), (0.02, 0.5)), 0.87, 4),
    ):
        plans = {
            "ab": make_plan(schedule, "ab2", 10, "angle_least", sigma_data=sigma_data),
            "dpmpp": make_plan(schedule, "dpmpp_2m", 10, "karras"),
        }
        truth = data.quantile(schedule, QUANTILES, 0.0)
        error = {}
        for name, plan in plans.items():
            assert len(plan) == 10
            start = data.quantile(schedule, QUANTILES, plan.rows[0].t)
            end = np.sort(execute(plan, lambda x, t, data=data: data.denoise(schedule, x, t), start))
            error[name] = np.abs(end - truth).mean()
        assert error["dpmpp"] > ratio * error["ab"]


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
@pytest.mark.parametrize("name", SOLVERS)
def test_rows_connect_and_are_finite(name, grid, schedule) -> None:
    """Each transition starts where the last one ended, from zero terminal SNR and with one step too."""
    for n, eta in itertools.product((1, 2, 3, 13), (None, 0.0, 0.5, 1.0) if name in WITH_ETA else (None,)):
        plan, times = make_plan(schedule, name, n, grid, eta), GRIDS[grid](schedule, n)
        if schedule.alpha(times[0]) > 0 or n == 1:
            assert len(plan) == evaluations(name, n)
        for row, after in itertools.pairwise(plan.rows):
            assert row.s == after.t
        assert plan.rows[0].t == times[0] and plan.rows[-1].s == 0
        for row in plan.rows:
            assert all(type(v) is float and math.isfinite(v) for v in (row.t, row.s, row.a, row.c, row.d, *row.b))
            assert all(type(v) is float and math.isfinite(v) for v in row.output)
        last = plan.rows[-1]
        assert (last.a, last.b, last.c, last.d, last.output) == (
            0,
            (1.0,),
            0,
            0,
            (0, 1),
        )  # ends on the prediction itself
        inside = {row.t for row in plan.rows} - {*times[:-1]}
        assert {*times[:-1]} <= {row.t for row in plan.rows}
        assert not inside or name in ("dpm2", "dpmpp_2s", "pndm")


@every
@pytest.mark.parametrize("name", SOLVERS)
def test_one_step_returns_the_prediction(name, schedule) -> None:
    end = execute(make_plan(schedule, name, 1), strange, np.array([0.3]))
    assert end == strange(np.array([0.3]), make_plan(schedule, name, 1).rows[0].t)


@every
@pytest.mark.parametrize("name", [name for name in SOLVERS if name != "ddpm" and not name.startswith("ab")])
def test_a_constant_prediction_is_followed_exactly(name, schedule) -> None:
    """If the network always says c, the flow is x_t = alpha c + sigma eps: rules that transfer eps, or integrate in
    log-SNR, are exact, up and down, the others keep the mean; with noise the deviation stays sigma too."""
    c, no_noise = 1.7, {"eta": 0.0} if name in WITH_ETA else {}
    if name in ("euler", "heun") and not isinstance(schedule, EDM | RectifiedFlow):
        return  # there the flow of a constant is curved in t
    for times in (spaced(schedule, 7), spaced(schedule, 7)[::-1]):
        plan = SOLVERS[name](schedule, times, **no_noise)
        start = schedule.alpha(times[0]) * c
        end = execute(plan, lambda x, t: np.full_like(x, c), np.array([start, start + schedule.sigma(times[0]) * 0.8]))
        expected = schedule.alpha(times[-1]) * c + schedule.sigma(times[-1]) * np.array([0, 0.8])
        np.testing.assert_allclose(end, expected, rtol=1e-10)
    if name in WITH_ETA:
        for eta in (0.3, 0.8):
            mean, std = gaussian_end(SOLVERS[name](schedule, spaced(schedule, 7), eta=eta), schedule, c, 0.0)
            end = spaced(schedule, 7)[-1]
            assert mean == pytest.approx(schedule.alpha(end) * c) and std == pytest.approx(schedule.sigma(end))


def test_plans_start_anywhere() -> None:
    """Image to image: the grid's tail."""
    times = GRIDS["karras"](Cosine(), 10)[4:]
    plan = dpmpp(Cosine(), times)
    assert plan.rows[0].t == times[0] and len(plan) == 6
    assert flow_error(dpmpp(Cosine(), GRIDS["log_snr"](Cosine(), 200)[90:]), Cosine(), TWO_MODES) < 1e-3


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_grids_that_neither_fall_nor_rise_are_refused(solver) -> None:
    for times in ((), (1.0,), (0.5, 0.5), (1.0, 0.5, 0.5, 0.0), (0.5, -0.1), (1.0, math.nan)):
        with pytest.raises(ValueError, match="falls strictly"):
            solver(Cosine(), times)
    fresh = solver in (ddpm, euler_ancestral)  # noise cannot be taken back
    for times in ((0.0, 0.7), (0.2, 0.7, 0.7), (0.2, 0.7, 0.3), (0.2, 1.1)):
        with pytest.raises(ValueError, match="falls strictly" if fresh else "rises does so strictly"):
            solver(Cosine(), times)
    for solver_with_eta in (ddim, dpmpp, dpm2, dpmpp_2s):
        with pytest.raises(ValueError, match="falls strictly"):
            solver_with_eta(Cosine(), (0.2, 0.7), eta=0.5)


def test_inverted_plans_start_at_the_least_noise_and_end_at_the_prior() -> None:
    for schedule, name in itertools.product((*SCHEDULES, VE()), FLOWS):
        for grid in ("uniform", "angle_least"):
            plan = make_plan(schedule, name, 6, grid, invert=True)
            clean = schedule.ratio(0.0) == 0  # where it is not, time 0 itself has noise
            times = GRIDS[grid](schedule, 7)[-2::-1] if clean else GRIDS[grid](schedule, 6)[::-1]
            assert plan.rows[0].t == times[0] and plan.rows[-1].s == times[-1]
            assert all(math.isfinite(v) for row in plan.rows for v in (row.a, row.d, *row.b, *row.output))
            assert not any(row.c for row in plan.rows)
    with pytest.raises(ValueError, match="falls strictly"):
        make_plan(Cosine(), "ddim", 6, eta=1.0, invert=True)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("name", FLOWS)
def test_an_inversion_of_a_schedule_that_is_never_clean_starts_at_its_least_noise(name, grid) -> None:
    """VE has noise of sigma_min at t = 0: the data are taken to lie there, and go up from it."""
    plan = make_plan(VE(), name, 4, grid, invert=True)
    assert plan.rows[0].t == 0.0 and len({row.s for row in plan.rows}) >= 4
    assert float(VE().sigma(plan.rows[0].t)) == pytest.approx(0.01)
    assert make_plan(VE(), name, 4, grid, invert=True, stop=0.02).rows[0].t > 0
    c = 0.5
    fine = make_plan(VE(), name, 400, grid, invert=True)
    end = execute(fine, lambda x, t: c**2 / (c**2 + VE().sigma(t) ** 2) * x, np.array([1.0]))
    assert end[0] == pytest.approx(math.hypot(c, 50.0) / math.hypot(c, 0.01), rel=0.12 if name == "euler" else 0.05)


@every
@pytest.mark.parametrize("grid", GRIDS)
def test_sampling_starts_at_any_noise(grid, schedule) -> None:
    """Image to image: all steps of the plan lie below the start."""
    for n in (1, 2, 9):
        plan = make_plan(schedule, "dpmpp_2m", n, grid, start=1.3)
        assert len(plan) == n
        assert schedule.ratio(plan.rows[0].t) == pytest.approx(1.3, rel=0.02 if grid == "trailing" else 1e-9)
    half = make_plan(schedule, "dpmpp_2m", 8, grid, strength=0.5)
    assert half.rows[0].t == pytest.approx(schedule.t_max / 2, rel=1e-9) and len(half) == 8
    assert make_plan(schedule, "ddim", 8, grid, strength=1.0) == make_plan(schedule, "ddim", 8, grid)


def test_starts_out_of_range_are_refused() -> None:
    for start in (0.001, math.inf):
        with pytest.raises(ValueError, match="starts from noise above"):
            make_plan(Cosine(), "ddim", 5, start=start)
    for strength in (0.0, 1.1, -0.5):
        with pytest.raises(ValueError, match="strength is a share"):
            make_plan(Cosine(), "ddim", 5, strength=strength)
    with pytest.raises(ValueError, match="in place of start"):
        make_plan(Cosine(), "ddim", 5, start=1.0, strength=0.5)
    with pytest.raises(ValueError, match="only 1000 times for 1001 steps"):
        make_plan(Cosine(), "ddim", 1001, "trailing")
    with pytest.raises(ValueError, match="infinitely fast"):
        make_plan(Sigmoid(), "euler", 5, "uniform")


@pytest.mark.parametrize("sampler", ["ab2", "ab3", "ab4"])
@pytest.mark.parametrize("grid", ["angle", "angle_least"])
def test_a_plan_is_made_for_the_data_of_its_process(sampler, grid) -> None:
    """N(0, 0.1^2) data and their exact denoiser, 8 steps: the deviation of samples is theirs, which it was not (0.44 of
    it) in coordinates made for sigma_data = 1."""
    for schedule in (EDM(), Cosine(), VE()):
        process = Gaussian(schedule, 0.1)
        plan = make_plan(process, sampler, 8, grid)
        assert plan == make_plan(schedule, sampler, 8, grid, sigma_data=0.1)
        assert plan == make_plan(Product({"x": process, "k": Masked(3)}), sampler, 8, grid).plans["x"]
        assert gaussian_end(plan, schedule, 0.0, 0.1)[1] == pytest.approx(0.1, rel=0.045)


def test_wrong_options_are_refused_with_what_would_be_right() -> None:
    with pytest.raises(ValueError, match=r"unknown sampler 'dpm'.*dpmpp_2m"):
        make_plan(Cosine(), "dpm", 5)
    with pytest.raises(ValueError, match=r"unknown grid 'kerras'.*karras"):
        make_plan(Cosine(), "ddim", 5, "kerras")
    with pytest.raises(ValueError, match="at least 1, not 0"):
        make_plan(Cosine(), "ddim", 0)
    with pytest.raises(ValueError, match=r"'heun' has no eta.*ddim, .*dpmpp_3m"):
        make_plan(Cosine(), "heun", 5, eta=0.5)
    assert make_plan(Cosine(), "heun", 5, eta=0.0) == make_plan(Cosine(), "heun", 5)  # is what it does
    with pytest.raises(ValueError, match=r"ddpm has no eta, and so not one of 0"):
        make_plan(Cosine(), "ddpm", 5, eta=0.0)
    assert not any(row.c for row in make_plan(Cosine(), "euler_ancestral", 5, eta=0.0).rows)
    with pytest.raises(ValueError, match="has its own sigma_data"):
        make_plan(Gaussian(Cosine(), 0.5), "ab2", 5, sigma_data=0.5)
    for solver, order in ((dpmpp, 4), (unipc, 4), (ab, 5), (lms, 0)):
        with pytest.raises(ValueError, match="has order 1"):
            solver(Cosine(), (0.5, 0.1), order=order)
    with pytest.raises(ValueError, match="rules midpoint and heun"):
        dpmpp(Cosine(), (0.5, 0.1), rule="bh1")
    with pytest.raises(ValueError, match="variant bh1 or bh2"):
        unipc(Cosine(), (0.5, 0.1), variant="heun")
    with pytest.raises(ValueError, match="sigma_data is positive"):
        ab(Cosine(), (0.5, 0.1), sigma_data=0.0)
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
    memory = Memory(plan.depth)
    for index, row in enumerate(plan.rows):
        x = process.step(x, predict(x, row.t) if row.evaluate else None, row, memory, noise, index)
    return x


@every
@pytest.mark.parametrize(("name", "eta"), ALL)
def test_the_library_executes_rows_as_documented(name, eta, schedule) -> None:
    """In float64, so that they agree to rounding; twice with one plan, so that nothing is left behind in it."""
    process, noise = Gaussian(schedule, sigma_data=0.5), Noise([4, 9])
    plan = make_plan(schedule, name, 9, "karras", eta)
    start = process.prior((6,), noise, plan.rows[0].t).double()
    draws = [noise["step"].normal(6, step=k).double().numpy().ravel() for k in range(len(plan.rows))]
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
