"""Schedules against their definitions, numerical derivatives and published values."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from diffx.plan import GRIDS
from diffx.process import Gaussian, edm_weight
from diffx.schedule import (
    EDM,
    SCHEDULES,
    VE,
    Cosine,
    Linear,
    RectifiedFlow,
    Shifted,
    Sigmoid,
    SubVP,
    ZeroTerminal,
    lognormal,
    uniform_time,
)  # fmt: skip
from oracles import EVERY_SCHEDULE, name_of

every = pytest.mark.parametrize("schedule", EVERY_SCHEDULE, ids=name_of)


def inside(schedule, n: int = 201) -> np.ndarray:
    return schedule.t_max * np.linspace(0, 1, n + 2)[1:-1]


@every
def test_rates_are_the_derivatives(schedule) -> None:
    t, h = inside(schedule), 1e-6 * schedule.t_max
    for value, rate in zip((schedule.alpha, schedule.sigma), schedule.rates(t), strict=True):
        np.testing.assert_allclose(rate, (value(t + h) - value(t - h)) / (2 * h), rtol=1e-6, atol=1e-8)


@every
def test_time_inverts_ratio(schedule) -> None:
    t = inside(schedule)
    np.testing.assert_allclose(schedule.time(schedule.ratio(t)), t, rtol=1e-11)
    ratio = np.geomspace(max(1e-5, schedule.ratio(0.0)), min(70, schedule.ratio(schedule.t_max)), 100)
    np.testing.assert_allclose(schedule.ratio(schedule.time(ratio)), ratio, rtol=1e-10)
    np.testing.assert_allclose(schedule.log_snr(t), -2 * np.log(schedule.sigma(t) / schedule.alpha(t)), rtol=1e-12)
    assert (np.diff(schedule.log_snr(t)) < 0).all()


@every
def test_both_ends_of_the_inverse(schedule) -> None:
    assert schedule.time(0.0) == 0
    assert schedule.time(np.inf) == schedule.t_max
    np.testing.assert_array_equal(schedule.time(np.array([0.0, np.inf])), [0, schedule.t_max])


@every
def test_endpoints(schedule) -> None:
    assert schedule.alpha(0.0) == 1
    if not isinstance(schedule, VE):
        assert schedule.sigma(0.0) == 0 and schedule.ratio(0.0) == 0 and schedule.log_snr(0.0) == np.inf
    if isinstance(schedule, Linear | EDM | VE):  # SubVP is a Linear
        return
    # zero terminal SNR: exact, not nearly
    assert schedule.alpha(1.0) == 0 and schedule.sigma(1.0) == pytest.approx(1, rel=1e-15)
    assert schedule.alpha(1) == 0 and schedule.alpha(np.array([1.0]))[0] == 0
    assert schedule.ratio(1.0) == np.inf and schedule.log_snr(1.0) == -np.inf
    d_alpha, d_sigma = schedule.rates(1.0)
    assert np.isfinite(d_sigma) and np.isfinite(d_alpha) != isinstance(schedule, Sigmoid)


def test_published_ends() -> None:
    assert Linear().alpha(1.0) == pytest.approx(np.exp(-(20 + 0.1) / 4), rel=1e-14)  # exp(-1/2 integral of beta)
    assert EDM().t_max == 80 and EDM().sigma(80.0) == 80 and EDM().alpha(80.0) == 1
    assert EDM(sigma_max=500.0).t_max == 500


@every
def test_variance_is_preserved_where_it_should_be(schedule) -> None:
    t = np.linspace(0, schedule.t_max, 101)[1:]
    total = schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2
    if isinstance(schedule, Cosine | Sigmoid | ZeroTerminal) or schedule in (Linear(), Shifted(Cosine(), 0.5)):
        np.testing.assert_allclose(total, 1, rtol=1e-14)
    elif isinstance(schedule, SubVP):
        assert (total < 1).all()
    elif isinstance(schedule, EDM | VE):
        assert (total > 1).all()
    else:
        np.testing.assert_allclose(schedule.alpha(t) + schedule.sigma(t), 1, rtol=1e-14)


def test_sub_vp_is_the_published_one() -> None:
    """Song et al. 2021, eq. 29: N(exp(-1/2 integral beta) x_0, (1 - exp(-integral beta))^2)."""
    t = np.linspace(0.01, 1, 50)
    integral = 0.5 * t**2 * 19.9 + 0.1 * t
    np.testing.assert_allclose(SubVP().alpha(t), np.exp(-integral / 2), rtol=1e-13)
    np.testing.assert_allclose(SubVP().sigma(t), 1 - np.exp(-integral), rtol=1e-12)
    assert SubVP().sigma(1e-9) == pytest.approx(1e-10, rel=1e-8)


def test_sigmoid_is_the_published_one() -> None:
    """Jabri et al. 2022, algorithm 1, in their symbols, with the tau of their figure too."""
    t = np.linspace(0, 1, 40)
    for start, end, tau in ((-3.0, 3.0, 1.0), (0.0, 3.0, 0.7)):
        v_start, v_end, v_t = (1 / (1 + np.exp(-x / tau)) for x in (start, end, t * (end - start) + start))
        gamma = (v_end - v_t) / (v_end - v_start)
        np.testing.assert_allclose(Sigmoid(start, end, tau).alpha(t) ** 2, gamma, rtol=1e-11, atol=1e-16)
    assert Sigmoid().time(1.0) == pytest.approx(0.5, rel=1e-14)  # symmetric


def test_ve_is_exponential() -> None:
    assert VE(0.01, 50.0).sigma(0.0) == 0.01 and VE(0.01, 50.0).sigma(1.0) == pytest.approx(50, rel=1e-14)
    assert VE(0.01, 100.0).sigma(0.5) == pytest.approx(1, rel=1e-14)


def test_zero_terminal_snr_is_the_published_shift() -> None:
    """Lin et al. 2024, algorithm 1, in their symbols: sqrt(alpha_bar) less its last, and scaled to keep its first."""
    t = np.linspace(0, 1, 1001)
    root = np.exp(-0.25 * t**2 * 19.9 - 0.05 * t)
    expected = (root - root[-1]) * root[0] / (root[0] - root[-1])
    np.testing.assert_allclose(ZeroTerminal(Linear()).alpha(t), expected, rtol=1e-11, atol=1e-16)
    np.testing.assert_allclose(ZeroTerminal(Linear()).sigma(t) ** 2, 1 - expected**2, rtol=1e-11, atol=1e-16)
    assert ZeroTerminal().sigma(1e-9) == pytest.approx(Linear().sigma(1e-9) / np.sqrt(1 - root[-1]), rel=1e-8)
    np.testing.assert_allclose(ZeroTerminal(Cosine()).alpha(t), Cosine().alpha(t), rtol=1e-13)  # there already
    for base in (EDM(), SubVP(), RectifiedFlow()):
        with pytest.raises(ValueError, match="variance-preserving"):
            ZeroTerminal(base)


def test_shifts_are_the_published_ones() -> None:
    t = np.linspace(0.01, 0.99, 50)
    # Hoogeboom et al. 2023, eq. 4: log-SNR of the cosine schedule, -2 log tan(pi t / 2), plus 2 log(64 / d)
    log_snr = -2 * np.log(np.tan(np.pi * t / 2)) + 2 * np.log(64 / 256)
    np.testing.assert_allclose(Shifted(Cosine(), 256 / 64).log_snr(t), log_snr, rtol=1e-11, atol=1e-11)
    # Esser et al. 2024, eq. 23
    np.testing.assert_allclose(Shifted(RectifiedFlow(), 3.0).sigma(t), 3 * t / (1 + 2 * t), rtol=1e-13)
    np.testing.assert_allclose(Shifted(RectifiedFlow(), 3.0).rates(1.0), (-1 / 3, 1 / 3), rtol=1e-13)
    np.testing.assert_allclose(Shifted(Cosine(), 1.0).alpha(t), Cosine().alpha(t), rtol=1e-13)
    with pytest.raises(ValueError, match="zero terminal SNR"):
        Shifted(Linear(), 2.0)
    with pytest.raises(ValueError, match="positive"):
        Shifted(Cosine(), 0.0)


def test_every_schedule_has_a_name() -> None:
    assert {type(schedule) for schedule in EVERY_SCHEDULE} == set(SCHEDULES.values())
    assert all(make() in EVERY_SCHEDULE for make in SCHEDULES.values())


def test_cosine_is_half_way_at_a_quarter_turn() -> None:
    assert Cosine().alpha(0.5) == pytest.approx(np.sqrt(0.5), rel=1e-15)
    assert Cosine().alpha(2 / 3) == pytest.approx(0.5, rel=1e-14)


def test_linear_is_the_limit_of_the_discrete_one() -> None:
    """Ho et al. 2020: 1000 steps of beta from 1e-4 to 0.02."""
    alpha = np.sqrt(np.cumprod(1 - np.linspace(1e-4, 0.02, 1000)))
    t = (np.arange(1000) + 1) / 1000
    np.testing.assert_allclose(np.log(Linear().alpha(t))[100:], np.log(alpha)[100:], rtol=0.011)


def test_sigma_keeps_its_digits_near_zero() -> None:
    """1 - alpha^2 loses every digit there; the first terms of the series do not."""
    t = 1e-9
    assert Linear().sigma(t) == pytest.approx(np.sqrt(0.1 * t), rel=1e-8)
    assert Cosine().sigma(t) == pytest.approx(np.pi / 2 * t, rel=1e-12)


@every
def test_floats_and_arrays_agree(schedule) -> None:
    t = inside(schedule, 7)
    for method in (schedule.alpha, schedule.sigma, schedule.ratio, schedule.log_snr, schedule.time):
        whole = method(t)
        assert whole.dtype == np.float64 and whole.shape == t.shape
        for number, value in zip(t, whole, strict=True):
            single = method(float(number))
            assert isinstance(single, float) and single == value
        assert method(t.reshape(1, 7)).shape == (1, 7)
    for part, single in zip(schedule.rates(t), zip(*(schedule.rates(float(v)) for v in t), strict=True), strict=True):
        np.testing.assert_array_equal(part, single)


@every
def test_half_precision_times_do_not_stick(schedule) -> None:
    """A peer's schedule stayed in fp16 after one call in fp16."""
    t = np.linspace(0, 1, 9)
    before = schedule.alpha(t).copy()
    for dtype in (np.float16, np.float32):
        assert schedule.alpha(t.astype(dtype)).dtype == schedule.sigma(t.astype(dtype)).dtype == np.float64
        np.testing.assert_array_equal(schedule.alpha(t.astype(dtype)), before)  # these times are exact in fp16
    np.testing.assert_array_equal(schedule.alpha(t), before)


@every
def test_schedules_are_frozen_and_comparable(schedule) -> None:
    twin = type(schedule)(*(getattr(schedule, field.name) for field in dataclasses.fields(schedule)))
    assert schedule == twin and hash(schedule) == hash(twin)
    with pytest.raises(AttributeError):
        schedule.beta_min = 3.0
    assert Linear(beta_max=10.0) != Linear() != Cosine() and SubVP() != Linear()


@every
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("n", [1, 2, 3, 20, 1000])
def test_grids_fall_strictly_to_zero(schedule, grid, n) -> None:
    """A peer's cosine schedule on a Karras grid had 12 distinct times in 20 and crashed."""
    times = GRIDS[grid](schedule, n)
    assert len(times) == n + 1 and times[-1] == 0
    assert all(isinstance(t, float) for t in times) and all(t > s for t, s in itertools.pairwise(times))
    in_time = grid in ("uniform", "trailing")
    top = schedule.t_max if in_time else min(80.0, schedule.ratio(schedule.t_max))
    assert (times[0] if in_time else schedule.ratio(times[0])) == pytest.approx(top, rel=1e-9)


def test_grids_are_evenly_spaced_in_their_coordinate() -> None:
    schedule = Cosine()
    sigma = {name: np.array([schedule.ratio(t) for t in GRIDS[name](schedule, 12)]) for name in GRIDS}
    for coordinate in (
        np.array(GRIDS["uniform"](schedule, 12)),
        sigma["karras"][:-1] ** (1 / 7),
        np.log(sigma["log_snr"][:-1]),
        np.arctan(sigma["angle_least"][:-1]),
        np.arctan(sigma["angle"]),
        np.arctan([schedule.ratio(t) / 0.3 for t in GRIDS["angle"](schedule, 12, sigma_data=0.3)]),
        np.log([VE().sigma(t) for t in GRIDS["log_snr"](VE(), 12)]),
        np.array(GRIDS["karras"](EDM(), 12, start=3.0)[:-1]) ** (1 / 7),
    ):
        steps = np.diff(coordinate)
        np.testing.assert_allclose(steps, steps[0], rtol=1e-8)
    assert GRIDS["exponential"](schedule, 12) == GRIDS["log_snr"](schedule, 12)
    assert sigma["angle_least"][-2] == pytest.approx(0.002)
    assert sigma["karras"][-2] == pytest.approx(0.002) and sigma["log_snr"][-2] == pytest.approx(0.002)


def test_trailing_is_the_published_one() -> None:
    """Lin et al. 2024, table 2: of 1000 steps and 10 to take, those numbered 999, 899, ... 99, counted from 0."""
    times = np.array(GRIDS["trailing"](Linear(), 10)) * 1000
    np.testing.assert_allclose(times, [1000, 900, 800, 700, 600, 500, 400, 300, 200, 100, 0])
    uneven = np.array(GRIDS["trailing"](Linear(), 13)) * 1000
    np.testing.assert_allclose(uneven, np.round(np.arange(1000, -1e-9, -1000 / 13)), atol=1e-9)
    ticks = np.array(GRIDS["trailing"](EDM(), 7, trained=50)) / 1.6
    np.testing.assert_allclose(ticks, np.round(ticks), atol=1e-9)


def test_grids_reach_the_whole_range_of_an_edm_schedule() -> None:
    times = GRIDS["karras"](EDM(sigma_max=500.0, sigma_min=0.01), 10)
    assert times[0] == 500 and times[-2] == pytest.approx(0.01)


@every
def test_training_times(schedule) -> None:
    u = np.linspace(0.001, 0.999, 999)
    t = lognormal(-0.4, 1.4)(schedule, u)
    logs = np.log(schedule.ratio(t))
    assert np.median(logs) == pytest.approx(-0.4, abs=1e-6)
    inner = logs[(u > 0.1) & (u < 0.9)]
    np.testing.assert_allclose(inner[[0, -1]], -0.4 + 1.4 * np.array([-1.2816, 1.2816]), atol=0.01)
    np.testing.assert_allclose(uniform_time(schedule, u), u * schedule.t_max)


@every
def test_edm_weight_is_the_inverse_of_the_output_scale_squared(schedule) -> None:
    t, sigma_data = inside(schedule), 0.5
    s = schedule.ratio(t)
    np.testing.assert_allclose(
        edm_weight(sigma_data)(schedule, t), (s**2 + sigma_data**2) / (s * sigma_data) ** 2, rtol=1e-10
    )
    assert edm_weight(sigma_data)(schedule, np.array([schedule.t_max]))[0] == pytest.approx(4, rel=0.01)


@every
def test_the_prior_has_the_marginal_variance(schedule) -> None:
    from diffx.noise import Noise

    process = Gaussian(schedule, sigma_data=3.0)
    for t in (schedule.t_max, 0.3 * schedule.t_max):
        x = process.prior((50_000,), Noise([1]), t)
        expected = np.hypot(schedule.alpha(t) * 3.0, schedule.sigma(t))
        assert float(x.std()) == pytest.approx(expected, rel=5 / np.sqrt(2 * 50_000))


def test_the_tail_of_the_levels_is_even_up_to_the_top() -> None:
    u = (np.arange(20000) + 0.5) / 20000
    s = EDM(sigma_max=400.0).ratio(lognormal(-0.5, 1.4, tail=0.2)(EDM(sigma_max=400.0), u))
    low, top = np.exp(-0.5 + 1.4), 400.0
    body, tail = np.sort(s[u >= 0.2]), np.log(np.sort(s[u < 0.2]))
    np.testing.assert_allclose(np.quantile(tail, [0, 0.5, 1]), np.log([low, np.sqrt(low * top), top]), atol=1e-3)
    np.testing.assert_allclose(np.log(np.median(body)), -0.5, atol=1e-3)
    np.testing.assert_allclose(np.log(np.quantile(body, 0.8413)), 0.9, atol=2e-2)
