"""A process of one's own, and what every process refuses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diffx.checks.contract.extension import _sampler_problems as sampler_problems
from diffx.condition import Condition, Conditioning
from diffx.config import SampleConfig
from diffx.errors import PluginError
from diffx.guide import cfg, interval_between, keep
from diffx.likelihood import elbo, log_prob
from diffx.noise import Noise
from diffx.plan import GRIDS, SOLVERS, Plan, ddim, make_plan, synchronised_times, transitions
from diffx.process import SO3, Categorical, Gaussian, Geodesic, Masked, Memory, Noisy, Process, Product
from diffx.sampling import (
    Adaptive,
    PredictorCorrector,
    adaptive,
    invert,
    plan_for,
    predictor_corrector,
    sample,
)
from diffx.schedule import EDM, VE, Cosine, RectifiedFlow, Schedule
from diffx.train.objective import Objective

SCALE = 1000.0


@dataclass(frozen=True)
class Grams(Process):
    """A stranger's process: data are in kilograms, the state that is noised is in grams, with a tally of its steps."""

    inner: Gaussian = field(default_factory=lambda: Gaussian(EDM(), 0.5))
    schedule: Schedule = field(default_factory=EDM)
    sigma_data: float = 0.5

    def times(self, u: np.ndarray) -> np.ndarray:
        return self.inner.times(u)

    def prior(self, shape: tuple[int, ...], noise: Noise, t: float | None = None) -> dict[str, Tensor]:
        return {"grams": SCALE * self.inner.prior(shape, noise, t), "steps": torch.zeros(len(noise.seeds))}

    def corrupt(self, x0: Tensor, t: Any, noise: Noise) -> Noisy:
        noisy = self.inner.corrupt(x0, t, noise)
        return Noisy({"grams": SCALE * noisy.x, "steps": torch.zeros(len(x0))}, noisy.t, noisy.target, noisy.weight)

    def loss(self, prediction: Tensor, noisy: Noisy) -> Tensor:
        return self.inner.loss(prediction, noisy)

    def step(
        self, x: dict[str, Tensor], prediction: Tensor | None, row: Any, memory: Memory, noise: Noise, index: int
    ) -> dict[str, Tensor]:
        kilograms = self.inner.step(x["grams"] / SCALE, prediction, row, memory, noise, index)
        return {"grams": kilograms * SCALE, "steps": x["steps"] + 1}

    def plan(self, solver: Any, times: Any, eta: float | None = None) -> Plan:
        return ddim(self.schedule, times, eta or 0.0)

    def clean(self, state: dict[str, Tensor]) -> Tensor:
        assert state["steps"].min() > 0
        return state["grams"] / SCALE


def grams(x: Any, t: Any, condition: Any = None) -> Tensor:
    """x_0-hat in kilograms of N(2, 0.5^2)."""
    t = torch.as_tensor(np.array(t), dtype=torch.float32).reshape(-1, 1)
    return 2 + 0.25 / (0.25 + t**2) * (x["grams"] / SCALE - 2)


# ------------------------------------------------------------------------------------------------- a stranger's process


def test_a_strangers_process_samples_like_ours() -> None:
    plan = plan_for(Grams(), SampleConfig(steps=40, sampler="unipc"))
    assert plan == ddim(EDM(), GRIDS["karras"](EDM(), 40))
    x = sample(grams, Grams(), plan, (500,), [1, 2])
    ours = sample(lambda x, t, c=None: grams({"grams": x * SCALE}, t), Grams().inner, plan, (500,), [1, 2])
    torch.testing.assert_close(x, ours)
    assert x.mean() == pytest.approx(2, abs=0.05) and x.std() == pytest.approx(0.5, abs=0.05)


def test_a_strangers_process_is_trained_like_ours() -> None:
    x = 2 + 0.5 * Noise(range(400))["x"].normal(1)
    uniform = (torch.arange(400) + 0.5) / 400
    predict = Objective(lambda x, t, values, beside: grams(x, t), Conditioning({}), Grams())
    plain = Objective(lambda x, t, values, beside: grams({"grams": x * SCALE}, t), Conditioning({}), Grams().inner)
    torch.testing.assert_close(predict(x, {}, range(400), uniform), plain(x, {}, range(400), uniform))


@dataclass(frozen=True)
class Plain(Grams):
    """The same without a tally: a tensor, as a leaf of a mixed state is."""

    def prior(self, shape: tuple[int, ...], noise: Noise, t: float | None = None) -> Any:
        return SCALE * self.inner.prior(shape, noise, t)

    def step(self, x: Any, prediction: Any, row: Any, memory: Memory, noise: Noise, index: int) -> Any:
        return SCALE * self.inner.step(x / SCALE, prediction, row, memory, noise, index)

    def clean(self, state: Any) -> Any:
        return state / SCALE


@pytest.mark.parametrize("sampler", ["ddim", "heun", "unipc"])
def test_a_strangers_leaf_keeps_step_with_ours(sampler) -> None:
    """At every row both are at times of one variate, and both have the distribution of their data."""
    mixed = Product({"mass": Plain(), "length": Gaussian(Cosine(), 0.5)})
    assert mixed.lead == "length"  # the first whose plans come from the solver
    plan = plan_for(mixed, SampleConfig(steps=60, sampler=sampler))
    assert plan.plans["length"] == make_plan(mixed.leaves["length"], sampler, 60)
    moves = [row for row in plan.rows if row.leaves["length"].t != row.leaves["length"].s]
    for row in moves[1:]:
        wanted = synchronised_times([row.t["length"]], mixed.leaves["length"], mixed.leaves["mass"])[0]
        assert row.t["mass"] == pytest.approx(wanted, rel=1e-6)

    def predict(x, t, condition=None):
        alpha, sigma = float(Cosine().alpha(t["length"])), float(Cosine().sigma(t["length"]))
        length = alpha * 0.25 / (alpha**2 * 0.25 + sigma**2) * x["length"]
        return {"mass": grams({"grams": x["mass"]}, t["mass"]), "length": length}

    out = sample(predict, mixed, plan, {"mass": (2000,), "length": (2000,)}, [3])
    assert out["mass"].mean() == pytest.approx(2, abs=0.05) and out["mass"].std() == pytest.approx(0.5, abs=0.05)
    assert out["length"].std() == pytest.approx(0.5, abs=0.04)


def test_what_is_missing_is_named() -> None:
    class Half(Process):
        def times(self, u):
            return u

    with pytest.raises(TypeError, match=r"abstract methods.*plan"):
        Half()  # type: ignore[abstract]
    with pytest.raises(PluginError, match="a Strange process makes no plan"):
        plan_for(type("Strange", (), {})(), SampleConfig())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one leaf"):
        Product({})


# -------------------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0, None])
def test_eta_is_what_was_asked_for(eta) -> None:
    """0 is deterministic, none is the sampler's own; and so for every leaf that has one."""
    rows = plan_for(Gaussian(), SampleConfig(sampler="euler_ancestral", steps=6, eta=eta)).rows
    assert rows == SOLVERS["ddim"](EDM(), GRIDS["karras"](EDM(), 6), 1.0 if eta is None else eta).rows
    assert plan_for(Gaussian(), SampleConfig(steps=5, eta=0.0)) == make_plan(Gaussian(), "unipc", 5)
    leaves = {
        "x": Gaussian(RectifiedFlow()),
        "hidden": Masked(3),
        "wrong": Categorical(3),
        "turn": Geodesic(SO3(), VE(0.05, 2.0)),
    }
    plans = plan_for(Product(leaves), SampleConfig(sampler="ddim", steps=6, eta=eta)).plans
    asked = eta or 0.0
    assert [row.c for row in plans["hidden"].rows] == [asked] * 6
    assert [row.c for row in plans["wrong"].rows] == [0.0] * 6  # drawn from the exact posterior
    assert any(row.c for row in plans["turn"].rows) == any(row.c for row in plans["x"].rows) == bool(asked)
    assert plan_for(Masked(3), SampleConfig(steps=6, eta=eta)) == transitions(
        GRIDS["karras"](RectifiedFlow(), 6), asked
    )


def test_options_that_do_not_go_together_are_refused() -> None:
    mixed = Product({"x": Gaussian(), "k": Masked(3)})
    for process, options, words in (
        (Gaussian(), {"sampler": "unipc", "eta": 0.5}, "'unipc' has no eta; those that have: ddim"),
        (mixed, {"sampler": "unipc", "eta": 0.5}, "'unipc' has no eta; those that have: ddim"),
        (Gaussian(), {"sampler": "ddpm", "eta": 0.0}, "ddpm has no eta, and so not one of 0"),
        (Categorical(3), {"eta": 0.5}, "Categorical tokens are drawn from their exact posterior and have no eta"),
        (Masked(3), {"eta": 1.5}, "transitions have eta from 0 to 1"),
        (Gaussian(), {"sampler": "adaptive", "eta": 0.5}, "adaptive' is deterministic"),
        (Gaussian(), {"sampler": "unipc", "correct_steps": 1}, "correct ddim, ddpm or euler"),
        (mixed, {"sampler": "adaptive"}, "adaptive steps are made for one Gaussian state, not for that of a Product"),
        (Masked(3), {"correct_steps": 1}, "Langevin corrections are made for one Gaussian state"),
        (Gaussian(), {"sampler": "dpmpp"}, "unknown sampler 'dpmpp'"),
    ):
        table: Any = {**SOLVERS, "adaptive": Adaptive}
        with pytest.raises(ValueError, match=words):
            plan_for(process, SampleConfig(**options), table)


def exact(schedule: Schedule, std: float = 0.5) -> Any:
    def predict(x: Tensor, t: Any, condition: Any = None) -> Tensor:
        shape = (-1, *(1,) * (x.ndim - 1))
        alpha, sigma = (torch.as_tensor(np.array(f(t)), dtype=x.dtype) for f in (schedule.alpha, schedule.sigma))
        return (alpha * std**2 / (alpha**2 * std**2 + sigma**2)).reshape(shape) * x

    return predict


def test_samplers_without_a_plan_are_run_like_one() -> None:
    """Adaptive steps and corrections by option: the same samples as by their functions, and those of the data."""
    process, table = Gaussian(Cosine(), 0.5), {**SOLVERS, "adaptive": Adaptive}
    predict, seen = exact(Cosine()), []
    way = plan_for(process, SampleConfig(sampler="adaptive", tolerance=1e-4, stop=0.01), table)
    x = sample(predict, process, way, (2000,), [1], callback=lambda i, x, m: seen.append((x, m)))
    assert torch.equal(x, adaptive(predict, process, (2000,), [1], low=0.01, rtol=1e-4, atol=1e-4).x)
    assert x.std() == pytest.approx(0.5, abs=0.03)
    flow = plan_for(process, SampleConfig(steps=400, sampler="dpmpp_2m", stop=0.01))
    torch.testing.assert_close(x, sample(predict, process, flow, (2000,), [1]), rtol=0, atol=2e-3)
    last, prediction = seen[-1]  # the callback sees the state and its prediction, as with a plan
    torch.testing.assert_close(prediction, predict(last, Cosine().time(0.01)), rtol=0, atol=1e-5)
    way = plan_for(process, SampleConfig(sampler="ddim", steps=30, correct_steps=2, snr=0.1), table)
    assert isinstance(way, PredictorCorrector) and len(way) == 30 + 2 * 29
    corrected = sample(predict, process, way, (2000,), [1])
    plan = make_plan(process, "ddim", 30)
    assert torch.equal(corrected, predictor_corrector(predict, process, plan, (2000,), [1], corrections=2, snr=0.1))
    assert corrected.std() == pytest.approx(0.5, abs=0.03)


@dataclass(frozen=True)
class Late:
    """A sampler without a plan, which stops while there is noise."""

    @classmethod
    def from_options(cls, process: Process, options: SampleConfig) -> Late:
        return cls()

    def run(self, predict, process, shape, seeds, condition, start, device, callback) -> Tensor:
        return process.prior(shape, Noise(seeds), float(process.schedule.time(1.0)))


def test_a_sampler_without_a_plan_is_checked_like_a_solver() -> None:
    assert list(sampler_problems(Adaptive)) == []
    (first, *_) = sampler_problems(Late)
    assert first.startswith("on EDM, 100 steps: of data with mean 0 and deviation 0.5 it draws")


def test_the_interval_of_guidance_is_between_two_noise_levels() -> None:
    assert interval_between([], Gaussian()) is None
    assert interval_between([0.2, 2.0], Gaussian(EDM())) == (0.2, 2.0)
    low, high = interval_between([0.2, 2.0], Gaussian(Cosine()))  # type: ignore[misc]
    assert (Cosine().ratio(low), Cosine().ratio(high)) == pytest.approx((0.2, 2.0))
    leaves = {"k": Masked(3), "x": Gaussian(EDM())}
    both: Any = interval_between([0.2, 2.0], Product(leaves))
    assert both["x"] == (0.2, 2.0)
    assert both["k"] == synchronised_times((0.2, 2.0), leaves["x"], leaves["k"])
    for wrong in ([1.0], [2.0, 0.2], [0.2, 1.0, 2.0]):
        with pytest.raises(ValueError, match="two numbers that rise"):
            interval_between(wrong, Gaussian())


# -------------------------------------------------------------------------------------------------- other batch sizes


def test_a_start_of_another_batch_is_refused() -> None:
    """One seed and four starts gave four samples with one noise."""
    process, plan, start = Gaussian(EDM(), 0.5), make_plan(Gaussian(EDM(), 0.5), "ddpm", 4), torch.randn(4, 3)
    predict = exact(EDM())
    for seeds in ([0], [0, 1], range(5)):
        for run in (
            lambda seeds=seeds: sample(predict, process, plan, (3,), seeds, start=start),
            lambda seeds=seeds: adaptive(predict, process, (3,), seeds, start=start),
            lambda seeds=seeds: predictor_corrector(predict, process, plan, (3,), seeds, start=start),
        ):
            with pytest.raises(ValueError, match=rf"the start has 4 samples, and there are {len(seeds)} seeds"):
                run()
    with pytest.raises(ValueError, match=r"samples of shape \(3,\), not \(5,\)"):
        sample(predict, process, plan, (5,), range(4), start=start)
    mixed = Product({"a": process, "b": Gaussian(EDM(), 0.5)})
    states = {"a": torch.zeros(2, 1), "b": torch.zeros(3, 1)}
    with pytest.raises(ValueError, match="the start has 3 samples, and there are 2 seeds"):
        sample(predict, mixed, make_plan(mixed, "ddim", 3), {"a": (1,), "b": (1,)}, [0, 1], start=states)


def test_conditions_masks_and_known_values_of_another_batch_are_refused() -> None:
    process, plan, predict = Gaussian(EDM(), 0.5), make_plan(Gaussian(EDM(), 0.5), "ddim", 4), exact(EDM())
    four = torch.zeros(4, 3)
    for name, condition in (
        ("vector", Condition(vector=four)),
        ("tokens", Condition(tokens=torch.zeros(4, 2, 5))),
        ("spatial", Condition(spatial=torch.zeros(4, 1, 3))),
    ):
        with pytest.raises(ValueError, match=rf"Condition.{name} has 4 samples, and there are 1 seeds"):
            sample(predict, process, plan, (3,), [0], condition)
        with pytest.raises(ValueError, match=rf"Condition.{name} has 4 samples, and there are 2 seeds"):
            adaptive(predict, process, (3,), [0, 1], condition)
    guides = (
        keep(predict, torch.ones(4, 3, dtype=torch.bool), torch.zeros(3)),
        keep(predict, torch.tensor([True, False, True]), four),
        cfg(predict, 2.0, Condition()),
        lambda x, t, c=None: predict(x, t) + four,  # such as a measurement of four samples
    )
    for number, guide in enumerate(guides):
        if number == 2:
            assert sample(guide, process, plan, (3,), [0]).shape == (1, 3)
            continue
        with pytest.raises(ValueError, match="the prediction has 4 samples, and there are 1 seeds"):
            sample(guide, process, plan, (3,), [0])
        with pytest.raises(ValueError, match=r"shape \[4, 3\] where one of \[1, 3\] belongs"):
            adaptive(guide, process, (3,), [0])
        with pytest.raises(ValueError, match=r"shape \[4, 3\] where one of \[1, 3\] belongs"):
            invert(guide, process, plan, torch.zeros(1, 3))
        with pytest.raises(ValueError, match="the prediction has 4 samples"):
            predictor_corrector(guide, process, plan, (3,), [0])
    wide = keep(predict, torch.tensor(True), torch.zeros(1, 3))  # of the batch, and of another shape
    with pytest.raises(ValueError, match=r"shape \[1, 3\] where one of \[1, 1\] belongs"):
        sample(wide, process, plan, (1,), [0])


@pytest.mark.parametrize("process", [Gaussian(EDM(), 0.5), Masked(3), Categorical(3), Geodesic(SO3(), VE(0.05, 2.0))])
def test_noise_of_another_batch_is_refused(process) -> None:
    x = torch.eye(3).expand(4, 3, 3) if isinstance(process, Geodesic) else torch.zeros(4, 2, dtype=torch.int64)
    x = x.float() if isinstance(process, Gaussian) else x
    with pytest.raises(ValueError, match="has 4 samples, and there are 1 seeds"):
        process.corrupt(x, 0.5, Noise([0]))
    assert len(process.corrupt(x, 0.5, Noise(range(4))).x) == 4


def test_likelihoods_of_another_batch_are_refused() -> None:
    process, x = Gaussian(EDM(), 0.5), torch.zeros(4, 1, 2)
    for of in (elbo, log_prob):
        with pytest.raises(ValueError, match="x has 4 samples, and there are 1 seeds"):
            of(exact(EDM()), process, x, seeds=[0])
