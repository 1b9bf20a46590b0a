"""Guides against Gaussians and token tables, for which the guided prediction has a closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gaussians import Correlated, ends

from diffx.condition import Condition
from diffx.guide import Projection, autoguidance, cfg, classifier, energy, keep, on_leaf, posterior
from diffx.noise import Noise
from diffx.plan import JointPlan, make_plan, synchronised_transitions, transitions
from diffx.process import Categorical, Gaussian, Masked, Product
from diffx.sampling import sample
from diffx.schedule import EDM, Cosine
from oracles import SCHEDULES, name_of

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


# ------------------------------------------------------------------------------------------- batches, times and leaves


def test_together_is_apart_up_to_rounding() -> None:
    predict, x = by_batch(), Noise([1, 2, 3]).normal(7)
    for t in (0.4, np.array([0.1, 0.4, 2.0])):
        for rescale in (0.0, 0.7):
            apart, together = (cfg(predict, 3.0, NULL, rescale=rescale, together=k)(x, t, TOLD) for k in (False, True))
            torch.testing.assert_close(together, apart, rtol=1e-6, atol=1e-6)
    predict.calls.clear()
    cfg(predict, 3.0, NULL, together=True)(x, 0.4, TOLD)
    assert predict.calls == [6]  # one evaluation, of twice the batch
    with pytest.raises(ValueError, match="vector"):
        cfg(predict, 3.0, NULL, together=True)(x, 0.4, None)


def by_batch():
    """The denoiser of N(vector, 0.5^2) on EDM, sample by sample, t a float or [B]."""

    def predict(x, t, condition=None):
        predict.calls.append(len(x))
        var = torch.as_tensor(np.array(t) ** 2, dtype=x.dtype).view(-1, 1)
        return condition.vector + 0.25 / (0.25 + var) * (x - condition.vector)

    predict.calls = []
    return predict


def test_an_interval_holds_for_each_sample_and_each_leaf() -> None:
    predict, x, interval = by_batch(), Noise([1, 2, 3]).normal(7), (0.2, 1.0)
    t = np.array([0.2, 0.3, 1.5])
    got = cfg(predict, 3.0, NULL, interval)(x, t, TOLD)
    expected = [(cfg(predict, 3.0, NULL) if k == 1 else predict)(x, t, TOLD)[k] for k in range(3)]
    assert torch.equal(got, torch.stack(expected))
    predict.calls.clear()
    cfg(predict, 3.0, NULL, interval)(x, np.array([0.1, 0.2, 1.1]), TOLD)
    assert predict.calls == [3]

    def joint(x, t, condition=None):
        return {name: predict(x[name], t[name], condition) for name in x}

    states, times = {"a": x, "b": x + 1}, {"a": 0.3, "b": 1.5}
    free = joint(states, times, TOLD)
    for on in (interval, {"a": interval, "b": interval}):
        got = cfg(joint, 3.0, NULL, on)(states, times, TOLD)
        assert torch.equal(got["b"], free["b"])
        assert torch.equal(got["a"], cfg(predict, 3.0, NULL)(x, 0.3, TOLD))
    got = cfg(joint, 3.0, NULL, {"a": (0.5, 1.0), "b": (1.0, 2.0)})(states, times, TOLD)
    assert torch.equal(got["a"], free["a"]) and not torch.equal(got["b"], free["b"])


def test_token_logits_are_combined_as_powers() -> None:
    logits = {0.0: torch.tensor([0.2, 0.3, 0.5]).log(), 1.0: torch.tensor([0.6, 0.3, 0.1]).log()}

    def predict(x, t, condition=None):
        return logits[float(condition.vector[0, 0])].expand(*x.shape, 3)

    p = cfg(predict, 2.0, NULL)(torch.zeros(3, 4, dtype=torch.int64), 0.5, TOLD).softmax(-1)
    power = torch.tensor([0.6**2 / 0.2, 0.3**2 / 0.3, 0.1**2 / 0.5])
    torch.testing.assert_close(p, (power / power.sum()).expand(3, 4, 3))


# ------------------------------------------------------------------------------------------------------- autoguidance


@every
def test_autoguidance_leads_away_from_the_worse(schedule) -> None:
    """Networks that know N(1, 0.4^2) and N(0.2, 0.4^2): w = 2 samples N(1.8, 0.4^2)."""
    both, x = two_gaussians(schedule), Noise([1, 2, 3]).normal(7)
    good, weak = (lambda x, t, c=None, told=told: both(x, t, told) for told in (TOLD, NULL))
    assert autoguidance(good, weak, 1.0) is good
    got, expected = autoguidance(good, weak, 2.0)(x, 0.4), cfg(both, 2.0, NULL)(x, 0.4, TOLD)
    assert torch.equal(got, expected)
    outside = autoguidance(good, weak, 2.0, interval=(0.5, 1.0))
    assert torch.equal(outside(x, 0.4), good(x, 0.4)) and not torch.equal(outside(x, 0.6), good(x, 0.6))


def test_autoguidance_of_guided_networks() -> None:
    """cfg inside autoguidance and the reverse: both are linear, so the order does not matter."""
    both, x = by_batch(), Noise([1, 2, 3]).normal(7)

    def weak(x, t, condition=None):
        return 0.5 * both(x, t, condition) + 0.1

    one = cfg(autoguidance(both, weak, 1.7), 3.0, NULL)(x, 0.4, TOLD)
    other = autoguidance(cfg(both, 3.0, NULL), cfg(weak, 3.0, NULL), 1.7)(x, 0.4, TOLD)
    torch.testing.assert_close(one, other)


# ------------------------------------------------------------------------------------------------ classifier and energy

DATA = Correlated.of(6)
SLOPE = torch.linspace(-1, 2, 6, dtype=torch.float64)


def linear(x0: torch.Tensor) -> torch.Tensor:
    return (x0 * SLOPE.to(x0.dtype)).flatten(1).sum(1)


@every
def test_exact_classifier_gives_the_conditional_expectation(schedule) -> None:
    """log p(y | x_t) of a noisy sum of Gaussian data is known, and with it E[x_0 | x_t, y]."""
    x, ones = torch.linspace(-1, 1, 12, dtype=torch.float64).view(2, 6), torch.ones(6, dtype=torch.float64)
    y, noise_std = torch.tensor([0.4, -2.0], dtype=torch.float64), 0.3

    def log_prob(x, t):
        total = DATA.predict(schedule)(x, t).sum(1)
        var = ones @ DATA.posterior_cov(schedule, t) @ ones + noise_std**2
        return -0.5 * (y - total) ** 2 / var

    for ratio, tolerance in ((0.05, 1e-8), (1.0, 1e-8), (np.inf, 5e-3)):
        t = float(schedule.time(ratio))
        with torch.no_grad():
            got = classifier(DATA.predict(schedule), log_prob, schedule)(x, t)
        mean, cov = DATA.predict(schedule)(x, t), DATA.posterior_cov(schedule, t)
        exact = [Correlated(mean[k], cov).given(ones[None], y[k : k + 1], noise_std).mean for k in range(2)]
        torch.testing.assert_close(got, torch.stack(exact), rtol=0, atol=tolerance)
        twice = classifier(DATA.predict(schedule), log_prob, schedule, weight=2.0)(x, t)
        torch.testing.assert_close(twice - mean, 2 * (got - mean))


@every
def test_linear_energy_samples_the_tilted_gaussian(schedule) -> None:
    """N(mu, C) exp(-w a.x) is N(mu - w C a, C), and the guided plan ends there."""
    tilted = Correlated(DATA.mean - 0.5 * DATA.cov @ SLOPE, DATA.cov)
    guided = energy(DATA.predict(schedule), linear, schedule, weight=0.5)
    mean, cov = ends(guided, schedule, make_plan(schedule, "dpmpp_2m", 60, "log_snr"), (6,), tilted)
    torch.testing.assert_close(mean, tilted.mean, rtol=0, atol=1e-3)
    torch.testing.assert_close(cov, tilted.cov, rtol=0, atol=2e-3)


@every
@pytest.mark.parametrize("t", [0.3, np.array([0.2, 0.7])], ids=["one time", "a time each"])
def test_energy_in_closed_form(t, schedule) -> None:
    """A quadratic energy: m - w V (m - c) through the network, and m - w v_t (m - c) past it."""
    x = torch.linspace(-1, 1, 12, dtype=torch.float64).view(2, 6)
    mean = DATA.predict(schedule)(x, t)

    def quadratic(x0):
        return 0.5 * (x0 - 0.7).square().sum(1)

    each = np.broadcast_to(t, 2)
    covs = torch.stack([DATA.posterior_cov(schedule, float(time)) for time in each])
    shift = torch.einsum("bij,bj->bi", covs, mean - 0.7)
    with torch.no_grad():
        through = energy(DATA.predict(schedule), quadratic, schedule, 0.4)(x, t)
        past = energy(DATA.predict(schedule), quadratic, schedule, 0.4, through_network=False, sigma_data=0.5)(x, t)
    torch.testing.assert_close(through, mean - 0.4 * shift)
    white = Correlated(torch.zeros(6), 0.25 * torch.eye(6))
    variance = torch.tensor([float(white.posterior_cov(schedule, float(time))[0, 0]) for time in each])
    torch.testing.assert_close(past, mean - 0.4 * variance[:, None].double() * (mean - 0.7))
    clipped = energy(DATA.predict(schedule), quadratic, schedule, 0.4, clip=0.01)(x, t)
    size = (clipped - mean).square().mean(1).sqrt()
    torch.testing.assert_close(size, torch.full_like(size, 0.01))
    torch.testing.assert_close(
        clipped - mean, (through - mean) * (size / (through - mean).square().mean(1).sqrt())[:, None]
    )
    free = energy(DATA.predict(schedule), quadratic, schedule, 0.4, clip=1e3)(x, t)
    assert torch.equal(free, through)


@every
def test_energies_of_energies_differentiate_through_one_another(schedule) -> None:
    """A linear energy of a prediction pulled by a quadratic one: the outer gradient passes (1 - w V)."""
    x, t = torch.linspace(-1, 1, 12, dtype=torch.float64).view(2, 6), 0.3
    predict, cov = DATA.predict(schedule), DATA.posterior_cov(schedule, t)
    with torch.no_grad():
        inner = energy(predict, lambda x0: 0.5 * x0.square().sum(1), schedule, 0.4)
        got = energy(inner, linear, schedule, 0.3)(x, t)
    expected = inner(x, t) - 0.3 * cov @ (torch.eye(6) - 0.4 * cov) @ SLOPE
    torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-8)


def test_energy_of_posterior_and_cfg() -> None:
    """The tilt of what is left after a measurement, m' - w V' a; and of a guided network."""
    schedule, t = Cosine(), 0.4
    x = torch.linspace(-1, 1, 12, dtype=torch.float64).view(2, 6)
    measure = Projection(torch.ones(1, 6, dtype=torch.float64), (6,))
    y = torch.tensor([[0.3], [1.0]], dtype=torch.float64)
    with torch.no_grad():
        told = posterior(DATA.predict(schedule), measure, y, schedule, 0.2)
        got = energy(told, linear, schedule, 0.3)(x, t)
    belief = Correlated(torch.zeros(6), DATA.posterior_cov(schedule, t)).given(measure.matrix, torch.zeros(1), 0.2)
    torch.testing.assert_close(got, told(x, t) - 0.3 * belief.cov @ SLOPE, rtol=1e-7, atol=1e-7)

    predict, x = by_batch(), Noise([1, 2, 3]).normal(7)
    got = energy(cfg(predict, 3.0, NULL), lambda x0: x0.sum(1), EDM(), 0.3)(x, 0.4, TOLD)
    variance = 0.25 * 0.16 / (0.25 + 0.16)
    torch.testing.assert_close(got, cfg(predict, 3.0, NULL)(x, 0.4, TOLD) - 0.3 * variance)


# ------------------------------------------------------------------------------------------------- keep, tokens, leaves

P = torch.tensor([[0.32, 0.08], [0.05, 0.55]])  # two tokens that go together


def table_predict(x, t, condition=None):
    """Exact logits of two tokens of ``P`` under masked diffusion: [B, 2] with 2 the mask -> [B, 2, 2]."""
    a, b = x.unbind(1)
    of_a = torch.cat([P.T / P.sum(0)[:, None], P.sum(1)[None]])[b]
    of_b = torch.cat([P / P.sum(1)[:, None], P.sum(0)[None]])[a]
    return torch.stack([of_a, of_b], 1).log()


def test_kept_tokens_stay_and_revealed_ones_make_the_rest_exact() -> None:
    """The first token of each pair is known: the second follows its conditional if the first is shown, and is nearer
    to its marginal, by a total variation of 0.1 or more, where it only turns up in its time. 20 000 pairs."""
    n = 20_000
    known = torch.tensor([[0, -9]]).expand(n, 2)
    mask = torch.tensor([[True, False]])
    plan = transitions(tuple(np.linspace(1, 0, 17)))

    def second(reveal: bool) -> float:
        x = sample(keep(table_predict, mask, known, reveal), Masked(2), plan, (2,), range(n))
        assert torch.equal(x[:, 0], known[:, 0]) and int(x.max()) <= 1
        return float((x[:, 1] == 0).double().mean())

    assert second(True) == pytest.approx(0.8, abs=4 * (0.16 / n) ** 0.5)
    assert second(False) < 0.7


def test_keep_in_a_mixed_state() -> None:
    """Some numbers and some tokens known, one leaf free: the known come out as they were, bit for bit."""
    process = Product({"age": Gaussian(Cosine()), "job": Categorical(5), "seen": Masked(3), "free": Gaussian(Cosine())})
    shape = {"age": (4,), "job": (4,), "seen": (4,), "free": (2,)}
    numbers = make_plan(Cosine(), "ddpm", 6)
    tokens = {k: synchronised_transitions(numbers, process.leaves["age"], process.leaves[k]) for k in ("job", "seen")}
    plan = JointPlan({"age": numbers, **tokens, "free": numbers})

    def predict(x, t, condition=None):
        return {
            "age": x["age"] * 0.3, "free": x["free"] * 0.1,
            "job": torch.zeros(*x["job"].shape, 5), "seen": torch.zeros(*x["seen"].shape, 3),
        }  # fmt: skip

    mask = torch.tensor([[True, False, True, False], [False, True, True, True]])
    known = {
        "age": torch.where(mask, torch.tensor([[1.5, 0, 1e-3, 0], [0, 3e8, -2.5, 7]]), torch.nan),
        "job": torch.tensor([[4, -1, 0, -1], [-1, 2, 2, 3]]),
        "seen": torch.tensor([[2, -1, 0, -1], [-1, 1, 1, 2]]),
    }
    shown = []

    def watched(x, t, condition=None):
        shown.append(x)
        return predict(x, t, condition)

    end = sample(keep(watched, dict.fromkeys(known, mask), known, reveal=["seen"]), process, plan, shape, [1, 2])
    for leaf, value in known.items():
        assert torch.equal(end[leaf][mask], value[mask])
    assert torch.equal(shown[0]["seen"][mask], known["seen"][mask]) and (shown[0]["seen"][~mask] == 3).all()
    assert not torch.equal(shown[0]["job"][mask], known["job"][mask])
    free = sample(predict, process, plan, shape, [1, 2])
    assert torch.equal(end["free"], free["free"]) and torch.equal(end["age"][~mask], free["age"][~mask])


def test_a_guide_of_one_leaf() -> None:
    """Energy on a leaf that depends on another: the closed form there, the other as without; cfg the same."""
    schedule, x = EDM(), Noise([1, 2, 3]).normal(7)
    inner = by_batch()

    def joint(x, t, condition=None):
        a = inner(x["a"], t["a"], condition)
        return {"a": a + x["b"], "b": 2 * x["b"] + x["a"] + condition.vector}

    states, times = {"a": x, "b": x * 0.1}, {"a": 0.4, "b": 0.7}
    free = joint(states, times, TOLD)
    with torch.no_grad():
        guide = on_leaf(joint, "a", lambda p: energy(p, lambda x0: x0.sum(1), schedule, 0.3))
        got = guide(states, times, TOLD)
    torch.testing.assert_close(got["a"], free["a"] - 0.3 * 0.25 * 0.16 / 0.41)
    assert torch.equal(got["b"], free["b"]) and not got["b"].requires_grad
    got = on_leaf(joint, "a", lambda p: cfg(p, 3.0, NULL))(states, times, TOLD)
    assert torch.equal(got["a"], cfg(joint, 3.0, NULL)(states, times, TOLD)["a"]) and torch.equal(got["b"], free["b"])
