"""What a batch costs: weights of the noise levels against their papers, learned weights, mixed states."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import toy_training as toy
from torch import Tensor, nn

from diffx import defaults
from diffx.condition import Condition, Conditioning, Spatial
from diffx.config import RunConfig, SampleConfig, schema
from diffx.errors import PluginError
from diffx.io import checkpoint
from diffx.nets.model import Model
from diffx.noise import Noise
from diffx.plan import geodesic_random_walk, make_plan, transitions
from diffx.plan.grids import GRIDS
from diffx.predict import PARAMETRISATIONS, Denoiser
from diffx.predict.selfcondition import SelfConditionedDenoiser
from diffx.process import SO3, WEIGHTS, Gaussian, Geodesic, Product, edm_weight, min_snr_weight, sigmoid_weight
from diffx.process.synchronised import clock
from diffx.sampling import plan_for, sample
from diffx.schedule import EDM, SCHEDULES, VE, Cosine, Linear, RectifiedFlow, lognormal
from diffx.train.objective import Objective, collate, validate
from diffx.train.uncertainty import Uncertainty


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# ------------------------------------------------------------------------------------------------ weights of the levels


@pytest.mark.parametrize("schedule", [Cosine(), Linear()])
@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_is_the_papers_loss_whatever_is_predicted(schedule, gamma) -> None:
    """Hang et al. 2023, sec. 3.4: min(SNR, g) on x_0, min(SNR, g) / SNR on eps, min(SNR, g) / (SNR + 1) on v."""
    process = Gaussian(schedule, 1.0, weight=min_snr_weight(1.0, gamma))
    t = np.linspace(0.02, 0.97, 40)
    x0 = Noise(range(40))["x0"].normal(50)
    noisy = process.corrupt(x0, t, Noise(range(40)))
    alpha, sigma = (torch.as_tensor(f(t)).float()[:, None] for f in (schedule.alpha, schedule.sigma))
    eps = (noisy.x - alpha * x0) / sigma
    wrong = Noise(range(40))["wrong"].normal(50)
    snr = (alpha / sigma)[:, 0] ** 2
    capped = snr.clamp_max(gamma)
    v, v_hat = alpha * eps - sigma * x0, alpha * eps - sigma * x0 + wrong
    for from_hat, paper in (
        (x0 + wrong, capped * wrong.square().mean(1)),
        ((noisy.x - sigma * (eps + wrong)) / alpha, capped / snr * wrong.square().mean(1)),
        (alpha * noisy.x - sigma * v_hat, capped / (snr + 1) * (v_hat - v).square().mean(1)),
    ):
        torch.testing.assert_close(process.loss(from_hat, noisy), paper, rtol=2e-3, atol=1e-6)
    assert bool((snr < gamma).any()) and bool((snr > gamma).any())


def test_sigmoid_is_kingma_and_gaos_weight_of_eps() -> None:
    """w(lambda) = sigmoid(b - lambda) on eps (2023, sec. 3.1), b = log gamma; where SNR is far from gamma, min-SNR."""
    schedule, t = Cosine(), np.linspace(0.01, 0.99, 99)
    log_snr = 2 * np.log(schedule.alpha(t) / schedule.sigma(t))
    for bias in (-2.0, 0.0, math.log(5)):
        of_eps = sigmoid_weight(1.0, math.exp(bias))(schedule, t) * (schedule.sigma(t) / schedule.alpha(t)) ** 2
        np.testing.assert_allclose(of_eps, 1 / (1 + np.exp(log_snr - bias)), rtol=1e-9)
    soft, hard = sigmoid_weight(1.0)(schedule, t), min_snr_weight(1.0)(schedule, t)
    far = np.abs(log_snr - math.log(5)) > 5
    assert far.sum() > 10
    np.testing.assert_allclose(soft[far], hard[far], rtol=0.01)


@pytest.mark.parametrize("name", WEIGHTS)
def test_data_of_another_scale_are_weighed_alike(name) -> None:
    """Data and noise twice as large: the squared error is four times as large, the loss the same."""
    sigma = np.array([0.01, 0.3, 1.0, 4.0, 60.0])
    one, two = (WEIGHTS[name](scale, 5.0)(EDM(), sigma * scale) for scale in (1.0, 2.0))
    np.testing.assert_allclose(two, one / 4, rtol=1e-12)


def test_weights_where_nothing_of_the_data_is_left() -> None:
    end = np.array([1.0])
    for schedule in (Cosine(), RectifiedFlow()):
        assert float(edm_weight(0.5)(schedule, end)[0]) == pytest.approx(4.0)
        assert float(min_snr_weight(0.5)(schedule, end)[0]) == pytest.approx(0.0, abs=1e-12)
        assert float(sigmoid_weight(0.5)(schedule, end)[0]) == pytest.approx(0.0, abs=1e-12)


# ----------------------------------------------------------------------------------------------------- learned weights


class Silent(nn.Module):
    """Says nothing, whatever it learns."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor, level: Tensor, condition=None) -> Tensor:
        return 0 * self.scale * x


class White:
    """Normal numbers of standard deviation ``std``, 50 an item."""

    def __init__(self, std: float, n: int = 512):
        self.x = Noise(range(n))["white"].normal(50) * std

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"x": self.x[index]}


def test_learned_weights_converge_to_the_logarithm_of_the_loss_at_each_level(tmp_path) -> None:
    """A silent network that believes in unit variance: x_0-hat = x / (1 + s^2), so that data of standard deviation d
    cost (s^2 + 1) / s^2 (s^4 d^2 + s^2) / (1 + s^2)^2 = (s^2 d^2 + 1) / (1 + s^2), from 1 to d^2."""
    d, levels = 0.1, lognormal(0.0, 1.5)
    process = Gaussian(EDM(), 1.0, levels)
    model = Model(Denoiser(Silent(), "edm", process.schedule, 1.0), Conditioning({}))
    toy.train(
        tmp_path, model=model, process=process, data=White(d), steps=250, batch=16, lr=2e-2, uncertainty=True,
        log_every=100,
    )  # fmt: skip
    learned = Uncertainty()
    saved = checkpoint.load(tmp_path / "last.safetensors")[0]
    learned.load_state_dict(checkpoint.under(saved, "uncertainty"))
    v = torch.linspace(0.03, 0.97, 33)
    s2 = levels(process.schedule, v.double().numpy()) ** 2
    truth = np.log((s2 * d**2 + 1) / (1 + s2))
    assert truth.max() - truth.min() > 4
    np.testing.assert_allclose(learned(v).detach().numpy(), truth, atol=0.12)


def test_learned_weights_start_as_no_weights_and_pull_as_they_say() -> None:
    loss, v = torch.tensor([2.0, 0.5], requires_grad=True), torch.tensor([0.2, 0.7])
    learned = Uncertainty()
    torch.testing.assert_close(learned.weigh(loss, v), loss)
    learned.weight.data[0] = math.log(2.0) / learned.gain  # the first feature is the constant
    weighed = learned.weigh(loss, v)
    torch.testing.assert_close(weighed, loss / 2 + math.log(2.0))
    weighed.sum().backward()
    torch.testing.assert_close(loss.grad, torch.full((2,), 0.5))


# -------------------------------------------------------------------------------------------------------- the objective


def test_validation_weighs_no_levels_and_sees_maps_at_their_fixed_noise(tmp_path) -> None:
    """Twice the same value, for any order of calls; augmentation is off while validating."""
    model, process = toy.make_mixed()
    model.train()
    first = validate(model, process, toy.Rich(9), 4, seed=3, device=torch.device("cpu"))
    assert model.training and validate(model, process, toy.Rich(9), 2, 3, torch.device("cpu")) == pytest.approx(first)
    seen = []
    field: Spatial = model.conditioning.fields["level"]  # type: ignore[assignment]
    field.register_forward_hook(lambda module, args, out: seen.append(args[0][:, 1]))
    validate(model, process, toy.Rich(9), 4, seed=3, device=torch.device("cpu"))
    shares = torch.cat([s.flatten() for s in seen])
    assert torch.equal(shares[~shares.isnan()], torch.zeros(9))


def test_a_loss_depends_on_its_own_sample_alone() -> None:
    model, process = toy.make_mixed()
    items = [toy.Rich()[k] for k in (0, 7, 4)]
    objective = Objective(model.train(), model.conditioning, process, cond_dropout=0.5)
    uniform = torch.tensor([0.2, 0.5, 0.8])
    together = objective(*collate(model.conditioning, items), [11, 12, 13], uniform)
    for k, item in enumerate(items):
        alone = objective(*collate(model.conditioning, [item]), [11 + k], uniform[k : k + 1])
        torch.testing.assert_close(alone, together[k : k + 1])
    assert len(set(together.tolist())) == 3


def test_each_sample_has_noise_of_its_own_in_its_map() -> None:
    model, process = toy.make_mixed()
    shares = []
    model.conditioning.fields["level"].register_forward_hook(
        lambda _, args, out: shares.append(args[0][:, 1].flatten())
    )
    objective = Objective(model.train(), model.conditioning, process)
    objective(*collate(model.conditioning, [toy.Rich()[0]] * 4), [1, 2, 3, 4], torch.full((4,), 0.5))
    assert len(set(shares[0].tolist())) == 4


# --------------------------------------------------------------------------------------------------- self-conditioning


class Estimating(nn.Module):
    """Its output, and a record of the estimates that it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.shown = nn.Conv1d(2, 1, 1), []

    def forward(self, x: Tensor, level: Tensor, condition=None) -> Tensor:
        self.shown.append(condition.spatial.detach().clone())
        return self.mix(torch.cat([x, condition.spatial], dim=1))


def self_conditioned() -> tuple[Model, Gaussian]:
    process = Gaussian(EDM(), 2.0, lognormal(0.0, 1.0), self_condition=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Model(SelfConditionedDenoiser(Estimating(), "edm", process.schedule, 2.0), Conditioning({})), process


def test_half_of_the_samples_are_trained_with_a_first_estimate() -> None:
    """The others with none; their own seeds say which. The first estimate is a constant, made without one."""
    model, process = self_conditioned()
    n = 400
    x = Noise(range(n))["x"].normal(1, 3)
    uniform = (torch.arange(n) + 0.5) / n
    objective = Objective(model, model.conditioning, process)
    loss = objective(x, {}, range(n), uniform)
    first, second = model.denoiser.net.shown
    assert not first.any()
    chosen = second.flatten(1).any(1)
    assert abs(float(chosen.float().mean()) - 0.5) < 5 * 0.5 / math.sqrt(n)
    noisy = process.corrupt(x, process.times(uniform.double().numpy()), Noise(range(n)))
    blank = model.denoiser(noisy.x, noisy.t, Condition(estimate=torch.zeros_like(x))).detach()
    torch.testing.assert_close(second[chosen], blank[chosen] / 2.0)
    told = model.denoiser(noisy.x, noisy.t, Condition(estimate=blank * chosen[:, None, None]))
    torch.testing.assert_close(loss, process.loss(told, noisy))
    gradient = torch.autograd.grad(loss.sum(), model.denoiser.net.mix.weight)[0]
    torch.testing.assert_close(
        gradient, torch.autograd.grad(process.loss(told, noisy).sum(), model.denoiser.net.mix.weight)[0]
    )
    model.denoiser.net.shown.clear()
    torch.testing.assert_close(objective(x[7:9], {}, [7, 8], uniform[7:9]), loss[7:9])


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "heun"])
def test_sampling_shows_each_step_the_estimate_of_the_one_before(sampler) -> None:
    model, process = self_conditioned()
    plan = plan_for(process, SampleConfig(steps=4, sampler=sampler))
    predictions: list[Tensor] = []
    state = sample(model.denoiser, process, plan, (1, 3), range(5), callback=lambda i, x, m: predictions.append(m))
    shown = model.denoiser.net.shown
    assert len(shown) == len(plan) and not shown[0].any()
    for before, now in zip(predictions, shown[1:], strict=False):
        torch.testing.assert_close(now, before / 2.0)
    inner: list[Tensor] = iter(predictions)  # type: ignore[assignment]
    replayed = sample(lambda x, t, c: next(inner), replace(process, self_condition=False), plan, (1, 3), range(5))
    assert torch.equal(state, replayed)


def test_states_keep_their_kinds() -> None:
    model, _ = toy.make_mixed()
    states, _ = collate(model.conditioning, [toy.Rich()[k] for k in range(3)])
    assert states["number"].dtype == torch.float32 and states["kind"].dtype == torch.int64
    assert states["kind"].tolist() == [[0], [1], [0]]
    states, _ = collate(Conditioning({}), [{"x": np.array([[1, 2]], dtype=np.uint8)}, {"x": np.array([[3, 4]])}])
    assert states.dtype == torch.int64


# --------------------------------------------------------------------------------------------------------- mixed states

SHARES, CENTRES, WIDTH = (0.5, 0.3, 0.2), (-1.5, 0.0, 1.5), 0.2


class Rows:
    """A category and a number around the category's centre."""

    def __init__(self, n: int = 4096):
        self.u, self.z = Noise([0])["u"].uniform(n)[0], Noise([0])["z"].normal(n)[0]

    def __len__(self) -> int:
        return len(self.u)

    def __getitem__(self, index: int) -> dict[str, dict[str, Tensor]]:
        kind = int((self.u[index] > torch.tensor(SHARES).cumsum(0)).sum())
        number = CENTRES[kind] + WIDTH * self.z[index]
        return {"x": {"number": number.view(1), "kind": torch.tensor([kind])}}


def test_a_mixed_state_is_learned_and_sampled_as_it_is_distributed(tmp_path) -> None:
    """Category, and number given category: 250 steps, shares to 0.05, centres to 0.1; plan and clock are the core's."""
    model, process = toy.make_mixed(kinds=3, told=False, width=64)
    toy.train(tmp_path, model=model, process=process, data=Rows(), steps=250, batch=48, lr=2e-2, log_every=100)
    checkpoint.load_into(model, checkpoint.under(checkpoint.load(tmp_path / "weights.safetensors")[0], "model"), "w")
    plan = plan_for(process, SampleConfig(steps=30))
    drawn = sample(model.eval().denoiser, process, plan, {"number": (1,), "kind": (1,)}, range(2000))
    kind, number = drawn["kind"][:, 0], drawn["number"][:, 0]
    kinds = torch.cat([Rows()[i]["x"]["kind"] for i in range(4096)])
    for k, centre in enumerate(CENTRES):
        share = float((kinds == k).float().mean())
        assert float((kind == k).float().mean()) == pytest.approx(share, abs=0.05)
        assert float(number[kind == k].mean()) == pytest.approx(centre, abs=0.1)
        assert float(number[kind == k].std()) < 0.45  # one centre each, not a mixture


def test_the_cores_plans_keep_all_leaves_in_step() -> None:
    """Two numbers on different schedules, tokens and a rotation: every row at the times of one uniform variate."""
    _, process = toy.make_mixed()
    numbers = {"number": process.leaves["number"], "other": Gaussian(Cosine(), noise_distribution=lognormal(0.2, 1.0))}
    turn = Geodesic(SO3(), VE(0.05, 2.0))
    whole = Product({**numbers, "kind": process.leaves["kind"], "turn": turn})
    options = SampleConfig(steps=6)
    joint = plan_for(whole, options)
    assert joint.plans["number"] == plan_for(numbers["number"], options)
    assert joint.plans["number"] == make_plan(EDM(), "unipc", 6, sigma_data=1.3)
    for row in joint.rows[1:]:  # the first lies above any training time, where all are at their last
        u = clock(whole.leaves["number"], [row.t["number"]])
        for name, leaf in whole.leaves.items():
            assert row.t[name] == pytest.approx(float(leaf.times(u)[0]), rel=1e-6)
    assert {name: plan.rows[-1].s for name, plan in joint.plans.items()} == dict.fromkeys(whole.leaves, 0.0)
    assert len(plan_for(process, SampleConfig(steps=6, sampler="heun")).rows) == 11
    steps = plan_for(whole, SampleConfig(steps=6, sampler="ddim")).plans["turn"].rows
    for sampler in ("unipc", "heun"):  # with rows that correct a number, during which a rotation waits
        turned = plan_for(whole, SampleConfig(steps=6, sampler=sampler)).plans["turn"].rows
        assert [(row.t, row.s, row.b) for row in turned if row.s != row.t] == [(row.t, row.s, row.b) for row in steps]
        assert all((row.b, row.c) == ((), 0.0) for row in turned if row.s == row.t)
    tokens = plan_for(process.leaves["kind"], SampleConfig(steps=6, grid="uniform", eta=0.5))
    assert tokens == transitions(GRIDS["uniform"](RectifiedFlow(), 6), 0.5)
    walked = plan_for(turn, SampleConfig(steps=6, grid="uniform", eta=1.0))
    assert walked == geodesic_random_walk(turn.schedule, GRIDS["uniform"](turn.schedule, 6), 1.0)
    with pytest.raises(PluginError, match="a Strange process makes no plan"):
        plan_for(type("Strange", (), {})(), options)


def test_every_name_is_in_the_help() -> None:
    """The options may not import what they name; so this compares them."""
    options = schema(RunConfig).options
    assert set(options["sample.grid"].choices or ()) == set(GRIDS)
    assert set(options["process.weight"].choices or ()) == set(WEIGHTS)
    assert set(options["process.predict"].choices or ()) == set(PARAMETRISATIONS)
    for key, names in (
        ("sample.sampler", defaults.diffx_samplers()),
        ("process.schedule", SCHEDULES),
        ("net.name", defaults.diffx_networks()),
    ):
        said = options[key].help.partition(": ")[2].partition(" or ")[0].replace(" ", "").split(",")
        assert set(said) == set(names), key
