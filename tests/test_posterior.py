"""Posterior guidance: operators against plain definitions, and posteriors of Gaussian data in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gaussians import Correlated, dense, ends, moments
from torch.nn.functional import avg_pool3d

from diffx.guide import Blur, Downsample, Fourier, Mask, Operator, Projection, keep, posterior
from diffx.guide.algebra import conjugate_gradient
from diffx.noise import Noise
from diffx.plan import SOLVERS, Plan, ddim, make_plan, repaint
from diffx.process import Gaussian
from diffx.sampling import sample
from diffx.schedule import EDM, Cosine
from oracles import SCHEDULES, name_of, order_of

every = pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)
D64 = torch.float64


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return Noise(range(seed, seed + shape[0])).normal(*shape[1:]).double()


def bits(count: int, *shape: int) -> torch.Tensor:
    return (Noise([count]).uniform(*shape) < 0.4)[0]


OPERATORS: dict[str, tuple[Operator, tuple[int, ...]]] = {
    "mask 1-D": (Mask(bits(1, 2, 9)), (2, 9)),
    "mask 3-D, one for all channels": (Mask(bits(2, 1, 3, 4, 2)), (2, 3, 4, 2)),
    "downsample 1-D": (Downsample(3), (2, 9)),
    "downsample 3-D, thick slices": (Downsample((1, 2, 4)), (1, 3, 4, 8)),
    "blur 1-D": (Blur(torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=D64)), (2, 8)),
    "blur 2-D": (Blur(normal(1, 3, 2)[0]), (1, 5, 6)),
    "sum of the parts": (Projection(torch.ones(1, 3, dtype=D64)), (3, 7)),
    "rays, one of them twice": (Projection(normal(4, 12)[[0, 1, 2, 3, 0]], (1, 3, 4)), (1, 3, 4)),
    "k-space 1-D": (Fourier(bits(3, 8)), (2, 8)),
    "k-space 2-D": (Fourier(bits(4, 5, 4)), (1, 5, 4)),
}
each = pytest.mark.parametrize(("operator", "shape"), OPERATORS.values(), ids=OPERATORS)

# ----------------------------------------------------------------------------------------------------------- operators


@each
def test_adjoint(operator, shape) -> None:
    x = normal(3, *shape)
    y = operator(normal(3, *shape, seed=9))
    if y.is_complex():
        y = operator.measured(y * torch.polar(torch.ones(y.shape, dtype=D64), normal(*y.shape, seed=4)))
    left = (operator(x).conj() * y).real.flatten(1).sum(1)
    torch.testing.assert_close(left, (x * operator.adjoint(y)).flatten(1).sum(1), rtol=1e-12, atol=1e-12)
    assert float(left.abs().min()) > 1e-3


@each
@pytest.mark.parametrize(("s", "n"), [(0.7, 0.2), (2.0, 0.0)])
def test_solve_undoes_what_it_says(operator, shape, s, n) -> None:
    v = operator(normal(2, *shape))
    scale = torch.tensor([s, 2 * s], dtype=D64).view(2, *(1,) * (v.ndim - 1))
    for gain in (s, scale):
        u = operator.solve(v, gain, n)
        torch.testing.assert_close(gain * operator(operator.adjoint(u)) + n * u, v, rtol=1e-6, atol=1e-6)


def test_what_operators_measure() -> None:
    x = normal(2, 1, 4, 6, 8)
    torch.testing.assert_close(Downsample((2, 3, 4))(x), avg_pool3d(x, (2, 3, 4)))
    kernel = torch.tensor([0.5, 0.3, 0.2], dtype=D64)
    line = x[..., 0, 0, :]
    shifted = sum(kernel[k] * line.roll(k - 1, -1) for k in range(3))
    torch.testing.assert_close(Blur(kernel)(line), shifted)
    torch.testing.assert_close(Blur(torch.tensor([0.0, 0, 1, 0], dtype=D64))(line), line)  # the centre is at K // 2
    torch.testing.assert_close(Projection(torch.ones(1, 4, dtype=D64))(x[:, 0]), x[:, 0].sum(1, keepdim=True))
    rays = Projection(normal(5, 8), (1, 8))
    torch.testing.assert_close(rays(line), line.flatten(1) @ rays.matrix.T)
    spectrum = Fourier(torch.ones(8, dtype=torch.bool))(line)
    torch.testing.assert_close(spectrum.abs().square().sum(-1), line.square().sum(-1))  # unitary
    torch.testing.assert_close(spectrum[..., 0].real * math.sqrt(8), line.sum(-1))
    with pytest.raises(ValueError, match="divide"):
        Downsample(3)(x)
    with pytest.raises(ValueError, match="2 factors for 3 axes"):
        Downsample((2, 2))(x)


def test_conjugate_gradient_ends_after_as_many_steps_as_there_are_eigenvalues() -> None:
    values = torch.tensor([[1.0, 1, 3, 3, 8, 8]], dtype=D64)
    basis = torch.linalg.qr(normal(6, 6)).Q
    b = torch.cat([normal(2, 6), torch.zeros(1, 6, dtype=D64)])
    for iterations, error in ((3, 1e-12), (30, 1e-12)):
        x = conjugate_gradient(lambda v: (v @ basis * values) @ basis.T, b, iterations)
        torch.testing.assert_close((x @ basis * values) @ basis.T, b, rtol=0, atol=error)
    short = conjugate_gradient(lambda v: (v @ basis * values) @ basis.T, b, 2)
    assert float((short - x)[:2].abs().min(1).values.max()) > 1e-4 and not x[2].any()


# ------------------------------------------------------------------------------------------------------- one prediction


def cases(dims: int = 16):
    mask = torch.zeros(1, dims, dtype=torch.bool)
    mask[:, ::3] = True
    return {
        "mask": Mask(mask),
        "downsample": Downsample(4),
        "blur": Blur(torch.tensor([0.25, 0.5, 0.25], dtype=D64)),
        "projection": Projection(torch.ones(1, dims, dtype=D64), (1, dims)),
    }


@every
@pytest.mark.parametrize("name", cases())
def test_mmps_is_the_conditional_expectation(name, schedule) -> None:
    """E[x_0 | x_t, y] of Gaussian data to rounding, with exact measurements too, and within 1e-3 at the prior, where
    zero terminal SNR leaves no Jacobian to differentiate; times one a sample."""
    data, operator = Correlated.of(16), cases()[name]
    truth, x = data.draw(2).view(2, 1, 16), normal(2, 1, 16)
    a = dense(operator, (1, 16))
    a = a[a.abs().sum(1) > 0]
    for noise_std in (0.05, 0.4) if name == "blur" else (0.0, 0.05):
        y = operator(truth)
        guided = posterior(data.predict(schedule), operator, y, schedule, noise_std, iterations=20)
        for ratio, tolerance in ((0.05, 1e-6), (1.0, 1e-6), (20.0, 1e-6), (np.inf, 2e-3)):
            t = float(schedule.time(ratio))
            noisy = schedule.alpha(t) * truth + schedule.sigma(t) * x
            got = guided(noisy, t)
            both = guided(noisy, np.array([t, t]))
            torch.testing.assert_close(both, got, rtol=0, atol=1e-10)
            mean = data.predict(schedule)(noisy, t).flatten(1)
            for k in range(2):
                belief = Correlated(mean[k], data.posterior_cov(schedule, t))
                exact = belief.given(a, a @ truth[k].flatten(), noise_std).mean
                torch.testing.assert_close(got[k].flatten(), exact, rtol=0, atol=tolerance)


@every
def test_pigdm_and_dps_are_what_they_say(schedule) -> None:
    data, operator, t = Correlated.of(16), cases()["downsample"], float(schedule.time(0.8))
    truth = data.draw(2).view(2, 1, 16)
    noisy, y = schedule.alpha(t) * truth + schedule.sigma(t) * normal(2, 1, 16), operator(truth)
    a, cov = dense(operator, (1, 16)), data.posterior_cov(schedule, t)
    mean = data.predict(schedule)(noisy, t)
    residual = (y - operator(mean)).flatten(1)
    white = 0.8**2 * 0.5**2 / (0.8**2 + 0.5**2)
    inner = {"pigdm": white * a @ a.T + 0.09 * torch.eye(4), "dps": 0.09 * torch.eye(4, dtype=D64)}
    for method, w in inner.items():
        got = posterior(data.predict(schedule), operator, y, schedule, 0.3, method, sigma_data=0.5)(noisy, t)
        expected = mean.flatten(1) + residual @ torch.linalg.inv(w) @ a @ cov
        torch.testing.assert_close(got.flatten(1), expected, rtol=1e-8, atol=1e-8)


def test_pigdm_is_exact_for_white_data() -> None:
    data, schedule = Correlated(torch.zeros(16), 0.25 * torch.eye(16)), Cosine()
    operator, y = cases()["blur"], normal(1, 1, 16)
    x = normal(1, 1, 16, seed=3)
    one, other = (
        posterior(data.predict(schedule), operator, y, schedule, 0.1, m, 0.5, iterations=30)(x, 0.6)
        for m in ("pigdm", "mmps")
    )
    torch.testing.assert_close(one, other, rtol=0, atol=1e-8)


def test_what_is_not_measured_is_ignored_and_bad_arguments_are_named() -> None:
    data, operator, schedule = Correlated.of(16), cases()["mask"], Cosine()
    y, x = data.draw(1).view(1, 1, 16), normal(1, 1, 16)
    holes = torch.where(operator.mask, y, torch.nan)
    clean, holed = (posterior(data.predict(schedule), operator, m, schedule, 0.0)(x, 0.5) for m in (y, holes))
    assert torch.equal(clean, holed)
    for arguments, words in ((("gibbs",), "known: mmps"), (("dps",), "above 0"), ((), "at least 0, not -1")):
        with pytest.raises(ValueError, match=words):
            posterior(data.predict(schedule), operator, y, schedule, 0.0 if arguments else -1, *arguments)


# ------------------------------------------------------------------------------------------------------------ sampling


def distance(method: str, name: str, steps: int, schedule, noise_std: float, **options) -> tuple[float, float]:
    """Largest errors of the mean and of the covariance that sampling reaches, without sampling error."""
    data, operator = Correlated.of(16), cases()[name]
    truth = data.draw(1, seed=5).view(1, 1, 16)
    a = dense(operator, (1, 16))
    a = a[a.abs().sum(1) > 0]
    exact = data.given(a, a @ truth.flatten(), noise_std)
    y = operator(truth)
    single = {k: v.float() if torch.is_tensor(v) and v.dtype == D64 else v for k, v in vars(operator).items()}
    y = y.float().expand(17, *y.shape[1:])
    guided = posterior(data.predict(schedule), type(operator)(**single), y, schedule, noise_std, method, **options)
    mean, cov = ends(guided, schedule, make_plan(schedule, "dpmpp_2m", steps, "log_snr"), (1, 16), exact)
    return float((mean - exact.mean).abs().max()), float((cov - exact.cov).abs().max())


@pytest.mark.parametrize("name", cases())
def test_sampling_with_mmps_reaches_the_posterior(name) -> None:
    """The mean to rounding, and the covariance to what the solver errs, which falls with its order, 2."""
    schedule, noise_std = (EDM() if name == "mask" else Cosine()), (0.1 if name == "blur" else 0.0)
    coarse, fine = (distance("mmps", name, n, schedule, noise_std, iterations=16) for n in (20, 40))
    assert max(coarse[0], fine[0]) < 1e-5 and fine[1] < 2e-3
    assert order_of([coarse[1], fine[1]]) == pytest.approx(2, abs=0.12)


def test_known_error_of_five_iterations() -> None:
    """The default is as good as exact for the mask, boxes and sums; a blur of many eigenvalues wants more."""
    errors = {name: distance("mmps", name, 30, Cosine(), 0.05)[0] for name in cases()}
    assert max(errors["mask"], errors["downsample"], errors["projection"]) < 5e-4
    assert 0.01 < errors["blur"] < 0.1


def test_known_bias_of_pigdm() -> None:
    """On data whose neighbours correlate over four elements the mean errs by 0.12, a quarter of a standard deviation,
    however many steps are taken; that of MMPS by 0.0001."""
    few, many = (distance("pigdm", "mask", n, Cosine(), 0.05, sigma_data=0.5)[0] for n in (30, 90))
    assert few == pytest.approx(many, rel=0.1) and many == pytest.approx(0.118, rel=0.1)


# -------------------------------------------------------------------------------------------------- keep and resampling


@every
@pytest.mark.parametrize("name", SOLVERS)
def test_what_is_kept_has_its_bits_in_the_sample(name, schedule) -> None:
    process, plan = Gaussian(schedule, 0.5), make_plan(schedule, name, 5)
    data, mask = Correlated.of(12), bits(7, 3, 1, 12)
    known = torch.where(mask, normal(3, 1, 12).float() * 1e3, torch.nan)
    known[mask.nonzero(as_tuple=True)[0][:1]] *= 1e-41  # subnormal
    end = sample(keep(data.predict(schedule), mask, known), process, plan, (1, 12), [1, 2, 3])
    assert torch.equal(end[mask].view(torch.int32), known[mask].view(torch.int32))
    assert end.isfinite().all() and not torch.equal(end, torch.where(mask, known, 0.0))


def inpainting(times: int, jump: int = 1, solver: str = "ddim", steps: int = 100) -> tuple[float, float]:
    """Error of the mean, in standard deviations, and ratio of deviations to the true ones, half of 8 elements known."""
    data, schedule, mask = Correlated.of(8), Cosine(), torch.arange(8) < 4
    known = data.mean + 2 * data.cov[3] / data.cov[3, 3].sqrt()  # two deviations up at the seam
    exact = data.given(torch.eye(8, dtype=D64)[:4], known[:4], 0.0)
    plan = repaint(make_plan(schedule, solver, steps, "log_snr"), schedule, times, jump)
    mean, cov = moments(keep(data.predict(schedule), mask, known), schedule, plan, 8)
    true, got = (c.diagonal()[4:].sqrt() for c in (exact.cov, cov))
    return float(((mean - exact.mean)[4:].abs() / true).max()), float((got / true).max())


def test_resampling_narrows_the_seam() -> None:
    """Replacement alone leaves the mean 1.3 standard deviations behind the known part at the seam and is 24 % too wide;
    walking each step 20 times leaves 0.17 and 1 %. Turning round after longer ways helps less for the same work."""
    (once, wide), (five, _), (twenty, right) = (inpainting(times) for times in (1, 5, 20))
    assert once == pytest.approx(1.31, abs=0.02) and five == pytest.approx(0.49, abs=0.02) and twenty < 0.18
    assert wide == pytest.approx(1.24, abs=0.01) and abs(right - 1) < 0.01
    assert inpainting(20, jump=10)[0] > 1.2 * twenty


def test_posterior_inside_keep_has_no_seam() -> None:
    data, schedule, mask = Correlated.of(8), Cosine(), (torch.arange(8) < 4).view(1, 8)
    known = (data.mean + 2 * data.cov[3] / data.cov[3, 3].sqrt()).float().view(1, 1, 8)
    exact = data.given(torch.eye(8, dtype=D64)[:4], known.flatten()[:4].double(), 0.0)
    guided = posterior(data.predict(schedule), Mask(mask), known, schedule, 0.0)
    mean, cov = ends(keep(guided, mask, known), schedule, make_plan(schedule, "dpmpp_2m", 80, "log_snr"), (1, 8), exact)
    assert torch.equal(mean[:4].float(), known.flatten()[:4]) and not cov[:4].any()
    torch.testing.assert_close(mean, exact.mean, rtol=0, atol=0.01)
    torch.testing.assert_close(cov, exact.cov, rtol=0, atol=0.003)


@every
def test_going_back_up_is_the_forward_process(schedule) -> None:
    """The marginal at s, renoised, is that at t; and the plan walks down again from where it turned."""
    plan = ddim(schedule, [float(schedule.time(r)) for r in (8.0, 2.0, 0.5, 0.1)] + [0.0])
    repeated = repaint(plan, schedule, times=3, jump=2)
    assert repaint(plan, schedule, times=1).rows == plan.rows
    down, (last,) = plan.rows[:-1], plan.rows[-1:]
    assert [row for row in repeated.rows if row.evaluate] == [*down[:2] * 3, *down[2:] * 3, last]
    assert len(repeated) == 10 and Plan.from_json(repeated.to_json()) == repeated
    for row in repeated.rows:
        if not row.evaluate:
            assert row.a * schedule.alpha(row.s if row.s < row.t else row.t) == pytest.approx(schedule.alpha(row.s))
            start = row.t
            assert (row.a * schedule.sigma(start)) ** 2 + row.c**2 == pytest.approx(schedule.sigma(row.s) ** 2)
    times = [row.t for row in repeated.rows[1:]]
    assert times == [row.s for row in repeated.rows[:-1]]  # no gap


def test_plans_with_memory_are_not_repainted() -> None:
    for name in ("heun", "dpmpp_2m"):
        with pytest.raises(ValueError, match="remembers"):
            repaint(make_plan(Cosine(), name, 5), Cosine())
    with pytest.raises(ValueError, match="at least 1"):
        repaint(make_plan(Cosine(), "ddim", 5), Cosine(), times=0)
