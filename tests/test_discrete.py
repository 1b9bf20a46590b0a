"""Discrete diffusion against tables of two tokens, whose every probability is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from diffx.noise import Noise
from diffx.plan import Plan, Row, transitions
from diffx.process import Categorical, Masked, Memory, Noisy
from diffx.process.discrete import Discrete, draw, variates
from diffx.sampling import sample
from diffx.schedule import EDM, Cosine, Linear, RectifiedFlow

K = 3
#: p(first, second): they agree more often than not, and neither is uniform.
TABLE = np.array([[0.34, 0.03, 0.05], [0.02, 0.25, 0.03], [0.06, 0.04, 0.18]])
PI = (0.5, 0.3, 0.2)
PROCESSES = [Masked(K), Masked(K, Cosine()), Categorical(K), Categorical(K, Cosine(), stationary=PI)]
every = pytest.mark.parametrize("process", PROCESSES, ids=["masked", "masked cosine", "uniform", "stationary cosine"])


def stationary(process: Discrete) -> np.ndarray:
    """What a token ends as, over the K + 1 or K there are."""
    if isinstance(process, Masked):
        return np.eye(K + 1)[K]
    return np.full(K, 1 / K) if process.stationary == (1 / 3,) * 3 else np.array(PI)


def kernel(process: Discrete, t: float) -> np.ndarray:
    """q(x_t | x_0) [from, to] by the matrix exponential of the jump rates up to t, in K + 1 or K states."""
    pi = stationary(process)
    return expm(-math.log(process.schedule.alpha(t)) * (np.tile(pi, (len(pi), 1)) - np.eye(len(pi))))


def exact(process: Discrete, joint: np.ndarray = TABLE):
    """The predictor that knows: log p(x_0^l | x_t) by enumeration of a table of two tokens."""
    pi = stationary(process)

    def predict(x: torch.Tensor, t: float | np.ndarray, condition=None) -> torch.Tensor:
        alpha = np.asarray(process.schedule.alpha(t)).reshape(-1, *(1,) * x.ndim)
        seen = x.numpy()[..., None]
        q = alpha * (seen == np.arange(K)) + (1 - alpha) * pi[seen]  # [..., 2, K], of what is seen by what it was
        both = joint * q[..., 0, :, None] * q[..., 1, None, :]
        p = np.stack([both.sum(-1), both.sum(-2)], -2)
        with np.errstate(divide="ignore"):
            return torch.from_numpy(np.log(p / p.sum(-1, keepdims=True))).float()

    return predict


def law(tokens: torch.Tensor, sizes=(K, K)) -> np.ndarray:
    """Relative frequencies of pairs [..., 2]."""
    flat = (tokens[..., 0] * sizes[1] + tokens[..., 1]).flatten()
    return np.bincount(flat.numpy(), minlength=math.prod(sizes)).reshape(sizes) / flat.numel()


def tv(p: np.ndarray, q: np.ndarray) -> float:
    return 0.5 * float(np.abs(p - q).sum())


def uniform_steps(n: int) -> tuple[float, ...]:
    return tuple(1 - np.arange(n + 1) / n)


# ----------------------------------------------------------------------------------------------------------- the draws


def test_variates_have_46_random_bits() -> None:
    """Uniform on every scale from 1 to 2^-40, and never an end of the interval."""
    u = variates(Noise([5, 6]), (100_000,)).flatten()
    assert u.dtype == torch.float64 and u.min() > 0 and u.max() < 1
    for scale in (1.0, 2.0**20, 2.0**22, 2.0**23, 2.0**40):
        count = np.bincount(((u * scale) % 1 * 8).long().numpy(), minlength=8)
        assert np.abs(count / 25_000 - 1).max() < 4 / math.sqrt(25_000)  # four standard errors


def test_a_draw_is_the_inverse_of_the_distribution_function_also_for_what_is_rare() -> None:
    weights = torch.tensor([0.0, 1 - 3e-9, 0.0, 2e-9, 1e-9, 0.0], dtype=torch.float64) * 7
    u = torch.tensor([1e-14, 0.5, 1 - 3.1e-9, 1 - 2.9e-9, 1 - 1.1e-9, 1 - 0.9e-9, 1 - 2.0**-47], dtype=torch.float64)
    assert draw(weights, u).tolist() == [1, 1, 1, 3, 3, 4, 4]
    assert draw(weights * torch.nan, u).tolist() == [6] * 7  # no token: a broken network shows


def test_rare_tokens_have_their_share_of_the_unit_interval() -> None:
    """4096 tokens of probability 0.7 / 2^24 each, beside one that has the rest: every variate finds the right one. In
    fp32 the distribution function would round them to 1 / 2^24, and a Gumbel maximum, whose variates end at 16.6, would
    hardly draw any."""
    q = 0.7 * 2.0**-24
    logits = torch.full((4097,), math.log(q / (1 - 4096 * q)))
    logits[0] = 0.0
    rare = np.arange(4096)
    p = Masked(4097).probabilities(logits)
    for within in (0.05, 0.5, 0.95):
        u = torch.from_numpy(1 - 4096 * q + (rare + within) * q)
        assert torch.equal(draw(p, u), torch.from_numpy(rare + 1))


# ------------------------------------------------------------------------------------------------------------- forward


@every
def test_forward_marginals_are_the_matrix_exponential(process) -> None:
    """At once by ``corrupt``, and by way of two rows towards noise: five standard errors of 40,000 tokens each."""
    x0 = torch.arange(K).repeat(4, 40_000)
    there = Plan("up", (Row(0.0, 0.3), Row(0.3, 0.62)))
    for t in (0.3, 0.62):
        once = process.corrupt(x0, t, Noise(range(4))).x
        rows = Plan("up", there.rows[: 1 if t == 0.3 else 2])
        walked = sample(lambda x, t, c: torch.zeros(4, 120_000, K), process, rows, (120_000,), range(4), None, x0)
        for x in (once, walked):
            for i in range(K):
                q = kernel(process, t)[i]
                got = np.bincount(x[x0 == i].numpy(), minlength=len(q)) / 160_000
                assert np.abs(got - q).max() < 5 * 0.5 / 400


def test_each_sample_of_a_batch_has_its_own_time() -> None:
    t = np.array([0.1, 0.5, 0.9])
    for process, kept in ((Masked(K), 1 - t), (Categorical(K), 1 - t + t / 3)):
        noisy = process.corrupt(torch.ones(3, 100, 100, dtype=torch.int64), t, Noise(range(3)))
        np.testing.assert_allclose((noisy.x == 1).float().mean((1, 2)), kept, atol=0.02)


@every
def test_the_prior_is_where_the_forward_process_ends(process) -> None:
    x = process.prior((100, 100), Noise(range(10)))
    assert x.dtype == torch.int64 and x.shape == (10, 100, 100)
    share = np.bincount(x.flatten().numpy()) / x.numel()
    np.testing.assert_allclose(share, stationary(process), atol=5 * 0.5 / math.sqrt(x.numel()))
    assert torch.equal(process.prior_kl(x.clamp(max=K - 1)), torch.zeros(10))


def test_prior_kl_where_something_survives() -> None:
    process = Categorical(K, Linear(), stationary=PI)
    q = kernel(process, 1.0)
    kl = (q * np.log(q / np.array(PI))).sum(1)
    tokens = torch.tensor([[0, 0], [1, 2], [2, 2]])
    np.testing.assert_allclose(process.prior_kl(tokens), kl[tokens.numpy()].sum(1), rtol=1e-5)
    assert torch.isinf(Masked(K, Linear()).prior_kl(tokens)).all()


# ------------------------------------------------------------------------------------------------------------- reverse


@every
@pytest.mark.parametrize(("t", "s"), [(0.7, 0.4), (0.9, 0.05), (0.4, 0.0), (1.0, 0.6)])
def test_a_step_is_bayes(process, t, s) -> None:
    """Against the posterior by enumeration, for any predicted probabilities; 200,000 draws a state."""
    at = process.schedule.alpha
    q_s, q_t = kernel(process, s), kernel(process, min(t, 1 - 1e-12))
    q_ts = np.linalg.solve(q_s, q_t)  # of x_t given x_s
    p = np.array([0.2, 0.7, 0.1])
    for k in range(len(q_t)):
        if isinstance(process, Masked) and k < K:
            continue  # on view: below
        # q(x_s = j | x_t = k, x_0 = i) = q(k | j) q(j | i) / q(k | i), then the mean over i
        bayes = sum(p[i] * q_ts[:, k] * q_s[i] / q_t[i, k] for i in range(K))
        assert bayes.sum() == pytest.approx(1)
        x = torch.full((1, 200_000), k)
        logits = torch.from_numpy(np.log(p) + 5).float()
        end = process.step(x, logits.expand(1, 200_000, K), Row(t, s), Memory(), Noise([k]), 3)
        share = np.bincount(end.flatten().numpy(), minlength=len(bayes)) / 200_000
        np.testing.assert_allclose(share, bayes, atol=5 * 0.5 / math.sqrt(200_000))
        if isinstance(process, Categorical):
            given = torch.from_numpy(p).expand(1, 1, K)
            got = process.posterior(x[:, :1], given, float(at(t)), float(at(s)))
            np.testing.assert_allclose(got.flatten(), bayes, rtol=1e-6, atol=1e-12)


def test_a_token_on_view_never_changes() -> None:
    process, states = Masked(50), []
    plan = transitions(uniform_steps(20))
    sample(
        lambda x, t, c: Noise([9])["net"].normal(300, 50, step=int(t * 20)).expand(8, 300, 50),
        process, plan, (300,), range(8), callback=lambda i, x, m: states.append(x),
    )  # fmt: skip
    for before, after in itertools.pairwise(states):
        hidden = before == process.mask
        assert torch.equal(before[~hidden], after[~hidden])
        assert 0 < int((after == process.mask).sum()) < int(hidden.sum()) or after is states[-1]
    assert not (states[-1] == process.mask).any()
    # and the number of them is the schedule's: 5 % a step, of 2400
    shown = [float((x != process.mask).float().mean()) for x in states]
    np.testing.assert_allclose(shown, np.arange(1, 21) / 20, atol=4 * 0.5 / math.sqrt(2400))


def test_masked_error_is_that_of_drawing_both_at_once() -> None:
    """Two tokens come out right unless revealed in the same of n steps, which has probability 1/n; then they are drawn
    independently. So the whole law is known: (1 - 1/n) joint + 1/n product, and the error falls exactly as 1/n."""
    process = Masked(K)
    apart = np.outer(TABLE.sum(1), TABLE.sum(0))
    for n in (1, 2, 8, 32):
        x = sample(exact(process), process, transitions(uniform_steps(n)), (10_000, 2), range(4))
        assert tv(law(x), (1 - 1 / n) * TABLE + apart / n) < 0.01
    assert tv(TABLE, apart) > 0.35  # so that the above says something


@pytest.mark.parametrize("process", PROCESSES[2:], ids=["uniform", "stationary cosine"])
def test_categorical_error_falls_as_1_over_n(process) -> None:
    """The law of n steps by following the probabilities of all nine states; and that ``sample`` draws from it."""
    states = torch.tensor(list(itertools.product(range(K), repeat=2)))
    errors = []
    for n in (1, 8, 16, 32, 64):
        chain = np.outer(stationary(process), stationary(process)).ravel()
        for t, s in itertools.pairwise(uniform_steps(n)):
            at_t, at_s = (float(process.schedule.alpha(time)) for time in (t, s))
            move = process.posterior(states, process.probabilities(exact(process)(states, t)), at_t, at_s).numpy()
            chain = np.einsum("n,ni,nj->ij", chain, move[:, 0], move[:, 1]).ravel()
        errors.append(tv(chain.reshape(K, K), TABLE))
        if n in (1, 8):
            x = sample(exact(process), process, transitions(uniform_steps(n)), (20_000, 2), range(4))
            assert tv(law(x), chain.reshape(K, K)) < 0.008
    # one step from the prior draws both at once
    assert errors[0] == pytest.approx(tv(TABLE, np.outer(TABLE.sum(1), TABLE.sum(0))), abs=1e-6)
    assert [a / b for a, b in itertools.pairwise(errors[1:])] == pytest.approx([2, 2, 2], abs=0.2)
    assert errors[-1] < 0.01


@every
def test_independent_tokens_need_one_step(process) -> None:
    apart = np.outer([0.6, 0.3, 0.1], [0.05, 0.15, 0.8])
    for n in (1, 5):
        x = sample(exact(process, apart), process, transitions(uniform_steps(n)), (20_000, 2), range(4))
        assert tv(law(x), apart) < 0.008


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_hiding_again_keeps_the_marginals(eta) -> None:
    """The share on view is the schedule's at every step, and the end is that of the chain written out."""
    process, shown, n = Masked(K, Cosine()), [], 6
    times = uniform_steps(n)
    x = sample(
        exact(process), process, transitions(times, eta=eta), (20_000, 2), range(4),
        callback=lambda i, x, m: shown.append(float((x != process.mask).float().mean())),
    )  # fmt: skip
    np.testing.assert_allclose(shown, Cosine().alpha(np.array(times[1:])), atol=5 * 0.5 / 400)
    states = torch.tensor(list(itertools.product(range(K + 1), repeat=2)))
    p = exact(process)(states, 0.5).exp().double().numpy()  # of hidden tokens, at any time
    chain = np.zeros(len(states))
    chain[-1] = 1
    for t, s in itertools.pairwise(times):
        at_t, at_s = process.schedule.alpha(t), process.schedule.alpha(s)
        again = eta * min(1, (1 - at_s) / at_t) if at_t else 0
        move = np.zeros((len(states), 2, K + 1))  # Wang et al. 2025: of each token, given the state of both
        for state, (tokens, given) in enumerate(zip(states.tolist(), p, strict=True)):
            for l, token in enumerate(tokens):
                if token == K:
                    move[state, l, :K] = (at_s - (1 - again) * at_t) / (1 - at_t) * given[l]
                    move[state, l, K] = (1 - at_s - again * at_t) / (1 - at_t)
                else:
                    move[state, l, [token, K]] = 1 - again, again
        chain = np.einsum("n,ni,nj->ij", chain, move[:, 0], move[:, 1]).ravel()
    assert tv(law(x), chain.reshape(K + 1, K + 1)[:K, :K]) < 0.008
    with pytest.raises(ValueError, match="c = 0"):
        sample(exact(Categorical(K)), Categorical(K), transitions(times, eta=eta), (2,), [1])


@every
def test_temperature_is_a_power_of_the_probabilities(process) -> None:
    p = np.array([0.6, 0.3, 0.1])
    logits = torch.from_numpy(np.log(p)).float()
    plan = Plan.from_json(transitions((1.0, 0.0), temperature=0.5).to_json())
    x = sample(lambda x, t, c: logits.expand(*x.shape, K), process, plan, (50_000,), range(4))
    np.testing.assert_allclose(np.bincount(x.flatten()) / 200_000, p**2 / (p**2).sum(), atol=0.006)


@every
def test_a_sample_is_bit_equal_in_any_batch_and_order(process) -> None:
    plan = transitions(uniform_steps(7), eta=0.5 if isinstance(process, Masked) else 0.0)
    seeds = [11, 0, 2**62, 5, 6]
    for shape in ((2,), (7, 2), (90, 2)):
        whole = sample(exact(process), process, plan, shape, seeds)
        assert whole.dtype == torch.int64 and whole.shape == (5, *shape)
        for index in ([0], [3], [4, 1], [2, 0, 4, 3, 1], [1, 1]):
            assert torch.equal(sample(exact(process), process, plan, shape, [seeds[i] for i in index]), whole[index])
    assert len({tuple(row.flatten().tolist()) for row in whole}) == 5


def test_a_row_without_evaluation_uses_the_last_prediction_and_one_that_stands_changes_nothing() -> None:
    process, states = Masked(K), []
    rows = (Row(1.0, 1.0), Row(1.0, 0.5, evaluate=False), Row(0.5, 0.5), Row(0.5, 0.0, evaluate=False))
    asked = []

    def predict(x, t, condition=None):
        asked.append(t)
        return torch.eye(K)[len(asked)].expand(*x.shape, K) * 100

    end = sample(predict, process, Plan("p", rows), (1000,), [1], callback=lambda i, x, m: states.append(x))
    assert asked == [1.0, 0.5]
    assert (states[0] == process.mask).all() and torch.equal(states[1], states[2])
    assert set(states[1].unique().tolist()) == {1, process.mask} and set(end.unique().tolist()) == {1, 2}


# ---------------------------------------------------------------------------------------------------------- likelihood


def rate(process: Discrete, predict, x0: tuple[int, int], t: float) -> float:
    """The mean loss of one pair at time t, over all it may be corrupted to."""
    states = torch.tensor(list(itertools.product(range(len(stationary(process))), repeat=2)))
    target, q = torch.tensor(x0).expand(len(states), 2), kernel(process, t)
    weight = process.corrupt(target, t, Noise(range(len(states)))).weight
    losses = process.loss(predict(states, t), Noisy(states, np.full(len(states), t), target, weight))
    return float((q[x0[0]][states[:, 0]] * q[x0[1]][states[:, 1]] * losses.double().numpy()).sum())


def bound(process: Discrete, predict, x0: tuple[int, int], nodes: int = 50) -> float:
    """Its mean over time, by Gauss-Legendre quadrature."""
    points, weights = np.polynomial.legendre.leggauss(nodes)
    return sum(w / 2 * rate(process, predict, x0, (t + 1) / 2) for t, w in zip(points, weights, strict=True))


@every
def test_the_bound_is_tight_for_a_predictor_that_knows(process) -> None:
    """Mean loss = -log p(x_0) for every x_0, so on average the entropy: exact for both noises in continuous time."""
    for x0 in ((0, 0), (0, 1), (2, 1)):
        assert bound(process, exact(process), x0) == pytest.approx(-math.log(TABLE[x0]), abs=5e-4)


@every
def test_the_bound_of_a_wrong_predictor_is_above(process) -> None:
    wrong = (TABLE + 0.1) / (TABLE + 0.1).sum()
    pairs = list(itertools.product(range(K), repeat=2))
    mean = sum(TABLE[x0] * bound(process, exact(process, wrong), x0, 24) for x0 in pairs)
    cross_entropy = -(TABLE * np.log(wrong)).sum()
    assert mean == pytest.approx(cross_entropy, abs=2e-3)  # it is a model of its own, of which the bound is tight
    assert cross_entropy > -(TABLE * np.log(TABLE)).sum() + 0.05


@every
def test_the_exact_conditionals_minimise_the_loss(process) -> None:
    """The gradient of the expected loss in the logits of every state is 0 there, and not elsewhere."""
    t, states = 0.45, torch.tensor(list(itertools.product(range(len(stationary(process))), repeat=2)))
    q = kernel(process, t)[:K]
    for off, largest in ((0.0, 1e-6), (0.3, None)):
        logits = exact(process)(states, t).nan_to_num(neginf=-30.0)
        logits = (logits + off * torch.arange(K)).requires_grad_()
        total = torch.zeros(())
        for x0 in itertools.product(range(K), repeat=2):
            target = torch.tensor(x0).expand(len(states), 2)
            reached = torch.from_numpy(TABLE[x0] * q[x0[0]][states[:, 0]] * q[x0[1]][states[:, 1]]).float()
            noisy = Noisy(states, np.full(len(states), t), target, torch.ones(len(states)))
            total = total + (reached * process.loss(logits, noisy)).sum()
        (gradient,) = torch.autograd.grad(total, logits)
        assert gradient.abs().max() < largest if largest else gradient.abs().max() > 3e-3


@every
def test_the_loss_of_random_corruptions_has_the_bound_as_its_mean(process) -> None:
    """corrupt and loss as training calls them, every sample at a time of its own; four standard errors."""
    t = np.repeat([0.2, 0.5, 0.8], 10_000)
    noisy = process.corrupt(torch.tensor([2, 1]).expand(len(t), 2), t, Noise(range(len(t))))
    losses = process.loss(exact(process)(noisy.x, t), noisy).view(3, -1)
    expected = [rate(process, exact(process), (2, 1), time) for time in (0.2, 0.5, 0.8)]
    assert ((losses.mean(1) - torch.tensor(expected)).abs() < 4 * losses.std(1) / 100).all()
    assert np.array_equal(process.times(np.array([0.2, 0.7])), [0.2, 0.7])  # uniform, so the bound is not weighted


@pytest.mark.parametrize("process", PROCESSES[2:], ids=["uniform", "stationary cosine"])
def test_evidence_makes_the_posterior_of_what_the_other_tokens_say(process) -> None:
    """Of independent tokens the others say nothing but the prior; and a silent network's bound stays finite."""
    apart = np.outer([0.6, 0.3, 0.1], [0.05, 0.15, 0.8])
    x, t = torch.tensor(list(itertools.product(range(K), repeat=2))), np.linspace(1e-3, 1.0, 9)
    prior = torch.from_numpy(np.log(np.stack([apart.sum(1), apart.sum(0)]))).float().expand(9, 2, K)
    got = process.with_evidence(prior, x, t).log_softmax(-1)
    torch.testing.assert_close(got, exact(process, apart)(x, t), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(process.with_evidence(prior, x, float(t[4]))[4], process.with_evidence(prior, x, t)[4])
    given = torch.from_numpy(np.log(stationary(process))).float().expand(9, 2, K)
    found = bound(process, lambda x, t: process.with_evidence(given, x, t), (2, 1))
    assert found == pytest.approx(-np.log(stationary(process))[[2, 1]].sum(), abs=1e-3)


@pytest.mark.parametrize("process", [Masked(K), Masked(K, Cosine()), Categorical(K), Categorical(K, Cosine())])
def test_the_loss_is_finite_at_the_ends_of_time(process) -> None:
    x0 = torch.tensor([[0, 1]] * 5)
    noisy = process.corrupt(x0, np.array([1e-9, 1e-6, 0.5, 1 - 1e-6, 1.0]), Noise(range(5)))
    logits = torch.randn(5, 2, K, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = process.loss(logits, noisy)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert loss.isfinite().all() and gradient.isfinite().all()
    assert (process.loss(-logits, noisy) >= 0).all()


# ----------------------------------------------------------------------------------------------- columns of many sizes


@pytest.mark.parametrize("kind", [Masked, Categorical])
def test_columns_of_several_sizes_are_as_leaves_of_their_own(kind) -> None:
    """Logits of what a column does not have are ignored, whatever they say, in the loss and in sampling."""
    sizes, logits = (2, 5, 3), torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(1))
    together = kind(sizes)
    x0 = torch.tensor([[1, 4, 0], [0, 2, 2], [1, 0, 1], [0, 3, 2]])
    t = np.array([0.2, 0.5, 0.7, 0.95])
    noisy = together.corrupt(x0, t, Noise(range(4)))
    parts = torch.zeros(4)
    for c, k in enumerate(sizes):
        alone = kind(k)
        x = noisy.x[:, c] if kind is Categorical else noisy.x[:, c].where(noisy.x[:, c] != together.mask, alone.mask)
        parts += alone.loss(logits[:, c, :k], Noisy(x, t, x0[:, c], noisy.weight))
    torch.testing.assert_close(together.loss(logits, noisy), parts, rtol=1e-5, atol=1e-6)
    wild = logits.clone()
    wild[:, 0, 2:], wild[:, 2, 3:] = 50.0, torch.inf
    torch.testing.assert_close(together.loss(wild, noisy), parts, rtol=1e-5, atol=1e-6)
    states = []
    end = sample(
        lambda x, t, c: wild[:1].expand(*x.shape, 5), together, transitions(uniform_steps(5)), (9000, 3), [1],
        callback=lambda i, x, m: states.append(x),
    )  # fmt: skip
    for c, k in enumerate(sizes):
        p = logits[0, c, :k].softmax(-1)
        torch.testing.assert_close(end[..., c].flatten().bincount() / 9000, p, rtol=0, atol=5 * 0.5 / math.sqrt(9000))
        seen = {k for x in states for k in x[..., c].unique().tolist()}
        assert seen == {*range(k)} | ({together.mask} if kind is Masked else set())
    if kind is Categorical:
        start = together.prior((9000, 3), Noise([2]))
        assert [int(start[..., c].max()) + 1 for c in range(3)] == list(sizes)


def test_what_is_refused() -> None:
    for schedule in (EDM(), Linear(0.1, 2.0)):
        with pytest.raises(ValueError, match="falls from 1 to about 0"):
            Masked(K, schedule)
    for wrong in (0, (), (3, 0)):
        with pytest.raises(ValueError, match="at least one category"):
            Categorical(wrong)
    for wrong in ((0.5, 0.5), (0.5, 0.5, 0.0), ((0.5, 0.3, 0.2),)):
        with pytest.raises(ValueError, match="one positive weight for each"):
            Categorical(K, stationary=wrong)
    with pytest.raises(ValueError, match="eta from 0 to 1"):
        transitions((1.0, 0.0), eta=1.5)
    with pytest.raises(ValueError, match="above 0"):
        transitions((1.0, 0.0), temperature=0.0)
    assert Masked(K) == Masked(K, RectifiedFlow()) and hash(Categorical(K)) == hash(Categorical(K, stationary=[2] * K))
