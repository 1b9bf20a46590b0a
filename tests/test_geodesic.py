"""Diffusion on R^n, the torus and SO(3): geometry against scipy, scores and walks against heat kernels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from heat_laws import igso3_cdf, wrapped_normal_cdf
from scipy.spatial.transform import Rotation
from scipy.stats import kstest
from torch import Tensor

from diffx.noise import Noise
from diffx.plan import JointPlan, Plan, Row, ddim, ddpm, geodesic_random_walk, low_temperature
from diffx.process import Gaussian, Memory, Product, rotation
from diffx.process.geodesic import Geodesic
from diffx.process.space import SO3, Euclidean, Space, Torus, wrap
from diffx.sampling import sample
from diffx.schedule import EDM, Cosine
from diffx.schedule.base import VE

SHAPES: dict[Space, tuple[int, ...]] = {Euclidean(3): (3,), Torus(): (4,), SO3(): (3, 3)}
every_space = pytest.mark.parametrize("space", SHAPES, ids=lambda s: type(s).__name__)


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFX_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def even(n: int) -> tuple[float, ...]:
    return tuple(1 - np.arange(n + 1) / n)


def points(space: Space, count: int, seed: int = 0) -> Tensor:
    x = space.prior(SHAPES[space], 1.0, Noise(range(seed, seed + count))).double()
    return space.project(space.project(x))


def vectors(space: Space, count: int, size: float = 1.0, seed: int = 0) -> Tensor:
    return size * Noise(range(seed, seed + count))["v"].normal(*space.tangent(SHAPES[space])).double()


def column(sigma: float, v: Tensor) -> Tensor:
    return torch.full((1,) * v.ndim, sigma, dtype=v.dtype)


class Modes:
    """Data around a few points, p_0 = sum_k w_k (heat kernel of spread s_0 around mode k): p_t is known exactly.

    Points may be mixed, {leaf: x}; the leaves then share the mode.
    """

    def __init__(self, spaces, modes, weights, schedules, spread):
        self.spaces, self.modes, self.schedules, self.spread = spaces, modes, schedules, spread
        self.log_weights = torch.tensor(weights, dtype=torch.float64).log()

    def predict(self, x, t, condition=None):
        """The score of p_t."""
        log_p, scores = self.log_weights, {}
        for name, space in self.spaces.items():
            at = [space.log(mode.to(x[name].dtype), x[name]) for mode in self.modes[name]]
            sigma = column(math.hypot(self.schedules[name].sigma(t[name]), self.spread[name]), at[0])
            log_p = log_p + torch.stack([space.log_density(v, sigma).reshape(len(v), -1).sum(1) for v in at], -1)
            scores[name] = torch.stack([space.score(v, sigma) for v in at], -1)
        share = log_p.softmax(-1)

        def mean(s: Tensor) -> Tensor:
            return (s * share.view(-1, *(1,) * (s.ndim - 2), s.shape[-1])).sum(-1).to(s.dtype)

        return {name: mean(s) for name, s in scores.items()}


def two_modes(space: Space, schedule, spread: float) -> Modes:
    modes = points(space, 2, seed=5)
    return Modes({"x": space}, {"x": modes[:, None]}, (0.3, 0.7), {"x": schedule}, {"x": spread})


# ---------------------------------------------------------------------------------------------------------- rotations


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-6), (torch.float64, 3e-15)])
def test_rotation_vectors_against_scipy(dtype, tolerance) -> None:
    axes = torch.nn.functional.normalize(Noise([1]).normal(500, 3)[0].double(), dim=-1)
    axes[:3] = torch.eye(3)
    for angle in (0, 1e-12, 1e-7, 1e-4, 3e-4, 0.1, 1, 2, 3, math.pi - 1e-4, math.pi - 1e-7, math.pi):
        v = (axes * angle).to(dtype).requires_grad_()
        matrix = rotation.exp(v)
        theirs = Rotation.from_rotvec(v.detach().double().numpy()).as_matrix()
        np.testing.assert_allclose(matrix.detach().double().numpy(), theirs, atol=tolerance)
        back = rotation.log(matrix)
        assert back.norm(dim=-1).max() <= math.pi * (1 + 1e-6)
        off = (back - v).norm(dim=-1)
        if angle > math.pi - 1e-6:  # half a turn about v is half a turn about -v
            off = torch.minimum(off, (back + v).norm(dim=-1))
        assert off.max() < 4 * tolerance
        (slope,) = torch.autograd.grad(back.square().sum(), v)
        assert torch.isfinite(slope).all()
        if angle < 3.1:
            torch.testing.assert_close(slope, 2 * v.detach(), atol=1e-4 if dtype == torch.float32 else 1e-8, rtol=0)


@every_space
def test_geodesics_are_undone_by_the_logarithm_and_have_its_length(space) -> None:
    x, v = points(space, 50), vectors(space, 50, 0.5)
    y = space.exp(x, v)
    torch.testing.assert_close(space.log(x, y), v, atol=1e-12, rtol=0)
    length = v.abs() if isinstance(space, Torus) else v.norm(dim=-1)
    torch.testing.assert_close(space.distance(x, y), length, atol=1e-12, rtol=0)
    torch.testing.assert_close(space.exp(space.exp(x, 0.3 * v), 0.7 * v), y, atol=1e-12, rtol=0)


def test_tangents_of_so3_are_of_the_world() -> None:
    """Turn the world by g: x becomes g x, v becomes g v, and so does everything made of them."""
    space, (g, x) = SO3(), (points(SO3(), 20, seed=s) for s in (0, 90))
    v = vectors(space, 20)

    def turned(u: Tensor) -> Tensor:
        return (g @ u[..., None])[..., 0]

    torch.testing.assert_close(space.exp(g @ x, turned(v)), g @ space.exp(x, v), atol=1e-12, rtol=0)
    y = points(space, 20, seed=300)
    torch.testing.assert_close(space.log(g @ x, g @ y), turned(space.log(x, y)), atol=1e-12, rtol=0)
    sigma = column(0.8, v)
    torch.testing.assert_close(space.score(turned(v), sigma), turned(space.score(v, sigma)), atol=1e-12, rtol=0)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-6), (torch.float64, 2e-15)])
def test_rotations_stay_orthogonal_over_a_thousand_steps(dtype, tolerance) -> None:
    space, x = SO3(), points(SO3(), 16).to(dtype)
    for step in range(1000):
        x = space.exp(x, 0.7 * Noise(range(16)).normal(3, step=step).to(dtype))
    assert (x @ x.mT - torch.eye(3, dtype=dtype)).abs().max() < tolerance
    assert (torch.linalg.det(x) - 1).abs().max() < 3 * tolerance


def test_angles_wrap_into_one_turn() -> None:
    angle = torch.tensor([math.pi, -math.pi, 3.0, -3.0, 7.0, 100.0, 0.0], dtype=torch.float64)
    expected = torch.tensor([math.pi, math.pi, 3.0, -3.0, 7 - 2 * math.pi, 100 - 32 * math.pi, 0.0]).double()
    torch.testing.assert_close(wrap(angle), expected, atol=1e-5, rtol=0)
    x, y = torch.tensor([3.0]), torch.tensor([-3.0])
    torch.testing.assert_close(Torus().log(x, y), torch.tensor([2 * math.pi - 6]))


@every_space
@pytest.mark.parametrize("sigma", [0.2, 1.0, 2.0])
def test_the_score_is_the_gradient_at_the_point_itself(space, sigma) -> None:
    x0, v = points(space, 40), vectors(space, 40, min(sigma, 0.8))
    x, e = space.exp(x0, v), torch.zeros_like(v, requires_grad=True)
    log_p = space.log_density(space.log(x0, space.exp(x, e)), column(sigma, v))
    (slope,) = torch.autograd.grad(log_p.sum(), e)
    torch.testing.assert_close(space.score(v, column(sigma, v)), slope, atol=1e-9, rtol=1e-9)


def test_priors() -> None:
    noise = Noise(range(10_000))
    r = SO3().prior((3, 3), 3.0, noise)
    assert (r @ r.mT - torch.eye(3)).abs().max() < 1e-6 and (torch.linalg.det(r) > 0).all()
    for g in (torch.eye(3), points(SO3(), 1)[0].float()):  # uniform seen from anywhere
        omega = SO3().distance(g, r).double().numpy()
        assert kstest(omega, lambda w: (w - np.sin(w)) / math.pi).statistic < 0.0163  # the 1 % level
    angles = Torus().prior((2,), 3.0, noise).double().numpy()
    assert kstest(angles.ravel(), "uniform", args=(-math.pi, 2 * math.pi)).statistic < 0.0115
    process = Geodesic(Euclidean(3), VE(0.1, 19))
    assert process.prior((3,), noise).std().item() == pytest.approx(19, rel=0.02)
    assert process.prior((3,), noise, 0.5).std().item() == pytest.approx(math.sqrt(1.9), rel=0.02)
    with pytest.raises(ValueError, match=r"\[\.\.\., 3, 3\], not \[3\]"):
        Geodesic(SO3(), VE(0.1, 3)).prior((3,), noise)
    with pytest.raises(ValueError, match=r"R\^3 have the shape"):
        process.corrupt(torch.zeros(2, 4), 0.5, Noise([0, 1]))


# ----------------------------------------------------------------------------------------------------------- training


@every_space
def test_corruption_is_the_heat_kernel_and_its_target_the_score(space) -> None:
    """Each sample at its own time; silence costs 1 at any of them."""
    ve = VE(0.05, 3.0)
    process, count = Geodesic(space, ve), 6000
    x0 = points(space, 1).float().expand(count, *SHAPES[space])
    t = np.repeat([0.1, 0.6, 1.0], count // 3)
    noisy = process.corrupt(x0, t, Noise(range(count)))
    v = space.log(x0, noisy.x)
    for k, time in enumerate((0.1, 0.6, 1.0)):
        part, sigma = slice(k * 2000, (k + 1) * 2000), float(ve.sigma(time))
        if isinstance(space, SO3):
            ks = kstest(v[part].double().norm(dim=-1).numpy(), lambda w, s=sigma: igso3_cdf(w, s))
        elif isinstance(space, Torus):
            ks = kstest(v[part].double().numpy().ravel(), lambda a, s=sigma: wrapped_normal_cdf(a, s))
        else:
            ks = kstest(v[part].double().numpy().ravel(), "norm", args=(0, sigma))
        assert ks.pvalue > 0.001
        score = space.score(v[part], column(sigma, v))
        scale = float(process.score_scale(time))
        assert (noisy.target[part] - score).abs().max() < 2e-3 * scale
        loss = process.loss(torch.zeros_like(noisy.target), noisy)[part]
        assert loss.mean().item() == pytest.approx(1, abs=0.12)
        # a number of unit size, times the scale, is the size of the target
        assert (noisy.target[part] / scale).square().mean().item() == pytest.approx(1, abs=0.12)
    assert process.loss(noisy.target, noisy).max() == 0


@pytest.mark.parametrize("space", [Torus(), SO3()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("t", [0.6, 0.85])
def test_the_denoising_loss_is_least_at_the_score_of_the_marginal(space, t) -> None:
    """The residual target - score of p_t is orthogonal to every function of x_t; that of another score is not."""
    ve, count, modes = VE(0.1, 3.0), 40_000, points(space, 2, seed=5).float()
    second = Noise([17]).uniform(count)[0] < 0.7
    x0 = torch.where(second.view(-1, *(1,) * (modes.ndim - 1)), modes[1], modes[0])
    noisy = Geodesic(space, ve).corrupt(x0, t, Noise(range(count)))
    score = two_modes(space, ve, 0.0).predict({"x": noisy.x}, {"x": t})["x"]
    probes = [space.score(space.log(m, noisy.x), column(2.0, score)) for m in modes] + [score]
    for scale, agrees in ((1.0, True), (1.1, False)):
        z = []
        for probe in probes:
            product = ((noisy.target - scale * score) * probe).flatten(1).sum(1)
            z.append((product.mean() / product.std()).item() * math.sqrt(count))
        assert (max(map(abs, z)) < 3.5) == agrees, z


def test_training_times_are_even() -> None:
    process = Geodesic(Torus(), VE(0.03, 3))
    np.testing.assert_allclose(process.times(np.array([0.1, 0.9])), [0.1, 0.9])


# -------------------------------------------------------------------------------------------------------------- walks


def test_on_euclidean_space_a_walk_is_ddpm_and_ddim() -> None:
    """The prediction is the score on one side, x_0-hat = x + sigma^2 score on the other; noise is the same."""
    ve, seeds = VE(0.1, 19), range(5)

    def score(x, t, condition=None):
        return (torch.tanh(x.roll(1, -1)) - x) / (ve.sigma(t) ** 2 + 1.5)

    def x0(x, t, condition=None):
        return x + ve.sigma(t) ** 2 * score(x, t)

    for ours, theirs in (
        (geodesic_random_walk(ve, even(15)), ddpm(ve, (*even(15)[:-1], 1e-9))),
        (geodesic_random_walk(ve, even(15), eta=0.0), ddim(ve, (*even(15)[:-1], 1e-9))),
    ):
        start = Noise(seeds)["start"].normal(3) * 19
        a = sample(score, Geodesic(Euclidean(3), ve), ours, (3,), seeds, start=start)
        b = sample(x0, Gaussian(ve), theirs, (3,), seeds, start=start)
        torch.testing.assert_close(a, b, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0, 1.7])
def test_a_walk_to_a_known_point_is_exact_at_any_number_of_steps(eta) -> None:
    ve = VE(0.03, 3)
    variance = float(ve.sigma(1.0)) ** 2
    for row in geodesic_random_walk(ve, (1.0, 0.7, 0.25, 0.0), eta).rows:
        assert variance == pytest.approx(float(ve.sigma(row.t)) ** 2)
        variance = (1 - row.b[0] / variance) ** 2 * variance + row.c**2
    assert variance == pytest.approx(0.03**2)


def test_where_a_walk_ends() -> None:
    ve, times = VE(0.03, 3), even(10)
    assert geodesic_random_walk(ve, times).rows[-1].c > 0 and geodesic_random_walk(ve, times).rows[-1].s == 0
    for order in (1, 2):
        last = geodesic_random_walk(ve, times, eta=0.0 if order == 2 else 1.0, order=order, denoise=True).rows[-1]
        assert last.b == (pytest.approx(ve.sigma(0.1) ** 2),) and last.c == 0
    # where the schedule itself ends in no noise, so does the walk
    assert geodesic_random_walk(EDM(), (80.0, 1.0, 0.0)).rows[-1] == Row(1.0, 0.0, b=(1.0,))


def test_what_a_walk_refuses() -> None:
    with pytest.raises(ValueError, match="alpha = 1"):
        geodesic_random_walk(Cosine(), even(5))
    for eta, order in ((-1.0, 1), (0.5, 2), (0.0, 3), (math.nan, 1)):
        with pytest.raises(ValueError, match="order 1 and eta"):
            geodesic_random_walk(VE(), even(5), eta, order)
    with pytest.raises(ValueError, match="falls strictly"):
        geodesic_random_walk(VE(), (0.0, 1.0))
    for beta, sigma_data in ((0.0, 1.0), (1.0, -1.0)):
        with pytest.raises(ValueError, match="positive"):
            low_temperature(geodesic_random_walk(VE(), even(5)), VE(), beta, sigma_data)
    process, x = Geodesic(Torus(), VE()), torch.zeros(1, 2)
    for row in (Row(1, 0, a=0.5, b=(1.0,)), Row(1, 0, d=1.0), Row(1, 0, hold=True), Row(1, 0, output=(1.0, 1.0))):
        with pytest.raises(ValueError, match=r"geodesic_random_walk\(\)"):
            process.step(x, x, row, Memory(), Noise([0]), 0)


@pytest.mark.parametrize("space", [Torus(), SO3()], ids=lambda s: type(s).__name__)
def test_measured_order_of_convergence(space) -> None:
    """Paths of the probability flow between two modes, against the same path in many more steps."""
    ve = VE(0.05, 2.5)
    data, process, start = two_modes(space, ve, 0.3), Geodesic(space, ve), points(space, 9, seed=40)

    def end(n: int, order: int) -> Tensor:
        x, memory = start, Memory(2)
        for index, row in enumerate(geodesic_random_walk(ve, even(n), eta=0.0, order=order).rows):
            score = data.predict({"x": x}, {"x": row.t})["x"]
            x = process.step(x, score, row, memory, Noise(range(9)), index)
        return x

    truth = end(400, 2)
    for order in (1, 2):
        coarse, fine = (space.distance(end(n, order), truth).median().item() for n in (50, 100))
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.15)


def test_a_tempered_walk_narrows_a_gaussian_as_its_power_does() -> None:
    ve, d, beta = VE(0.01, 20), 0.7, 3.0
    for eta, order in ((1.0, 1), (0.0, 1), (0.0, 2), (1.5, 1)):
        plan = low_temperature(geodesic_random_walk(ve, even(400), eta, order), ve, beta, d)
        state = np.eye(1 + len(plan))[0]  # x as a sum of the start and of each step's noise
        scores: list[np.ndarray] = []
        for index, row in enumerate(plan.rows):
            scores.insert(0, -state / (d**2 + float(ve.sigma(row.t)) ** 2))
            state = state + sum(b * s for b, s in zip(row.b, scores, strict=False))
            state[1 + index] += row.c
        spread = math.sqrt(state[0] ** 2 * (20**2 + d**2 / beta) + (state[1:] ** 2).sum())
        assert spread == pytest.approx(math.hypot(d / math.sqrt(beta), 0.01), rel=0.02)
    plain, cold = (
        plan.rows[3]
        for plan in (
            geodesic_random_walk(ve, even(5), 0.0, 2),
            low_temperature(geodesic_random_walk(ve, even(5), 0.0, 2), ve, beta, d),
        )
    )
    noise = [float(ve.sigma(time)) ** 2 for time in (0.4, 0.6)]  # each score is scaled for where it was taken
    gains = [(d**2 + s) / (d**2 / beta + s) for s in noise]
    assert cold.b == pytest.approx([b * gain for b, gain in zip(plain.b, gains, strict=True)])
    same = low_temperature(geodesic_random_walk(ve, even(5)), ve, 1.0, d)
    assert [row.b[0] for row in same.rows] == pytest.approx(
        [row.b[0] for row in geodesic_random_walk(ve, even(5)).rows]
    )


# -------------------------------------------------------------------------------------------------------------- poses

LEAVES: dict[str, Space] = {"place": Euclidean(3), "turn": SO3(), "torsion": Torus()}
POSE = {"place": (3,), "turn": (3, 3), "torsion": (4,)}
SCHEDULES = {"place": VE(0.1, 19), "turn": VE(0.03, 3.0), "torsion": VE(0.0314, 3.14)}
SPREAD = {"place": 1.0, "turn": 0.3, "torsion": 0.4}
PROCESS = Product({name: Geodesic(space, SCHEDULES[name]) for name, space in LEAVES.items()})
MODES = {
    "place": torch.tensor([[[3.0, -2.0, 1.0]], [[-3.0, 2.0, -1.0]]]),
    "turn": points(SO3(), 2, seed=5).float()[:, None],
    "torsion": torch.tensor([[[3.0, -1.0, 0.0, 1.5]], [[-2.0, 1.0, 3.0, 0.2]]]),
}
DATA = Modes(LEAVES, MODES, (0.3, 0.7), SCHEDULES, SPREAD)


def pose_plan(n: int, eta: float = 1.0, order: int = 1) -> JointPlan:
    return JointPlan(
        {name: geodesic_random_walk(schedule, even(n), eta, order) for name, schedule in SCHEDULES.items()}
    )


@pytest.mark.parametrize(
    "steps, eta, order, tolerance",
    # Kolmogorov-Smirnov distance to the exact law; 3,000 samples alone are 0.025 from it at the 5 % level
    [(20, 1.0, 1, 0.10), (20, 0.0, 2, 0.06), (50, 1.0, 1, 0.05), (50, 0.5, 1, 0.03)],
)
def test_sampled_poses_follow_the_exact_law(steps, eta, order, tolerance) -> None:
    """Two poses of unequal weight, known in all leaves at once: which one a sample is at, and how it spreads there."""
    count = 3000
    sigma = {name: math.hypot(SPREAD[name], SCHEDULES[name].sigma_min) for name in LEAVES}
    x = sample(DATA.predict, PROCESS, pose_plan(steps, eta, order), POSE, range(count))
    at = {name: [LEAVES[name].log(mode, x[name]) for mode in MODES[name]] for name in LEAVES}
    second = at["turn"][1].norm(dim=-1) < at["turn"][0].norm(dim=-1)
    assert second.float().mean().item() == pytest.approx(0.7, abs=0.05)
    for mode, here in ((0, ~second), (1, second)):
        place, turn, torsion = (at[name][mode][here].double() for name in LEAVES)
        slack = tolerance + 0.5 / math.sqrt(int(here.sum()))  # and the finite sample
        assert kstest(turn.norm(dim=-1).numpy(), lambda w: igso3_cdf(w, sigma["turn"])).statistic < slack
        assert kstest(torsion.numpy().ravel(), lambda a: wrapped_normal_cdf(a, sigma["torsion"])).statistic < slack
        # the median, as a sample may be between the poses; of a Gaussian it is 0.6745 standard deviations
        assert torsion.abs().median().item() == pytest.approx(0.6745 * sigma["torsion"], rel=3 * tolerance)
        assert place.std().item() == pytest.approx(sigma["place"], rel=3 * tolerance)
        assert place.mean(0).abs().max() < 4 * tolerance


def test_a_pose_is_the_same_to_the_bit_alone_and_in_company() -> None:
    plan = JointPlan({name: geodesic_random_walk(s, even(6)) for name, s in SCHEDULES.items()})

    def predict(x, t, condition=None):  # elementwise: the oracle's own reductions are not what is tested
        push = {name: -0.1 * space.log(MODES[name][0], x[name]) for name, space in LEAVES.items()}
        return {name: v / SCHEDULES[name].sigma(t[name]) for name, v in push.items()}

    together = sample(predict, PROCESS, plan, POSE, range(33))
    for seeds in ([7], [31, 7, 2], list(range(7, 24))):
        apart = sample(predict, PROCESS, plan, POSE, seeds)
        for name in POSE:
            assert torch.equal(apart[name], together[name][seeds])
    data = {name: MODES[name][0].expand(33, *POSE[name]) for name in POSE}
    t = {name: np.linspace(0, 1, 33) for name in POSE}
    noisy = PROCESS.corrupt(data, t, Noise(range(33)))
    one = PROCESS.corrupt({k: v[7:8] for k, v in data.items()}, {k: v[7:8] for k, v in t.items()}, Noise([7]))
    for name in POSE:
        assert torch.equal(one.x[name], noisy.x[name][7:8]) and torch.equal(one.target[name], noisy.target[name][7:8])


def test_plans_of_walks_survive_json() -> None:
    for plan in (
        geodesic_random_walk(VE(), even(5)),
        low_temperature(geodesic_random_walk(VE(), even(5), 0.0, 2), VE(), 2.0, 0.5),
    ):
        assert Plan.from_json(plan.to_json()) == plan
