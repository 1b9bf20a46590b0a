"""Parametrisations against the networks that are right by definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from diffx.noise import Noise
from diffx.predict import (
    PARAMETRISATIONS,
    Affine,
    Denoiser,
    JointDenoiser,
    SelfConditionedDenoiser,
    Tangent,
    TokenDenoiser,
    Tokens,
    denoiser_for,
)
from diffx.process import SO3, Categorical, Gaussian, Geodesic, Masked, Product
from diffx.schedule import EDM, VE, Cosine, Linear, RectifiedFlow, Schedule, Shifted, Sigmoid, ZeroTerminal
from oracles import EVERY_SCHEDULE, SCHEDULES, name_of

every = pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)
kinds = pytest.mark.parametrize("kind", PARAMETRISATIONS)
SIGMA_DATA = 0.6


def right_output(kind: str, schedule: Schedule, x0: np.ndarray, eps: np.ndarray, t: np.ndarray) -> np.ndarray:
    """What the paper of each parametrisation defines its network to output."""
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    d_alpha, d_sigma = schedule.rates(t)
    if kind == "eps":
        return eps + 0 * t
    if kind == "x0":
        return x0 + 0 * t
    if kind == "v":
        return alpha * eps - sigma * x0
    if kind == "flow":
        return d_alpha * x0 + d_sigma * eps
    # Karras et al. 2022: D(y) = c_skip y + c_out F, for y = x_0 + s eps
    s = sigma / alpha
    c_skip = SIGMA_DATA**2 / (s**2 + SIGMA_DATA**2)
    c_out = s * SIGMA_DATA / np.sqrt(s**2 + SIGMA_DATA**2)
    return (x0 - c_skip * (x0 + s * eps)) / c_out


class Answers(nn.Module):
    """A network that has been told what to say, and remembers what it was asked."""

    def __init__(self, answer: Tensor):
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor, level: Tensor, condition=None) -> Tensor:
        self.asked = (x, level, condition)
        return self.answer


def draw() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return SIGMA_DATA * rng.standard_normal((5, 3, 4)), rng.standard_normal((5, 3, 4))


@every
@kinds
def test_coefficients_recover_x0_in_float64(kind, schedule) -> None:
    x0, eps = draw()
    for t in np.array([0.001, 0.2, 0.5, 0.99]) * schedule.t_max:
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        skip, out = PARAMETRISATIONS[kind](alpha, sigma, schedule.rates(t), SIGMA_DATA)
        got = skip * (alpha * x0 + sigma * eps) + out * right_output(kind, schedule, x0, eps, t)
        np.testing.assert_allclose(got, x0, atol=1e-11)


@every
@kinds
@pytest.mark.parametrize("scalar", [True, False])
def test_the_right_output_gives_x0(kind, scalar, schedule) -> None:
    if kind == "eps" and schedule.alpha(schedule.t_max) == 0:
        return  # refused, below
    x0, eps = draw()
    times = np.array([0.03, 0.2, 0.5, 0.7, 0.93]) * (1 if schedule.t_max == 1 else 5)
    for t in times if scalar else [times]:
        column = np.asarray(t).reshape(-1, 1, 1)
        x = torch.from_numpy(schedule.alpha(column) * x0 + schedule.sigma(column) * eps)
        net = Answers(torch.from_numpy(right_output(kind, schedule, x0, eps, column)).float())
        prediction = Denoiser(net, kind, schedule, SIGMA_DATA)(x.float(), float(t) if scalar else t)
        worst = float(np.max(schedule.ratio(times)))  # eps divides its rounding by alpha
        np.testing.assert_allclose(prediction.numpy(), x0, atol=1e-6 * max(5, worst * 5))


@pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow()], ids=name_of)
@pytest.mark.parametrize("kind", [k for k in PARAMETRISATIONS if k != "eps"])
def test_zero_terminal_snr(kind, schedule) -> None:
    """At t = 1 the state is noise alone, and x_0 comes from the network alone."""
    x0, eps = draw()
    d_alpha, d_sigma = schedule.rates(1.0)
    answer = {"x0": x0, "v": -x0, "flow": d_alpha * x0 + d_sigma * eps, "edm": x0 / SIGMA_DATA}[kind]
    for t in (1.0, np.ones(5)):
        net = Answers(torch.from_numpy(answer).float())
        prediction = Denoiser(net, kind, schedule, SIGMA_DATA)(torch.from_numpy(eps).float(), t)
        np.testing.assert_allclose(prediction.numpy(), x0, atol=1e-6)
        torch.testing.assert_close(net.asked[1], torch.full((5,), 5.0))


def test_eps_is_refused_where_it_says_nothing_about_x0() -> None:
    for schedule in (Cosine(), RectifiedFlow()):
        with pytest.raises(ValueError, match="zero terminal SNR"):
            Denoiser(nn.Identity(), "eps", schedule)
    for schedule in (Linear(), EDM()):
        Denoiser(nn.Identity(), "eps", schedule)
    with pytest.raises(ValueError, match="unknown prediction 'epsilon'"):
        Denoiser(nn.Identity(), "epsilon", Linear())


@every
def test_the_network_sees_unit_variance_and_the_level(schedule) -> None:
    t = np.repeat(np.array([0.1, 0.5, 0.9]) * schedule.t_max, 2)
    process, noise = Gaussian(schedule, SIGMA_DATA), Noise(range(6))
    x0 = SIGMA_DATA * noise["data"].normal(20_000)
    net = Answers(torch.zeros(6, 20_000))
    condition = object()
    Denoiser(net, "edm", schedule, SIGMA_DATA)(process.corrupt(x0, t, noise).x, t, condition)
    x, level, told = net.asked
    torch.testing.assert_close(x.std(1), torch.ones(6), rtol=0, atol=0.02)
    np.testing.assert_allclose(level.numpy(), np.log(schedule.ratio(t)) / 4, rtol=1e-6)
    assert told is condition


@every
@kinds
def test_training_loss_of_the_right_output_is_zero_and_of_a_wrong_one_known(kind, schedule) -> None:
    """corrupt -> predict -> loss as training does it; with EDM's weight an error d in the EDM output costs d^2."""
    if kind == "eps" and schedule.alpha(schedule.t_max) == 0:
        return
    noise = Noise(range(5))
    x0 = torch.from_numpy(draw()[0]).float()
    process = Gaussian(schedule, SIGMA_DATA)
    t = process.times(np.linspace(0.1, 0.9, 5))
    noisy = process.corrupt(x0, t, noise)
    eps = noise["corrupt"].normal(3, 4).double().numpy()
    answer = right_output(kind, schedule, x0.double().numpy(), eps, t.reshape(-1, 1, 1))
    predict = Denoiser(Answers(torch.from_numpy(answer).float()), kind, schedule, SIGMA_DATA)
    assert process.loss(predict(noisy.x, t), noisy).shape == (5,)
    assert process.loss(predict(noisy.x, t), noisy).max() < 1e-9
    if kind == "edm":
        predict.net.answer = predict.net.answer + 0.3
        torch.testing.assert_close(process.loss(predict(noisy.x, t), noisy), torch.full((5,), 0.09), rtol=1e-3, atol=0)


class Halves(nn.Module):
    """A network with a matrix product, which autocast lowers."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor, level: Tensor, condition=None) -> Tensor:
        out = self.linear(x)
        self.ran_in = out.dtype
        return out


@kinds
def test_the_prediction_is_fp32_though_the_network_ran_in_bf16(kind) -> None:
    net = Halves()
    predict = Denoiser(net, kind, EDM(), autocast=torch.bfloat16)
    x = Noise([1, 2]).normal(4)
    prediction = predict(x, 0.5)
    assert net.ran_in == torch.bfloat16 and prediction.dtype == torch.float32
    # what bf16 costs stays in the network's share: the skip is applied in fp32
    skip, out = (float(c) for c in PARAMETRISATIONS[kind](np.float64(1), np.float64(0.5), (0.0, 1.0), 1.0))
    with torch.autocast("cpu", torch.bfloat16):
        raw = net(x / np.float32(np.sqrt(1.25)), torch.zeros(2))
    torch.testing.assert_close(prediction, x * skip + raw.float() * out, rtol=0, atol=1e-6)
    predict.autocast = None
    predict(x, 0.5)
    assert net.ran_in == torch.float32


@every
def test_with_a_spread_a_silent_network_gives_each_element_its_wiener_estimate(schedule) -> None:
    """E[x_0 | x] of independent Gaussians of different widths; one of width 0 is known to be 0."""
    element_sigma_data = torch.tensor([[2.0, 0.7], [0.05, 0.0]])
    x = torch.randn(4, 2, 2, generator=torch.Generator().manual_seed(1))
    denoiser = Denoiser(Answers(torch.zeros(4, 2, 2)), "edm", schedule, element_sigma_data=element_sigma_data)
    times = np.array([0.02, 0.3, 0.6, 0.95]) * schedule.t_max
    together = denoiser(x, times)
    for row, t in enumerate(times):
        alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
        wiener = alpha * element_sigma_data**2 / (sigma**2 + (alpha * element_sigma_data) ** 2)
        torch.testing.assert_close(together[row], wiener * x[row], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(denoiser(x[row : row + 1], float(t))[0], together[row], rtol=1e-5, atol=1e-6)
    # the network sees every element at unit variance
    asked = denoiser.net.asked[0]
    alpha, sigma = float(schedule.alpha(times[-1])), float(schedule.sigma(times[-1]))
    torch.testing.assert_close(
        asked[0], x[3] / (sigma**2 + (alpha * element_sigma_data) ** 2).sqrt(), rtol=1e-5, atol=1e-6
    )
    assert "element_sigma_data" in denoiser.state_dict()


# --------------------------------------------------------------------------------------------------------- mixed states


def joint(
    net: nn.Module, element_sigma_data: Tensor | None = None, autocast: torch.dtype | None = None
) -> JointDenoiser:
    preconditioners = {
        "x": Affine("edm", EDM(), SIGMA_DATA, element_sigma_data),
        "a": Tokens(Masked(3)),
        "c": Tokens(Categorical(4, Cosine())),
        "r": Tangent(lambda t: 1 / np.asarray(t)),
    }
    return JointDenoiser(net, preconditioners, autocast)


@pytest.mark.parametrize("scalar", [True, False])
def test_each_leaf_of_a_mixed_state_is_preconditioned_as_if_alone(scalar) -> None:
    noise = Noise(range(5))
    x = {
        "x": noise["x"].normal(3, 4),
        "a": torch.randint(4, (5, 6), generator=torch.Generator().manual_seed(1)),
        "c": torch.randint(4, (5, 2, 3), generator=torch.Generator().manual_seed(2)),
        "r": noise["r"].normal(3, 3),
    }
    times = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    t = dict.fromkeys(x, 0.3 if scalar else times) | {"x": 2.0 if scalar else 5 * times}
    raw = {"x": noise["xo"].normal(3, 4), "a": noise["ao"].normal(6, 3), "c": noise["co"].normal(2, 3, 4)}
    raw["r"] = noise["ro"].normal(3)  # a rotation matrix moves by a vector
    net = Answers(raw)
    told = object()
    got = joint(net)(x, t, told)
    seen, level, condition = net.asked
    assert condition is told and list(got) == list(x)
    alone = {name: Answers(raw[name]) for name in x}
    assert torch.equal(got["x"], Denoiser(alone["x"], "edm", EDM(), SIGMA_DATA)(x["x"], t["x"]))
    assert torch.equal(got["a"], raw["a"])
    assert torch.equal(got["c"], TokenDenoiser(alone["c"], Categorical(4, Cosine()))(x["c"], t["c"]))
    assert torch.equal(got["c"], Categorical(4, Cosine()).with_evidence(raw["c"], x["c"], t["c"]))
    factor = torch.as_tensor(1 / np.broadcast_to(t["r"], 5)).float().view(5, 1)
    torch.testing.assert_close(got["r"], raw["r"] * factor)
    assert torch.equal(seen["x"], alone["x"].asked[0]) and torch.equal(level["x"], alone["x"].asked[1])
    assert all(seen[name] is x[name] for name in "acr")
    for name, alpha in (("a", 1 - np.broadcast_to(t["a"], 5)), ("c", Cosine().alpha(np.broadcast_to(t["c"], 5)))):
        np.testing.assert_allclose(level[name], np.log((1 - alpha) / alpha) / 4, rtol=1e-5)
    np.testing.assert_allclose(level["r"], np.log(np.broadcast_to(t["r"], 5)) / 4, rtol=1e-6)


def test_levels_stay_bounded_at_both_ends_of_time() -> None:
    net = Answers(
        {"x": torch.zeros(2, 1), "a": torch.zeros(2, 1, 3), "c": torch.zeros(2, 1, 4), "r": torch.zeros(2, 1)}
    )
    x = {"x": torch.zeros(2, 1), "r": torch.zeros(2, 1)} | dict.fromkeys("ac", torch.zeros(2, 1, dtype=torch.int64))
    for t, end in ((1.0, 5.0), (np.zeros(2), -5.0), (np.ones(2), 5.0)):
        tiny = np.maximum(t, 1e-20)
        out = joint(net)(x, {"x": 1e10 * tiny, "a": t, "c": t, "r": 1e10 * tiny})
        assert all(torch.equal(level, torch.full((2,), end)) for level in net.asked[1].values())
        assert out["c"].isfinite().all()


class JointHalves(nn.Module):
    """A network of all leaves with a matrix product, which autocast lowers."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.embed, self.linear = nn.Embedding(4, 4), nn.Linear(4, 4)

    def forward(self, x, level, condition=None):
        hidden = self.linear(x["x"] + self.embed(x["a"]).sum(1) + self.embed(x["c"]).sum(1) + x["r"])
        self.ran_in = hidden.dtype
        shared = hidden[:, None].expand(-1, 2, -1)
        return {"x": hidden, "a": shared[..., :3], "c": shared, "r": hidden}


def test_a_joint_prediction_is_fp32_though_the_network_ran_in_bf16() -> None:
    model = joint(JointHalves(), element_sigma_data=torch.ones(4))
    tokens = torch.tensor([[0, 1], [2, 3]])
    x = {"x": Noise([1, 2]).normal(4), "a": tokens, "c": tokens, "r": Noise([3, 4]).normal(4)}
    exact = model(x, dict.fromkeys(x, 0.5))
    model.autocast = torch.bfloat16  # as training sets it
    low = model(x, dict.fromkeys(x, 0.5))
    assert model.net.ran_in == torch.bfloat16 and {m.dtype for m in low.values()} == {torch.float32}
    for name, m in exact.items():
        assert 0 < float((m - low[name]).detach().abs().max()) < 0.05
    assert "preconditioners.x.element_sigma_data" in model.state_dict()
    assert set(Denoiser(nn.Linear(1, 1), "edm", EDM(), element_sigma_data=torch.ones(1)).state_dict()) == {
        "element_sigma_data", "net.weight", "net.bias",
    }  # fmt: skip


class Lines(nn.Module):
    """For each token a line from the number to the number, and one from the number to the logit of a hidden token."""

    def __init__(self) -> None:
        super().__init__()
        self.lines, self.logit = nn.Parameter(torch.zeros(3, 2)), nn.Parameter(torch.zeros(2))

    def forward(self, x, level, condition=None):
        slope, bias = self.lines[x["a"]].unbind(-1)
        logit = self.logit[0] * x["x"] + self.logit[1]
        return {"x": slope * x["x"] + bias, "a": torch.stack([torch.zeros_like(logit), logit], -1)}


def test_a_trained_joint_denoiser_knows_what_depends_on_what() -> None:
    """a = 0 or 1 decides the mean of x ~ N(+-1, 0.4^2). The best network has Bayes' logit, 2 alpha x / var(x_t | a) in
    the noisy number, and with the token on view the regression of a single Gaussian."""
    t, std = {"x": 0.45, "a": 0.5}, 0.4
    process = Product({"x": Gaussian(RectifiedFlow(), 1.1), "a": Masked(2)})
    model = JointDenoiser(Lines(), {"x": Affine("v", RectifiedFlow(), 1.1), "a": Tokens(process.leaves["a"])})
    noise = Noise(range(20))
    a = (noise["token"].uniform(400) * 2).long()
    noisy = process.corrupt({"x": 2.0 * a - 1 + std * noise["number"].normal(400), "a": a}, t, noise)
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=25, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = process.loss(model(noisy.x, t), noisy).mean()
        value.backward()
        return value

    optimiser.step(loss)
    alpha, sigma = 0.55, 0.45
    var = (alpha * std) ** 2 + sigma**2
    x = torch.linspace(-1, 1, 5).view(5, 1)
    with torch.no_grad():
        hidden = model({"x": x, "a": torch.full((5, 1), 2)}, t)["a"]
        torch.testing.assert_close(hidden[..., 1] - hidden[..., 0], 2 * alpha * x / var, rtol=0.08, atol=0.12)
        for token, mean in ((0, -1.0), (1, 1.0)):
            got = model({"x": x, "a": torch.full((5, 1), token)}, t)["x"]
            wiener = mean + alpha * std**2 / var * (x - alpha * mean)
            torch.testing.assert_close(got, wiener, rtol=0, atol=0.05)


# ----------------------------------------------------------------------------------------------- the ends of a schedule

INFINITE = [Sigmoid(), Shifted(Sigmoid()), Shifted(Sigmoid(), 0.5)]  # their path ends in a square root


@pytest.mark.parametrize("schedule", [*EVERY_SCHEDULE, Shifted(ZeroTerminal()), *INFINITE[1:]], ids=repr)
@kinds
def test_an_output_determines_x0_where_sampling_starts_or_is_refused(kind, schedule) -> None:
    """flow on a path of infinite speed gave 0 whatever the network said, and eps at zero SNR is no better."""
    zero = float(schedule.alpha(schedule.t_max)) == 0
    bad = {"eps": zero, "flow": any(schedule == other for other in INFINITE)}.get(kind, False)
    if bad:
        why = "zero terminal SNR" if kind == "eps" else f"t = {schedule.t_max:g}.*infinitely fast"
        with pytest.raises(ValueError, match=f"{kind} does not determine x_0 at {why}"):
            Denoiser(nn.Identity(), kind, schedule, SIGMA_DATA)
        return
    said = torch.tensor([[1.0], [-2.0]])
    x = torch.zeros(2, 1)
    model = Denoiser(Answers(said), kind, schedule, SIGMA_DATA)
    at_prior = model(x, schedule.t_max)
    assert at_prior.isfinite().all() and float((at_prior[0] - at_prior[1]).abs()) > 0  # what the network says counts


@pytest.mark.parametrize("schedule", [*EVERY_SCHEDULE, Shifted(ZeroTerminal()), *INFINITE[1:]], ids=repr)
@kinds
def test_at_time_0_the_state_is_the_answer(kind, schedule) -> None:
    """Where there is no noise left, at which some paths start infinitely fast; x0 alone asks the network."""
    if schedule.ratio(0.0) > 0 or kind == "x0":
        return
    try:
        model = Denoiser(Answers(torch.tensor([[3.0], [7.0]])), kind, schedule, SIGMA_DATA)
    except ValueError:
        return
    x = torch.tensor([[1.5], [-0.5]])
    for t in (0.0, np.zeros(2)):
        torch.testing.assert_close(model(x, t), x, rtol=1e-6, atol=1e-6)
    each = Denoiser(
        Answers(torch.tensor([[3.0], [7.0]])), kind, schedule, element_sigma_data=torch.tensor([SIGMA_DATA])
    )
    torch.testing.assert_close(each(x, np.zeros(2)), x, rtol=1e-6, atol=1e-6)


# ------------------------------------------------------------------------------------------------ what fits a process


def test_a_plain_network_is_wrapped_as_its_process_needs() -> None:
    """Tokens were once wrapped as if they were numbers."""
    net = Answers(torch.zeros(1))
    numbers = denoiser_for(net, Gaussian(Cosine(), 0.4), "v")
    assert type(numbers) is Denoiser and (numbers.kind, numbers.sigma_data) == ("v", 0.4)
    assert type(denoiser_for(net, Gaussian(self_condition=True))) is SelfConditionedDenoiser
    x, logits = torch.tensor([[0, 2]]), torch.tensor([[[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]])
    tokens = denoiser_for(Answers(logits), Categorical(3))
    assert torch.equal(tokens(x, 0.5), TokenDenoiser(Answers(logits), Categorical(3))(x, 0.5))
    for process in (Product({"x": Gaussian()}), Geodesic(SO3(), VE())):
        with pytest.raises(TypeError, match=f"does not predict for a {type(process).__name__} process"):
            denoiser_for(net, process)
    with pytest.raises(ValueError, match="zero terminal SNR"):
        denoiser_for(net, Gaussian(Cosine()), "eps")
