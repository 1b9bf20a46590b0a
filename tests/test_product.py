"""Mixed states against a table whose every conditional is known: two categories that decide the mean of a number."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.special import ndtr

from diffx.noise import Noise
from diffx.plan import (
    SOLVERS,
    JointPlan,
    Plan,
    Row,
    ddim,
    dpmpp,
    make_plan,
    repaint,
    synchronised_times,
    synchronised_transitions,
    transitions,
)
from diffx.process import Categorical, Gaussian, Masked, Product
from diffx.process.synchronised import clock
from diffx.sampling import sample
from diffx.schedule import EDM, Cosine, RectifiedFlow, lognormal, uniform_time
from oracles import SCHEDULES, name_of

P = np.array([[0.30, 0.05], [0.05, 0.20], [0.15, 0.25]])  # of the category a and the switch c
MEAN = np.array([[-2.0, -1.0], [0.0, 0.5], [1.5, 3.0]])  # of the number x, given both
STD = 0.3

FLOW = Product(
    {
        "x": Gaussian(RectifiedFlow(), 1.7, uniform_time),
        "a": Masked(3),
        "c": Categorical(2, Cosine(), stationary=(1, 2)),
    }
)
EDM_LEAD = Product({"x": Gaussian(EDM(), 1.7, lognormal(0.0, 1.6)), "a": Masked(3, Cosine()), "c": Categorical(2)})


def exact(process: Product):
    """E[x_0 | all], log p(a | all), log p(c | all), by enumeration of the six combinations."""
    leaves = process.leaves
    pi = np.array(leaves["c"].stationary)

    def predict(x, t, condition=None):
        alpha, sigma = leaves["x"].schedule.alpha(t["x"]), leaves["x"].schedule.sigma(t["x"])
        kept, same = leaves["a"].schedule.alpha(t["a"]), leaves["c"].schedule.alpha(t["c"])
        number, a, c = (x[name].double().numpy()[..., None, None] for name in "xac")
        var = (alpha * STD) ** 2 + sigma**2
        off = number - alpha * MEAN
        log_w = np.log(P) - off**2 / (2 * var)
        like_a = np.where(a == 3, 1 - kept, kept * (a == np.arange(3)[:, None]))
        like_c = same * (c == np.arange(2)) + (1 - same) * pi[c.astype(int)]
        with np.errstate(divide="ignore"):
            w = np.exp(log_w - log_w.max((-1, -2), keepdims=True)) * like_a * like_c
            w /= w.sum((-1, -2), keepdims=True)
            out = {
                "x": (w * (MEAN + alpha * STD**2 / var * off)).sum((-1, -2)),
                "a": np.log(w.sum(-1)),
                "c": np.log(w.sum(-2)),
            }
        return {name: torch.from_numpy(value).float() for name, value in out.items()}

    return predict


def together(process: Product, lead: Plan) -> JointPlan:
    """The number's plan, and tokens in step with it."""
    x = process.leaves["x"]
    return JointPlan({"x": lead} | {name: synchronised_transitions(lead, x, process.leaves[name]) for name in "ac"})


CASES = {
    "flow heun": (FLOW, make_plan(RectifiedFlow(), "heun", 30, "uniform")),
    "flow dpmpp_2m": (FLOW, make_plan(RectifiedFlow(), "dpmpp_2m", 60, "uniform")),
    "flow ddpm": (FLOW, make_plan(RectifiedFlow(), "ddpm", 60, "uniform")),
    "edm heun": (EDM_LEAD, make_plan(EDM(), "heun", 40, "log_snr")),
    "edm dpmpp_2m": (EDM_LEAD, make_plan(EDM(), "dpmpp_2m", 80, "log_snr")),
}


@pytest.mark.parametrize("name", CASES)
def test_numbers_and_categories_come_out_together(name) -> None:
    """The table within 0.02 in total variation, and mean and deviation of the number in each of its six cells."""
    process, lead = CASES[name]
    n = 20_000
    end = sample(exact(process), process, together(process, lead), dict.fromkeys("xac", (n // 2,)), [1, 2])
    assert end["x"].dtype == torch.float32 and end["a"].dtype == end["c"].dtype == torch.int64
    x, a, c = (end[leaf].flatten().numpy() for leaf in "xac")
    share = np.bincount(a * 2 + c, minlength=6).reshape(3, 2) / n
    assert 0.5 * np.abs(share - P).sum() < 0.02
    for i, j in itertools.product(range(3), range(2)):
        cell = x[(a == i) & (c == j)]
        error = STD / np.sqrt(len(cell))
        assert cell.mean() == pytest.approx(MEAN[i, j], abs=4 * error + 0.03)
        assert cell.std() == pytest.approx(STD, abs=3 * error + 0.03)


@pytest.mark.parametrize("name", CASES)
def test_a_mixed_sample_is_bit_equal_in_any_batch_and_through_json(name) -> None:
    process, lead = CASES[name]
    plan, shape, seeds = together(process, lead), {"x": (5,), "a": (5,), "c": (5,)}, [4, 0, 2**60]
    again = JointPlan.from_json(plan.to_json())
    assert again == plan and again.depth == plan.depth and str(again) == str(plan)
    whole = sample(exact(process), process, plan, shape, seeds)
    for index in ([0], [2, 1], [1, 1, 0]):
        part = sample(exact(process), process, again, shape, [seeds[i] for i in index])
        assert all(torch.equal(part[leaf], whole[leaf][index]) for leaf in "xac")


def test_tokens_stand_still_in_the_second_stage_of_heun() -> None:
    process, lead = CASES["flow heun"]
    plan, states = together(process, lead), []
    start = process.prior(dict.fromkeys("xac", (500,)), Noise([7]))
    sample(exact(process), process, plan, dict.fromkeys("xac", (500,)), [7], callback=lambda i, x, m: states.append(x))
    moved = {"a": 0, "c": 0}
    for row, before, after in zip(plan.rows, [start, *states], states, strict=False):
        assert row.t["x"] == pytest.approx(row.t["a"], abs=1e-12) and row.s["x"] == pytest.approx(row.s["c"], abs=1e-12)
        for leaf in "ac":
            if row.t["x"] == row.s["x"]:
                assert torch.equal(before[leaf], after[leaf])
            moved[leaf] += int((before[leaf] != after[leaf]).sum())
        assert not torch.equal(before["x"], after["x"])
    assert moved["a"] == 500 and moved["c"] > 100


# ------------------------------------------------------------------------------------------------------------ the clock


def test_the_clock_of_lognormal_levels_is_the_normal_distribution() -> None:
    process = Gaussian(EDM(), noise_distribution=lognormal(-1.2, 1.2))
    sigma = np.geomspace(0.01, 20, 30)
    np.testing.assert_allclose(clock(process, sigma), ndtr((np.log(sigma) + 1.2) / 1.2), rtol=1e-9)
    leaf = Masked(3)
    np.testing.assert_allclose(synchronised_times(sigma, process, leaf), ndtr((np.log(sigma) + 1.2) / 1.2), rtol=1e-9)
    assert synchronised_times((80.0, 0.0), process, leaf) == (1.0, 0.0)  # ends are ends, exactly
    assert synchronised_times((1.0, 0.25, 0.0), leaf, process)[::2] == (80.0, 0.0)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)
@pytest.mark.parametrize("levels", [uniform_time, lognormal(-0.5, 1.5)], ids=["uniform", "lognormal"])
def test_in_step_is_where_training_puts_the_leaves(levels, schedule) -> None:
    """Product.times at any variate, and synchronised_times of the one leaf's time, give the other's."""
    process = Product(
        {"x": Gaussian(schedule, noise_distribution=levels), "y": Gaussian(Cosine()), "a": Masked(4, Cosine())}
    )
    times = process.times(np.linspace(0.02, 0.98, 40))
    for leaf in "ya":
        got = synchronised_times(times["x"], process.leaves["x"], process.leaves[leaf])
        np.testing.assert_allclose(got, times[leaf], rtol=1e-9)


def test_following_any_solver() -> None:
    """Same rows and evaluations; and rows that go back up, or move without evaluation, do so for tokens as well."""
    x, a = FLOW.leaves["x"], FLOW.leaves["a"]
    for name in SOLVERS:
        lead = make_plan(RectifiedFlow(), name, 6, "uniform")
        plan = synchronised_transitions(lead, x, a, eta=0.5, temperature=2.0)
        JointPlan({"x": lead, "a": plan})
        assert plan.rows[0].t == 1 and plan.rows[-1].s == 0 and all(row.b == (0.5,) for row in plan.rows)
        assert [row.c for row in plan.rows] == [0.5 if row.s < row.t else 0.0 for row in plan.rows]
    around = repaint(ddim(RectifiedFlow(), (1.0, 0.75, 0.5, 0.25, 0.0)), RectifiedFlow(), times=3)
    followed = synchronised_transitions(around, x, a)
    np.testing.assert_allclose([(r.t, r.s) for r in followed.rows], [(r.t, r.s) for r in around.rows], atol=1e-12)
    hidden = []
    sample(
        exact(FLOW), FLOW, together(FLOW, around), dict.fromkeys("xac", (40_000,)), [3],
        callback=lambda i, s, m: hidden.append(float((s["a"] == 3).double().mean())),
    )  # fmt: skip
    np.testing.assert_allclose(hidden, [r.s for r in around.rows], atol=5 * 0.5 / 200)
    with pytest.raises(ValueError, match="rise with the uniform variate"):
        synchronised_transitions(
            dpmpp(EDM(), (80.0, 1.0, 0.0)), Gaussian(EDM(), noise_distribution=lognormal(tail=0.1)), a
        )


def test_temperature_and_hiding_again_reach_the_table() -> None:
    assert transitions((1.0, 0.5, 0.0), eta=0.25, temperature=4.0).rows == (
        Row(1.0, 0.5, b=(0.25,), c=0.25),
        Row(0.5, 0.0, b=(0.25,), c=0.25),
    )


# --------------------------------------------------------------------------------------------------------- the product


def test_leaves_are_noised_as_if_alone_and_their_losses_are_added() -> None:
    process = Product(FLOW.leaves, weights={"a": 0.1})
    noise = Noise([3, 4])
    x0 = {
        "x": noise["data"].normal(6),
        "a": torch.tensor([[0, 1, 2, 0, 1, 2]] * 2),
        "c": torch.tensor([[0, 1] * 3] * 2),
    }
    t = process.times(np.array([0.4, 0.8]))
    noisy = process.corrupt(x0, t, noise)
    prediction = {"x": torch.zeros(2, 6), "a": noise["a"].normal(6, 3), "c": noise["c"].normal(6, 2)}
    total = torch.zeros(2)
    for name, weight in (("x", 1.0), ("a", 0.1), ("c", 1.0)):
        leaf = process.leaves[name]
        alone = leaf.corrupt(x0[name], t[name], noise[name])
        assert torch.equal(noisy.x[name], alone.x)
        total += weight * leaf.loss(prediction[name], alone)
    torch.testing.assert_close(process.loss(prediction, noisy), total)
    with pytest.raises(ValueError, match=r"weights of no leaf: b; leaves: x, a, c"):
        Product(FLOW.leaves, weights={"b": 1.0})


def test_the_noise_of_one_leaf_says_nothing_about_anothers() -> None:
    twins = Product({"one": Gaussian(EDM()), "two": Gaussian(EDM())})
    plan = make_plan(EDM(), "ddpm", 4)
    states = []
    sample(
        lambda x, t, c=None: {name: 0 * leaf for name, leaf in x.items()}, twins, JointPlan({"one": plan, "two": plan}),
        {"one": (40_000,), "two": (40_000,)}, [1], callback=lambda i, x, m: states.append(x),
    )  # fmt: skip
    for x in [twins.prior({"one": (40_000,), "two": (40_000,)}, Noise([1])), *states[:-1]]:
        assert abs(np.corrcoef(x["one"][0], x["two"][0])[0, 1]) < 4 / 200
