"""Likelihoods against densities and tables that are known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from gaussians import Correlated

from diffx.condition import Condition
from diffx.likelihood import bits_per_dim, elbo, log_prob
from diffx.likelihood.flow import exact_trace
from diffx.noise import Noise
from diffx.plan import make_plan
from diffx.process import Categorical, Gaussian, Masked, Product
from diffx.schedule import EDM, Cosine, Linear, RectifiedFlow
from oracles import SCHEDULES, TWO_MODES, Mixture, name_of

every = pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)
# where the prior is, or is as good as, N(0, 1), so that the density of the model is that of the data
CENTRED = [Cosine(), RectifiedFlow(), EDM(sigma_max=1e5)]
centred = pytest.mark.parametrize("schedule", CENTRED, ids=name_of)
DATA = Correlated.of(6)


def density(mixture: Mixture, x: torch.Tensor) -> torch.Tensor:
    w, mu, s = (torch.from_numpy(v) for v in (mixture.w, mixture.mu, mixture.s))
    return (w * torch.distributions.Normal(mu, s).log_prob(x.double()).exp()).sum(0).log()


def mixture_predict(mixture: Mixture, schedule):
    """The denoiser of a mixture, differentiable; t a float or [B]."""
    w, mu, s = (torch.from_numpy(v)[..., None] for v in (mixture.w, mixture.mu, mixture.s))

    def predict(x, t, condition=None):
        alpha, sigma = (torch.as_tensor(np.array(f(t))).view(-1, 1) for f in (schedule.alpha, schedule.sigma))
        var, off = alpha**2 * s**2 + sigma**2, x.double() - alpha * mu
        share = (w.log() - 0.5 * var.log() - 0.5 * off**2 / var).softmax(0)
        return (share * (mu + alpha * s**2 / var * off)).sum(0).to(x.dtype)

    return predict


# ----------------------------------------------------------------------------------------------- probability-flow ODE


@centred
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_prob_of_correlated_gaussians(dtype, schedule) -> None:
    """To 1e-3 nats a sample, all six elements together, in single precision too."""
    x = DATA.draw(32).view(32, 2, 3)
    got = log_prob(DATA.predict(schedule), Gaussian(schedule, 0.6), x.to(dtype), trace="exact")
    assert got.dtype == torch.float64
    torch.testing.assert_close(got, DATA.log_prob(x), rtol=0, atol=1e-3)


def test_log_prob_of_a_mean_far_from_0_and_unequal_scales() -> None:
    """The scale of the coordinate is not that of the data, which have 0.1 in one direction and 2 in the other: it
    costs steps, not correctness."""
    data = Correlated(torch.tensor([3.0, -0.1]), torch.diag(torch.tensor([0.01, 4.0])))
    x = data.draw(32)
    for sigma_data in (0.2, 1.0, 2.0):
        process = Gaussian(Cosine(), sigma_data)
        got = log_prob(data.predict(Cosine()), process, x, steps=80, trace="exact", sigma_min=1e-4)
        torch.testing.assert_close(got, data.log_prob(x), rtol=0, atol=3e-3)


@centred
def test_the_density_of_two_modes_integrates_to_one(schedule) -> None:
    x = torch.linspace(-3, 3, 601, dtype=torch.float64)[:, None]
    got = log_prob(mixture_predict(TWO_MODES, schedule), Gaussian(schedule, 0.9), x, trace="exact")
    assert float(got.exp().sum() * 0.01) == pytest.approx(1, abs=1e-3)
    torch.testing.assert_close(got, density(TWO_MODES, x[:, 0]), rtol=5e-4, atol=2e-3)


def test_known_bias_of_a_prior_with_signal_left_in_it() -> None:
    """EDM stops at sigma = 80, and Linear at 150: samples are those of a model whose prior is centred, and their
    density differs from that of the data by |z mu| / 80 nats; sampling errs by as much."""
    x = DATA.draw(32)
    worst = {}
    for schedule in (EDM(), Linear()):
        got = log_prob(DATA.predict(schedule), Gaussian(schedule, 0.6), x, trace="exact", steps=40)
        worst[name_of(schedule)] = float((got - DATA.log_prob(x)).abs().max())
    assert 0.01 < worst["EDM"] < 0.05 and 0.005 < worst["Linear"] < worst["EDM"]


def test_known_bias_of_reading_at_sigma_min() -> None:
    """(u^2 - 1) (sigma_min / r)^2 / 2 nats a direction, u deviations from the mean."""
    data = Correlated(torch.zeros(1), torch.tensor([[0.25]]))
    u = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
    process = Gaussian(Cosine(), 0.5)
    got = log_prob(data.predict(Cosine()), process, 0.5 * u, trace="exact", steps=40, sigma_min=0.05)
    bias = (got - data.log_prob(0.5 * u)).numpy()
    assert bias == pytest.approx((u[:, 0].numpy() ** 2 - 1) * 0.005, rel=0.03, abs=1e-4)


def test_order_of_the_integration_is_four() -> None:
    x, process = DATA.draw(8), Gaussian(Cosine(), 0.6)
    exact, *rest = (log_prob(DATA.predict(Cosine()), process, x, trace="exact", steps=n) for n in (120, 15, 30))
    coarse, fine = (float((value - exact).abs().max()) for value in rest)
    assert math.log2(coarse / fine) == pytest.approx(4, abs=0.6)


def test_hutchinson_is_unbiased_and_keyed() -> None:
    """Over 400 seeds the mean is within four standard errors of the exact trace's; more probes spread it less; and a
    sample has its value whatever batch it comes in."""
    x, process = DATA.draw(1).float().expand(400, 6), Gaussian(Cosine(), 0.6)
    exact = log_prob(DATA.predict(Cosine()), process, x[:1], trace="exact", steps=6)
    spreads = []
    for probes in (1, 4):
        got = log_prob(DATA.predict(Cosine()), process, x, steps=6, probes=probes, seeds=range(400))
        assert abs(float(got.mean() - exact)) < 4 * float(got.std()) / 20
        spreads.append(float(got.std()))
        some = log_prob(DATA.predict(Cosine()), process, x[:2], steps=6, probes=probes, seeds=[7, 3])
        torch.testing.assert_close(some, got[[7, 3]], rtol=0, atol=1e-5)
    assert spreads[0] / spreads[1] == pytest.approx(2, rel=0.15)
    assert spreads[0] < 1  # one set of signs for the whole path spreads by 1.9


def test_exact_trace_does_its_rows_in_any_number_of_batches(monkeypatch) -> None:
    matrix = Noise([3]).normal(6, 6)[0]
    x = Noise([1, 2]).normal(2, 3).requires_grad_()
    value = (x.flatten(1) @ matrix.T + x.flatten(1).square()).view(2, 2, 3)
    expected = (matrix.trace() + 2 * x.flatten(1).sum(1)).double()
    for elements in (1, 30, 2**24):
        monkeypatch.setattr("diffx.likelihood.flow._AT_ONCE", elements)
        torch.testing.assert_close(exact_trace(value, x), expected.detach(), rtol=1e-5, atol=1e-5)


def test_log_prob_of_conditions() -> None:
    """Each sample by its own condition: N(condition, 0.5^2)."""
    schedule, mean = RectifiedFlow(), torch.tensor([[0.0], [1.0], [-2.0]])

    def predict(x, t, condition=None):
        alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
        gain = alpha * 0.25 / (alpha**2 * 0.25 + sigma**2)
        return condition.vector + gain * (x - alpha * condition.vector)

    x = torch.zeros(3, 1)
    got = log_prob(predict, Gaussian(schedule), x, trace="exact", steps=40, condition=Condition(vector=mean))
    expected = torch.distributions.Normal(mean, 0.5).log_prob(x)[:, 0].double()
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-3)


def test_bad_arguments_are_named() -> None:
    predict, process, x = DATA.predict(Cosine()), Gaussian(Cosine()), DATA.draw(1)
    for options, words in (
        ({"trace": "all"}, "known: exact, hutchinson"),
        ({"steps": 0}, "at least 1"),
        ({"probes": 0}, "at least 1"),
        ({"sigma_min": 0.0}, "sigma_min"),
    ):
        with pytest.raises(ValueError, match=words):
            log_prob(predict, process, x, **options)
    with pytest.raises(ValueError, match="at least one level"):
        elbo(predict, process, x, levels=0)
    for other, levels in ((Masked(2), [1.0, 0.5, 0.0]), (object(), 4)):
        with pytest.raises(ValueError, match=f"no bound here for {type(other).__name__} with levels"):
            elbo(predict, other, torch.zeros(1, 2, dtype=torch.int64), levels=levels)


def test_bits_per_dim() -> None:
    """Uniform noise over 256 values needs 8 bits, over [-1, 1] or over [0, 1]; a Gaussian what its entropy says."""
    assert float(bits_per_dim(torch.tensor(-12 * math.log(2.0)), 12)) == pytest.approx(8)
    assert float(bits_per_dim(torch.tensor(0.0), 12, low=0.0)) == pytest.approx(8)
    entropy = 0.5 * math.log(2 * math.pi * math.e * 0.1**2)
    bits = float(bits_per_dim(torch.tensor(-5 * entropy), 5, bins=2000, low=-1.0))
    edges = torch.linspace(-1, 1, 2001, dtype=torch.float64)
    p = torch.distributions.Normal(0.0, 0.1).cdf(edges).diff()
    assert bits == pytest.approx(float(torch.special.entr(p).sum()) / math.log(2), abs=1e-3)


# ------------------------------------------------------------------------------------------------- evidence lower bound


def expected_gap(schedule, times) -> float:
    """What ancestral sampling on a grid loses on average, in nats, by quadrature: each step's mean squared error is
    that at its start, not the mean over the step; and the data are read past what the last state says of them."""

    def mmse(snr):
        return (DATA.eigenvalues.numpy() / (1 + np.multiply.outer(snr, DATA.eigenvalues.numpy()))).sum(-1)

    snr = [float(schedule.ratio(t)) ** -2 for t in times if t > 0]
    gap = 0.0
    for low, high in itertools.pairwise(snr):
        fine = np.geomspace(low, high, 2001)
        gap += (high - low) / 2 * mmse(low) - np.trapezoid(mmse(fine), fine) / 2
    return gap


@centred
def test_elbo_is_tight_for_the_exact_denoiser(schedule) -> None:
    """The mean over seeds is log p(x) of that x, within four standard errors: the bound of continuous time has no gap
    but for the prior's and sigma_min's, here below 1e-3."""
    x = DATA.draw(4).float().repeat_interleave(100, 0)
    got = elbo(DATA.predict(schedule), Gaussian(schedule, 0.6), x, seeds=range(400)) - DATA.log_prob(x)
    mean, error = got.view(4, 100).mean(1), got.view(4, 100).std(1) / 10
    assert float(error.max()) < 0.11
    assert bool((mean.abs() < 4 * error).all())
    assert abs(float(got.mean())) < 3 * float(got.std()) / 20


@pytest.mark.parametrize("schedule", [RectifiedFlow(), EDM(sigma_max=2.0)], ids=name_of)
def test_elbo_of_the_wiener_filter_is_free_of_noise(schedule) -> None:
    """A network that is the control variate leaves only the closed form: exactly log N(x; 0, 0.6^2), up to sigma_min
    and rounding; whatever the number of levels, and however much signal the prior has."""
    data = Correlated(torch.zeros(3), 0.36 * torch.eye(3))
    x = 2 * data.draw(5)
    for levels in (1, 7):
        got = elbo(data.predict(schedule), Gaussian(schedule, 0.6), x, levels=levels)
        torch.testing.assert_close(got, data.log_prob(x), rtol=0, atol=2e-3)


def test_elbo_of_a_wrong_network_is_lower_by_the_divergence() -> None:
    """A denoiser of N(0.5, 0.5^2) is a model of that density, so data of N(0, 0.3^2) cost KL more than they must."""
    model, data = (Correlated(torch.full((1,), m), torch.full((1, 1), s**2)) for m, s in ((0.5, 0.5), (0.0, 0.3)))
    x = data.draw(2000)
    got = elbo(model.predict(Cosine()), Gaussian(Cosine(), 0.4), x, levels=16, seeds=range(2000))
    difference = got - data.log_prob(x)
    kl = math.log(0.5 / 0.3) + (0.3**2 + 0.5**2) / (2 * 0.5**2) - 0.5
    own = model.log_prob(x) - data.log_prob(x)
    assert float((difference - own).mean()) == pytest.approx(0, abs=4 * float((difference - own).std()) / 2000**0.5)
    assert float(difference.mean()) == pytest.approx(-kl, abs=4 * float(difference.std()) / 2000**0.5)


@pytest.mark.parametrize("schedule", [Cosine(), EDM()], ids=name_of)
@pytest.mark.parametrize("steps", [10, 40])
def test_elbo_in_discrete_time_has_the_gap_of_its_grid(steps, schedule) -> None:
    """Ho et al.'s bound for the ancestral sampler, against quadrature of the exact error: 34 and 8.9 nats at 10 and 40
    steps evenly spaced in log-SNR."""
    times = [*(row.t for row in make_plan(schedule, "ddpm", steps, "log_snr").rows), 0.0]
    x = DATA.draw(1000)
    got = elbo(DATA.predict(schedule), Gaussian(schedule, 0.6), x, levels=times, seeds=range(1000)) - DATA.log_prob(x)
    assert float(got.mean()) == pytest.approx(-expected_gap(schedule, times), abs=4 * float(got.std()) / 1000**0.5)
    assert float(got.mean()) < -5


PAIRS = torch.tensor([[0.32, 0.08], [0.05, 0.55]])


def masked_predict(x, t, condition=None):
    """Exact logits of two tokens of ``PAIRS``, 2 is the mask: [B, 2] -> [B, 2, 2]."""
    a, b = x.unbind(1)
    of_a = torch.cat([PAIRS.T / PAIRS.sum(0)[:, None], PAIRS.sum(1)[None]])[b]
    of_b = torch.cat([PAIRS / PAIRS.sum(1)[:, None], PAIRS.sum(0)[None]])[a]
    return torch.stack([of_a, of_b], 1).log()


def categorical_predict(process: Categorical):
    """The same under uniform noise: the posterior over the four clean pairs, marginalised."""

    def predict(x, t, condition=None):
        alpha = torch.as_tensor(np.array(process.schedule.alpha(t))).view(-1, 1, 1)
        seen = torch.nn.functional.one_hot(x, 2) * alpha + (1 - alpha) / 2  # q(x_t | x_0), [B, 2, 2] by x_0
        joint = PAIRS.double() * seen[:, 0, :, None] * seen[:, 1, None, :]
        joint = joint / joint.sum((1, 2), keepdim=True)
        return torch.stack([joint.sum(2), joint.sum(1)], 1).log()

    return predict


@pytest.mark.parametrize(
    "process", [Masked(2, RectifiedFlow()), Categorical(2, Cosine())], ids=["masked", "categorical"]
)
def test_discrete_elbo_of_exact_predictions_is_the_log_probability(process) -> None:
    predict = masked_predict if isinstance(process, Masked) else categorical_predict(process)
    x = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]).repeat_interleave(1000, 0)
    got = elbo(predict, process, x, levels=64, seeds=range(4000)).view(4, 1000)
    error = got.std(1) / 1000**0.5
    assert float(error.max()) < 0.03
    assert bool(((got.mean(1) - PAIRS.double().log().view(4)).abs() < 4 * error).all())


def test_discrete_elbo_of_a_worse_network_is_lower() -> None:
    """Tokens taken to be independent: their model's log-probability, for all its bound."""

    def independent(x, t, condition=None):
        return torch.stack([PAIRS.sum(1), PAIRS.sum(0)]).log().expand(len(x), 2, 2)

    x = torch.tensor([[0, 0], [1, 1]]).repeat_interleave(300, 0)
    got = elbo(independent, Masked(2), x, levels=16, seeds=range(600)).view(2, 300)
    expected = torch.tensor([0.40 * 0.37, 0.60 * 0.63], dtype=torch.float64).log()
    assert bool(((got.mean(1) - expected).abs() < 4 * got.std(1) / 300**0.5).all())


def test_elbo_of_a_mixed_state_is_that_of_its_density() -> None:
    """A number whose mean depends on a token: log p(token) + log N(number; mean of the token, 0.4^2), by a network that
    knows the exact conditionals of each given the noisy other. The leaves' times differ, and belong together."""
    process = Product({"number": Gaussian(Cosine(), 0.8), "token": Masked(2, RectifiedFlow())})
    means, p = torch.tensor([-0.5, 1.0], dtype=torch.float64), torch.tensor([0.3, 0.7], dtype=torch.float64)

    def predict(x, t, condition=None):
        u = t["token"]  # the clock, of which training times of the number are a function
        np.testing.assert_allclose(process.times(u)["number"][(u > 0) & (u < 1)], t["number"][(u > 0) & (u < 1)])
        alpha, sigma = (torch.as_tensor(np.array(f(t["number"]))).view(-1, 1) for f in (Cosine().alpha, Cosine().sigma))
        var = alpha**2 * 0.16 + sigma**2
        off = x["number"].double() - alpha * means
        shown = torch.cat([torch.eye(2), torch.ones(1, 2)]).double()[x["token"][:, 0]]
        logits = p.log() + shown.log() - 0.5 * off**2 / var
        mean = means + alpha * 0.16 / var * off
        return {
            "number": (logits.softmax(1) * mean).sum(1, keepdim=True),
            "token": (p.log() - 0.5 * off**2 / var)[:, None],
        }

    each = {"number": torch.tensor([[-0.4], [0.2], [0.2], [1.5]]), "token": torch.tensor([[0], [0], [1], [1]])}
    x = {name: leaf.repeat_interleave(250, 0) for name, leaf in each.items()}
    got = elbo(predict, process, x, levels=16, seeds=range(1000)).view(4, 250)
    token = each["token"][:, 0]
    number = torch.distributions.Normal(means[token], 0.4).log_prob(each["number"][:, 0].double())
    expected, error = p[token].log() + number, got.std(1) / 250**0.5
    assert float(error.max()) < 0.07
    assert bool(((got.mean(1) - expected).abs() < 4 * error).all())


def test_elbo_is_keyed_by_sample() -> None:
    process, x = Gaussian(Cosine(), 0.6), DATA.draw(5)
    whole = elbo(DATA.predict(Cosine()), process, x, levels=4, seeds=[14, 9, 21, 13, 8])
    part = elbo(DATA.predict(Cosine()), process, x[[3, 1]], levels=4, seeds=[13, 9])
    torch.testing.assert_close(part, whole[[3, 1]], rtol=0, atol=1e-9)
    assert float((elbo(DATA.predict(Cosine()), process, x, levels=4) - whole).abs().min()) > 1e-3
