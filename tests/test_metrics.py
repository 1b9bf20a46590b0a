"""Metrics against closed forms, against plain double loops, and against what chance gives."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import linalg, stats

from diffx.metrics import (
    audit,
    auroc,
    ausc,
    ause,
    average_precision,
    bootstrap,
    central_interval,
    conformal_interval,
    conformal_margin,
    conformal_quantile,
    conformal_rank,
    crps,
    crps_each,
    dice,
    ensemble_interval,
    expected_coverage,
    frechet_distance,
    frechet_gaussians,
    frechet_infinity,
    kid,
    median_distance,
    mmd2,
    polynomial,
    prdc,
    rank_correlation,
    rank_histogram,
    rbf,
    real_vs_real,
    reliability,
    reliability_counts,
    score_interval,
    sparsification,
    spread_skill,
)
from diffx.metrics.arrays import nearest
from diffx.metrics.memorise import _exchangeable


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# --------------------------------------------------------------------------------------------------------------- arrays


def test_nearest_neighbours_far_from_the_origin() -> None:
    """Brute force; and equal rows are at distance 0 exactly, wherever they lie."""
    a, b = rng(1).normal(size=(40, 6)) + 1e4, rng(2).normal(size=(90, 6)) + 1e4
    a[3] = b[17]
    plain = np.sqrt(((a[:, None] - b) ** 2).sum(-1))
    distance, index = nearest(torch.from_numpy(a), torch.from_numpy(b), 3, chunk=7)
    np.testing.assert_array_equal(index.numpy(), plain.argsort(1)[:, :3])
    np.testing.assert_allclose(distance.numpy(), np.sort(plain, 1)[:, :3], rtol=1e-9)
    assert distance[3, 0] == 0 and index[3, 0] == 17


def test_what_is_no_set_of_features_is_refused() -> None:
    good = np.zeros((5, 2))
    for bad, message in (
        (np.full((5, 2), np.nan), "NaN"),
        (np.zeros((5, 3)), "dimension"),
        (np.zeros((5, 2, 2)), r"\[n, d\]"),
        (np.zeros((1, 2)), "at least 2"),
    ):
        with pytest.raises(ValueError, match=message):
            frechet_distance(good, bad)


# -------------------------------------------------------------------------------------------------------------- Fréchet


def with_moments(mean: np.ndarray, cov: np.ndarray, n: int, seed: int) -> np.ndarray:
    """n samples whose sample mean and covariance are these exactly."""
    z = rng(seed).normal(size=(n, len(mean)))
    z -= z.mean(0)
    z = z @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T))).T
    return mean + z @ np.linalg.cholesky(cov).T


def test_frechet_of_gaussians_in_closed_form() -> None:
    """Covariances with common axes: |m_a - m_b|^2 + sum (sqrt a_i - sqrt b_i)^2."""
    axes = np.linalg.qr(rng(0).normal(size=(5, 5)))[0]
    a, b = np.array([4.0, 1.0, 0.25, 9.0, 1e-4]), np.array([1.0, 1.0, 2.25, 4.0, 1.0])
    m_a, m_b = np.arange(5.0), np.ones(5)
    expected = ((m_a - m_b) ** 2).sum() + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    cov_a, cov_b = (axes * a) @ axes.T, (axes * b) @ axes.T
    x, y = with_moments(m_a, cov_a, 50, 1), with_moments(m_b, cov_b, 70, 2)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(torch.from_numpy(x), y) == pytest.approx(expected, rel=1e-9)
    assert frechet_gaussians(m_a, cov_a, m_b, cov_b) == pytest.approx(expected, rel=1e-9)


def test_frechet_is_that_of_the_matrix_square_root() -> None:
    """Heusel et al. 2017 with scipy's sqrtm, on covariances that do not commute."""
    x, y = rng(1).normal(size=(300, 8)) @ rng(2).normal(size=(8, 8)), rng(3).normal(size=(200, 8)) + 0.3
    cov_x, cov_y = np.cov(x.T), np.cov(y.T)
    root = linalg.sqrtm(cov_x @ cov_y).real
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(cov_x + cov_y - 2 * root)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(y, x) == pytest.approx(expected, rel=1e-9)
    assert frechet_gaussians(x.mean(0), cov_x, y.mean(0), cov_y) == pytest.approx(expected, rel=1e-8)


def test_frechet_with_fewer_samples_than_dimensions() -> None:
    """All samples lie in 14 dimensions out of 400, where the distance has no singular matrix left to take a root of."""
    small_x, small_y = rng(1).normal(size=(40, 14)), 1.5 * rng(2).normal(size=(50, 14)) + 0.2
    frame = np.linalg.qr(rng(3).normal(size=(400, 14)))[0].T
    expected = frechet_distance(small_x, small_y)
    assert frechet_distance(small_x @ frame, small_y @ frame) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(small_x @ frame + 5, small_x @ frame + 5) < 1e-9
    # n < d in earnest: two samples each, sqrt(S_a S_b) by hand
    x, y = np.array([[0.0, 0, 0], [2, 0, 0]]), np.array([[0.0, 0, 0], [2, 2, 0]])
    # S_a = 2 e e^T, S_b = 2 f f^T with f = (1, 1): tr root = 2 |e.f| = 2; means differ by (0, 1, 0)
    assert frechet_distance(x, y) == pytest.approx(1 + 2 + 4 - 2 * 2, rel=1e-12)


def test_real_vs_real_is_what_fresh_real_data_of_that_size_give() -> None:
    fresh = [frechet_distance(rng(k).normal(size=(60, 6)), rng(k + 999).normal(size=(60, 6))) for k in range(200)]
    measured = real_vs_real(frechet_distance, rng(1).normal(size=(1200, 6)), n=60, splits=40)
    assert measured.value == pytest.approx(np.mean(fresh), rel=0.08)
    assert measured.error == pytest.approx(np.std(fresh), rel=0.35)
    assert real_vs_real(frechet_distance, rng(1).normal(size=(1200, 6))).value < measured.value / 5  # bias falls with n
    # identity of the halves: disjoint, of size n, by seed
    numbers, seen = np.arange(10.0), []
    real_vs_real(lambda a, b: seen.append((a, b)) or 0.0, numbers, n=5, splits=3, seed=4)
    assert all(sorted([*a.tolist(), *b.tolist()]) == numbers.tolist() for a, b in seen)
    assert len({tuple(a.tolist()) for a, _ in seen}) == 3
    with pytest.raises(ValueError, match="do not split into twice 6"):
        real_vs_real(frechet_distance, numbers, n=6)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_frechet_infinity_takes_the_bias_out(shift) -> None:
    """The truth is 10 shift^2; at n = 300 the plain distance is too large by 0.25 on average."""
    plain, far = np.empty(25), np.empty(25)
    for k in range(25):
        x, y = rng(k).normal(size=(300, 10)), rng(k + 50).normal(size=(300, 10)) + shift
        plain[k] = frechet_distance(x, y) - 10 * shift**2
        far[k] = frechet_infinity(x, y, seed=k).value - 10 * shift**2
    assert plain.mean() > 3.5 * plain.std() / math.sqrt(25)
    assert abs(far.mean()) < 3 * far.std() / math.sqrt(25) and abs(far.mean()) < plain.mean() / 2
    with pytest.raises(ValueError, match="too few"):
        frechet_infinity(np.zeros((5, 2)), np.zeros((5, 2)))


# ------------------------------------------------------------------------------------------------------------------ MMD


def plain_mmd2(x: np.ndarray, y: np.ndarray, k, unbiased: bool) -> float:
    """Gretton et al. 2012, eq. 3 and 5, as they stand."""

    def own(z: np.ndarray) -> float:
        n = len(z)
        total = sum(k(z[i], z[j]) for i in range(n) for j in range(n) if not (unbiased and i == j))
        return total / (n * (n - 1) if unbiased else n * n)

    return own(x) + own(y) - 2 * sum(k(a, b) for a in x for b in y) / (len(x) * len(y))


def gauss_kernel(a: np.ndarray, b: np.ndarray) -> float:
    return math.exp(-((a - b) ** 2).sum() / (2 * 1.3**2))


def kid_kernel(a: np.ndarray, b: np.ndarray) -> float:
    return (a @ b / len(a) + 1) ** 3


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize(
    ("ours", "plain"), [(rbf(1.3), gauss_kernel), (polynomial(), kid_kernel)], ids=["rbf", "polynomial"]
)
def test_mmd_is_the_double_sum_and_its_error_the_jackknife(ours, plain, unbiased) -> None:
    x, y = rng(1).normal(size=(9, 4)), rng(2).normal(size=(12, 4)) + 0.4
    got = mmd2(x, y, ours, unbiased, chunk=5)
    assert got.value == pytest.approx(plain_mmd2(x, y, plain, unbiased), rel=1e-10)
    without_x = np.array([plain_mmd2(np.delete(x, i, 0), y, plain, unbiased) for i in range(len(x))])
    without_y = np.array([plain_mmd2(x, np.delete(y, j, 0), plain, unbiased) for j in range(len(y))])
    variance = sum((len(w) - 1) / len(w) * ((w - w.mean()) ** 2).sum() for w in (without_x, without_y))
    assert got.error == pytest.approx(math.sqrt(variance), rel=1e-9)


def test_kid_of_numbers_is_a_distance_of_moments() -> None:
    """(x y + 1)^3 in one dimension: 3 (m_1 - n_1)^2 + 3 (m_2 - n_2)^2 + (m_3 - n_3)^2, exactly, with biased sums."""
    x, y = rng(1).normal(size=30), rng(2).gamma(2.0, size=50)
    gaps = [np.mean(x**p) - np.mean(y**p) for p in (1, 2, 3)]
    expected = 3 * gaps[0] ** 2 + 3 * gaps[1] ** 2 + gaps[2] ** 2
    assert mmd2(x, y, polynomial(), unbiased=False).value == pytest.approx(expected, rel=1e-9)
    assert kid(x, y).value == pytest.approx(plain_mmd2(x[:, None], y[:, None], kid_kernel, True), rel=1e-9)


def test_mmd_of_gaussians_in_closed_form_and_its_error() -> None:
    """E k = (h^2 / (h^2 + 2))^(d/2) exp(-|delta|^2 / (2 (h^2 + 2))) for unit Gaussians delta apart."""
    d, h, delta = 3, 1.7, 0.6
    same = (h**2 / (h**2 + 2)) ** (d / 2)
    truth = 2 * same * (1 - math.exp(-d * delta**2 / (2 * (h**2 + 2))))
    found = [mmd2(rng(k).normal(size=(150, d)), rng(k + 500).normal(size=(100, d)) + delta, rbf(h)) for k in range(200)]
    values = np.array([f.value for f in found])
    assert values.mean() == pytest.approx(truth, abs=3.5 * values.std() / math.sqrt(200))
    assert np.mean([f.error for f in found]) == pytest.approx(values.std(), rel=0.15)


def test_mmd_is_zero_in_expectation_and_only_unbiased() -> None:
    x, y = ([rng(s + k).normal(size=(20, 3)) for k in range(200)] for s in (0, 700))
    unbiased = np.array([mmd2(a, b, rbf(2.0)).value for a, b in zip(x, y, strict=True)])
    biased = np.array([mmd2(a, b, rbf(2.0), unbiased=False).value for a, b in zip(x, y, strict=True)])
    assert abs(unbiased.mean()) < 3.5 * unbiased.std() / math.sqrt(200)
    # the diagonal adds (1 - E k) (1/n + 1/m)
    assert biased.mean() == pytest.approx((1 - (4 / 6) ** 1.5) * 2 / 20, abs=3.5 * biased.std() / math.sqrt(200))
    assert biased.min() > 0


def test_median_distance() -> None:
    """Between two unit Gaussians in d dimensions: sqrt of twice the median of chi^2_d."""
    x, y = rng(1).normal(size=(900, 4)), rng(2).normal(size=(1500, 4))
    assert median_distance(x, y) == pytest.approx(math.sqrt(2 * stats.chi2.median(4)), rel=0.02)
    assert median_distance(np.array([0.0, 1.0]), np.array([1.0, 10.0])) == 1  # of 0 1 1 9 9 10, the lower middle
    # row i of each is point i: subsets are taken over the whole length, not from its beginning
    rising = np.arange(3000.0)
    assert median_distance(rising, rising) == pytest.approx(3000 * (1 - math.sqrt(0.5)), rel=0.01)


# ------------------------------------------------------------------------------- precision, recall, density, coverage


def plain_prdc(x: np.ndarray, y: np.ndarray, k: int) -> tuple[float, ...]:
    def radius(z: np.ndarray, i: int) -> float:
        return sorted(np.linalg.norm(z[i] - z[j]) for j in range(len(z)) if j != i)[k - 1]

    r_x, r_y = [radius(x, i) for i in range(len(x))], [radius(y, j) for j in range(len(y))]
    near = [[np.linalg.norm(a - b) for b in y] for a in x]
    real, fake = range(len(x)), range(len(y))
    return (
        np.mean([any(near[i][j] <= r_x[i] for i in real) for j in fake]),
        np.mean([any(near[i][j] <= r_y[j] for j in fake) for i in real]),
        sum(near[i][j] <= r_x[i] for i in real for j in fake) / (k * len(y)),
        np.mean([any(near[i][j] <= r_x[i] for j in fake) for i in real]),
    )


@pytest.mark.parametrize("k", [1, 3, 5])
def test_prdc_is_the_plain_loop(k) -> None:
    x, y = rng(1).normal(size=(31, 3)), 0.7 * rng(2).normal(size=(23, 3)) + 0.5
    for chunk in (4, 1000):
        got = prdc(x, y, k, chunk)
        assert (got.precision, got.recall, got.density, got.coverage) == pytest.approx(plain_prdc(x, y, k), abs=1e-12)
    assert len(set(plain_prdc(x, y, k))) == 4  # none stands for another


def test_equal_distributions_have_density_one_and_the_coverage_of_lemma_2() -> None:
    found = [prdc(rng(k).normal(size=(80, 4)), rng(k + 300).normal(size=(50, 4)), 3) for k in range(150)]
    for name, truth in (("density", 1.0), ("coverage", expected_coverage(80, 50, 3))):
        values = np.array([getattr(f, name) for f in found])
        assert values.mean() == pytest.approx(truth, abs=3.5 * values.std() / math.sqrt(150))
    # by hand: no fake among the first 2 of 4 others: 1 - (1/4)(0/3) and, of 5, 1 - (2/4)(1/3)
    assert expected_coverage(2, 3, 1) == pytest.approx(1 - 1 / 4) and expected_coverage(3, 2, 2) == 1 - 2 / 4 * 1 / 3


def test_prdc_of_lost_modes_strays_and_discrete_data() -> None:
    two = np.concatenate([rng(1).normal(size=(100, 2)), rng(2).normal(size=(100, 2)) + 50])
    one = rng(3).normal(size=(200, 2))
    lost = prdc(two, one)
    assert lost.precision > 0.9 and lost.recall < 0.55 and lost.coverage < 0.55
    stray = prdc(one, two)
    assert stray.precision < 0.55 and stray.recall > 0.85 and stray.density == pytest.approx(0.5, abs=0.1)
    letters = np.repeat(np.eye(3), 10, axis=0) * 0.1  # all radii are 0: the border must count
    same = prdc(letters, letters, 5)
    assert (same.precision, same.recall, same.coverage, same.density) == (1, 1, 1, 2)
    with pytest.raises(ValueError, match="at least 6"):
        prdc(two, one[:5])


# ----------------------------------------------------------------------------------------------------------------- CRPS


def plain_crps(x: np.ndarray, y: float, fair: bool) -> float:
    m = len(x)
    spread = sum(abs(a - b) for a in x for b in x) / (m * (m - 1) if fair else m * m)
    return np.abs(x - y).mean() - spread / 2


@pytest.mark.parametrize("fair", [True, False])
def test_crps_is_the_double_sum(fair) -> None:
    x, y = rng(1).normal(size=(7, 3, 4)), rng(2).normal(size=(3, 4))
    x[2] = x[5]  # ties
    plain = np.array([[plain_crps(x[:, i, j], y[i, j], fair) for j in range(4)] for i in range(3)])
    np.testing.assert_allclose(crps_each(x, y, fair).numpy(), plain, rtol=1e-12)
    mask = rng(3).uniform(size=(3, 4)) > 0.5
    assert crps(x, y, fair) == pytest.approx(plain.mean(), rel=1e-12)
    assert crps(torch.from_numpy(x), y, fair, mask) == pytest.approx(plain[mask].mean(), rel=1e-12)
    np.testing.assert_allclose(crps_each(x + 1e9, y + 1e9, fair).numpy(), plain, rtol=1e-6)
    assert crps(np.array([[3.0]]), np.array([1.0]), fair=False) == 2


def gaussian_crps(mean: float, std: float, y: np.ndarray) -> np.ndarray:
    """Gneiting et al. 2005, eq. 5."""
    z = (y - mean) / std
    return std * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / math.sqrt(math.pi))


def test_crps_of_gaussian_ensembles_in_closed_form() -> None:
    """Fair: unbiased with as few members as 3. Plain: too large by E|X - X'| / (2 m) = std / (sqrt(pi) m)."""
    y, std = np.linspace(-2, 4, 7).repeat(20_000), 1.5
    x = 0.5 + std * rng(1).normal(size=(3, len(y)))
    truth = gaussian_crps(0.5, std, y).mean()
    assert crps(x, y) == pytest.approx(truth, rel=0.01)
    assert crps(x, y, fair=False) - crps(x, y) == pytest.approx(std / math.sqrt(math.pi) / 3, rel=0.01)
    many = 0.5 + std * stats.norm.ppf((np.arange(4000) + 0.5) / 4000)
    np.testing.assert_allclose(crps_each(many[:, None] + 0 * y[::20_000], y[::20_000]).numpy(),
                               gaussian_crps(0.5, std, y[::20_000]), atol=1e-3)  # fmt: skip


def test_ensembles_that_do_not_fit_are_refused() -> None:
    for x, y, mask, message in (
        (np.zeros((3, 4)), np.zeros(5), None, "go with"),
        (np.zeros((1, 4)), np.zeros(4), None, "at least 2 members"),
        (np.zeros((3, 4)), np.zeros(4), np.zeros(4, bool), "leaves nothing"),
        (np.zeros((3, 4)), np.zeros(4), np.ones(5, bool), "mask of"),
    ):
        with pytest.raises(ValueError, match=message):
            crps(x, y, mask=mask)


# ------------------------------------------------------------------------------------------------- intervals and ranks


@pytest.mark.parametrize(("m", "level"), [(19, 0.9), (39, 0.5), (20, 0.8), (9, 0.5), (5, 0.9), (2, 0.5)])
def test_intervals_of_calibrated_ensembles_hold_what_they_promise(m, level) -> None:
    """m members and the observation drawn alike, uniformly, for which interpolated order statistics are exact."""
    draws = rng(1).uniform(size=(m + 1, 100_000))
    got = ensemble_interval(draws[1:], draws[0], level)
    assert got.nominal == pytest.approx(min(level, (m - 1) / (m + 1)))
    assert got.coverage == pytest.approx(got.nominal, abs=0.006)
    assert got.width == pytest.approx(got.nominal, abs=0.006)  # of uniform variates, width is probability
    assert got.count == 100_000 and got.level == level
    if got.nominal == pytest.approx(level):
        ends = np.quantile(draws[1:, :50], [(1 - level) / 2, (1 + level) / 2], axis=0, method="weibull")
        low, high, _ = central_interval(draws[1:, :50], level)
        np.testing.assert_allclose(np.stack([low, high]), ends, rtol=1e-10)


def test_interval_score_is_the_published_one_and_honesty_wins() -> None:
    low, high, y = np.array([0.0, 0, 0, 5]), np.array([1.0, 1, 1, 5]), np.array([0.5, -0.2, 1.6, 5])
    got = score_interval(low, high, y, 0.8)
    a = 0.2
    expected = np.mean((high - low) + 2 / a * (low - y) * (y < low) + 2 / a * (y - high) * (y > high))
    assert got.winkler == pytest.approx(expected) and got.coverage == 0.5 and got.width == 0.75
    part = score_interval(low, high, y, 0.8, mask=np.array([1, 1, 0, 0]))
    assert (part.coverage, part.width, part.count) == (0.5, 1.0, 2) and part.winkler == pytest.approx(1 + 10 * 0.1)
    z, best = rng(1).normal(size=100_000), stats.norm.ppf(0.9)
    scores = [score_interval(0 * z - w, 0 * z + w, z, 0.8).winkler for w in (0.7 * best, 0.9 * best, best, 1.2 * best)]
    assert min(scores) == scores[2]
    # E = 2 w + (2 / a) 2 (pdf(w) - w (1 - cdf(w)))
    assert scores[2] == pytest.approx(2 * best + 20 * (stats.norm.pdf(best) - 0.1 * best), rel=0.01)
    with pytest.raises(ValueError, match="ends below"):
        score_interval(high, low, y, 0.8)


def test_ranks_are_flat_for_calibrated_ensembles_and_bent_for_others() -> None:
    draws = rng(1).normal(size=(8, 80_000))
    flat = rank_histogram(draws[1:], draws[0])
    assert len(flat) == 8 and sum(flat) == pytest.approx(1) and np.allclose(flat, 1 / 8, atol=0.005)
    narrow = rank_histogram(0.5 * draws[1:], draws[0])
    assert narrow[0] > 0.2 > 0.1 > narrow[4]
    low = rank_histogram(draws[1:], draws[0] - 3)
    assert low[0] > 0.9
    # by hand: 0.5 has rank 1; 1 ties with two members and has rank 1, 2 or 3
    assert rank_histogram(np.array([[0.0, 0], [1, 1], [1, 1], [2, 2]]), np.array([0.5, 1.0])) == pytest.approx(
        (0, 1 / 2 + 1 / 6, 1 / 6, 1 / 6, 0)
    )


def test_ties_count_as_if_ranked_at_random() -> None:
    """Mostly zeros, as appliances are: still flat."""
    draws = np.maximum(rng(1).normal(size=(6, 60_000)) - 0.5, 0)
    assert np.allclose(rank_histogram(draws[1:], draws[0]), 1 / 6, atol=0.006)
    mask = draws[0] > 0
    assert rank_histogram(draws[1:], draws[0], mask)[-1] > 0.3


def test_reliability_of_known_probabilities() -> None:
    """Said p, happens p^2: the gap is p - p^2, 1/6 on average; Brier by E[p - 2 p p^2 ... ] in closed form."""
    p, u = rng(1).uniform(size=(2, 400_000))
    got = reliability(p, u < p**2, bins=20)
    np.testing.assert_allclose(got.observed, np.square(got.predicted) + 1 / 4800, atol=0.012)
    np.testing.assert_allclose(got.predicted, (np.arange(20) + 0.5) / 20, atol=0.002)
    assert got.error == pytest.approx(1 / 6, abs=0.003) and sum(got.count) == 400_000
    # E (p - y)^2 = E p^2 - 2 E p p^2 + E p^2 = 1/3 - 1/2 + 1/3
    assert got.brier == pytest.approx(1 / 6, abs=0.003)
    honest = reliability(p, u < p)
    assert honest.error < 0.005 and honest.brier == pytest.approx(1 / 6, abs=0.003)
    assert reliability(np.array([0.0, 1.0]), np.array([0, 1])).error == 0
    # bins weigh by what they hold: three at 0.1 and one at 0.9, and nothing happens
    assert reliability(np.array([0.1, 0.1, 0.1, 0.9]), np.zeros(4)).error == pytest.approx((3 * 0.1 + 0.9) / 4)
    assert reliability(np.array([0.25, 1.0]), np.array([0, 0]), mask=np.array([1, 0])).error == 0.25
    with pytest.raises(ValueError, match="outcomes 0 or 1"):
        reliability(np.array([0.2, 1.2]), np.array([0, 1]))


def test_reliability_of_counts_is_that_of_the_cases_one_by_one() -> None:
    said = rng(2).integers(0, 8, 5000)
    happened = rng(3).uniform(size=5000) < said / 9
    cases = np.bincount(said, minlength=8)
    hits = np.bincount(said[happened], minlength=8)
    for bins in (1, 4, 10):
        one, other = reliability_counts(cases, hits, bins), reliability(said / 7, happened, bins)
        assert one.count == other.count
        for name in ("predicted", "observed", "error", "brier"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-12), name
    for bad in (([0, 0], [0, 0]), ([1, 1], [2, 0]), ([1], [1]), ([1, 1], [1, 1, 1])):
        with pytest.raises(ValueError):
            reliability_counts(np.array(bad[0]), np.array(bad[1]))


# ------------------------------------------------------------------------------------------------------------ conformal


@pytest.mark.parametrize(("n", "level"), [(9, 0.9), (10, 0.9), (19, 0.9), (19, 0.5), (30, 0.8), (8, 0.9)])
def test_conformal_coverage_is_exact(n: int, level: float) -> None:
    """Each of n + 1 cases in turn is the new one: the share that is held is the guarantee, k / (n + 1), exactly."""
    scores = rng(n).normal(size=n + 1)
    held = np.mean([scores[i] <= conformal_quantile(np.delete(scores, i), level) for i in range(n + 1)])
    assert held == pytest.approx(conformal_rank(n, level) / (n + 1), abs=1e-12)
    assert level <= held < level + 1 / (n + 1)
    if conformal_rank(n, level) > n:  # 8 cases cannot promise nine of ten
        assert conformal_quantile(scores[1:], level) == math.inf


def test_conformal_intervals_hold_the_new_case_however_wrong_the_model() -> None:
    """Quantile intervals that are far too narrow, and point predictions with a bias: the guarantee does not care."""
    y = rng(5).normal(size=(4000, 40))
    held = {"margin": 0, "interval": 0}
    for row in y:
        margin = conformal_margin(np.full(39, -0.1), np.full(39, 0.1), row[1:], 0.8)
        held["margin"] += bool(-0.1 - margin <= row[0] <= 0.1 + margin)
        low, high = conformal_interval(np.array([0.7]), np.full(39, 0.7), row[1:], 0.8)
        held["interval"] += bool(low[0] <= row[0] <= high[0])
    for name, count in held.items():  # k / (n + 1) = 32 / 40, and three standard errors of 4000 trials
        assert count / 4000 == pytest.approx(0.8, abs=3 * math.sqrt(0.16 / 4000)), name
    assert conformal_margin(np.array([-5.0] * 9), np.array([5.0] * 9), np.arange(-4.0, 5.0), 0.9) == -1.0


# ---------------------------------------------------------------------------------------------------------- uncertainty


def test_sparsification_by_hand() -> None:
    """Four errors: taken away by the truth, by the reverse of it, and by something that knows nothing."""
    error = np.array([1.0, 2, 3, 4])
    assert sparsification(error, error, 4) == pytest.approx([2.5, 2, 1.5, 1])
    assert sparsification(-error, error, 4) == pytest.approx([2.5, 3, 3.5, 4])
    assert ausc(error, error, 4) == pytest.approx(1.75 / 2.5) and ause(error, error, 4) == 0
    assert ause(-error, error, 4) == pytest.approx((3.25 - 1.75) / 2.5)
    even = rng(0).uniform(size=200_000)  # the mean of the least share p of uniform errors is p / 2
    assert ausc(even, even) == pytest.approx(0.505, abs=0.003)
    assert ausc(rng(1).uniform(size=200_000), even) == pytest.approx(1, abs=0.01)
    with pytest.raises(ValueError, match="one uncertainty for each error"):
        ause(error, error[1:])


@pytest.mark.parametrize("members", [2, 8])
def test_spread_skill_is_one_for_members_drawn_as_the_truth_is(members: int) -> None:
    x = rng(members).normal(size=(members + 1, 400_000)) * 3
    spread, error = x[1:].std(0, ddof=1), x[1:].mean(0) - x[0]
    assert spread_skill(spread, error, members) == pytest.approx(1, abs=0.005)
    assert spread_skill(spread / 2, error, members) == pytest.approx(0.5, abs=0.005)


def test_rank_correlation_is_spearmans() -> None:
    a, b = rng(4).integers(0, 9, (2, 300)).astype(float)
    assert rank_correlation(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)
    assert rank_correlation(a, np.exp(a)) == pytest.approx(1) and rank_correlation(a, np.ones(300)) == 0


# ------------------------------------------------------------------------------------------------------------ detection


def test_average_precision_and_auroc_by_counting() -> None:
    s = rng(1).integers(0, 12, size=60).astype(float)  # many ties
    y = rng(2).uniform(size=60) < 0.3 + 0.03 * s
    above = [(a > b) + 0.5 * (a == b) for a in s[y] for b in s[~y]]
    assert auroc(s, y) == pytest.approx(np.mean(above), rel=1e-12)
    area, last = 0.0, 0.0
    for level in sorted(set(s), reverse=True):
        found = s >= level
        recall, precision = y[found].sum() / y.sum(), y[found].mean()
        area, last = area + (recall - last) * precision, recall
    assert average_precision(s, y) == pytest.approx(area, rel=1e-12)
    # the worked example in scikit-learn's documentation of both
    example = np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1])
    assert average_precision(*example) == pytest.approx(5 / 6) and auroc(*example) == 0.75
    assert average_precision(np.ones(10), np.arange(10) < 3) == pytest.approx(0.3)
    assert auroc(np.ones(10), np.arange(10) < 3) == 0.5
    for y in (np.zeros(60), np.ones(60)):
        with pytest.raises(ValueError, match="positives and negatives"):
            average_precision(s, y)


def test_dice() -> None:
    a = np.array([[1, 1, 0], [1, 0, 0]])
    b = np.array([[1, 0, 0], [1, 1, 1]])
    assert dice(a, b) == 2 * 2 / (3 + 4) and dice(a, a) == 1 and dice(a, 1 - a) == 0
    assert dice(0 * a, 0 * a) == 1 and dice(0 * a, a) == 0


# --------------------------------------------------------------------------------------------------------- memorisation


def sets(d: int, seed: int, n: int = 200, seen: int = 400) -> tuple[np.ndarray, ...]:
    """Synthetic, training and held-out samples of one distribution that is uneven and correlated."""
    mix = rng(99).normal(size=(d, d))
    return tuple(rng(10 * seed + k).standard_t(8, size=(m, d)) @ mix for k, m in enumerate((n, seen, n)))


@pytest.mark.parametrize("d", [2, 8, 64])
def test_planted_copies_are_found_and_nothing_else(d) -> None:
    """Near copies too. In few dimensions chance brings samples near, so there only very near ones are copies."""
    synthetic, train, held_out = sets(d, seed=1)
    planted = {3: 11, 50: 399, 199: 0, 120: 120}
    noise = audit(synthetic, train, held_out).distance_held_out * {2: 1e-5, 8: 0.02, 64: 0.3}[d] / math.sqrt(d)
    for i, j in planted.items():
        synthetic[i] = train[j] + noise * rng(i).normal(size=d)
    synthetic[77] = train[5]
    planted[77] = 5
    found = audit(synthetic, train, held_out)
    assert {c.synthetic: c.train for c in found.copies} == planted
    assert found.alarm and found.copies[0].synthetic == 77 and found.copies[0].distance == 0
    assert "5 of 200 synthetic samples are copies of one of 400 training items" in str(found)


def test_fresh_samples_raise_the_alarm_as_rarely_as_promised() -> None:
    for d in (2, 20):
        found = [audit(*sets(d, seed), alpha=0.1) for seed in range(120)]
        alarms = sum(f.alarm for f in found)
        assert alarms <= stats.binom.ppf(0.999, 120, 0.1)
        assert sum(f.p_value < 0.5 for f in found) == pytest.approx(60, abs=22)
        share, ratio = (np.mean([getattr(f, name) for f in found]) for name in ("share", "distance_ratio"))
        assert share == pytest.approx(found[0].expected, abs=0.01) and ratio == pytest.approx(1, abs=0.02)
        assert np.mean([f.ratio / f.ratio_held_out for f in found]) == pytest.approx(1, abs=0.1)


def test_a_generator_that_leans_on_its_training_data_is_seen_without_copies() -> None:
    synthetic, train, held_out = sets(12, seed=2)
    leaning = math.sqrt(0.3) * synthetic + math.sqrt(0.7) * train[rng(5).integers(0, 400, size=200)]  # right covariance
    blend = audit(leaning, train, held_out)
    assert not blend.copies and blend.distance_ratio < 0.95
    assert blend.p_value < 1e-3 and blend.alarm and blend.share > 2 * blend.expected


def test_discrete_data_with_chance_copies_are_no_alarm() -> None:
    """Tables of three yes-or-no columns: every sample equals a training item, and so do unseen ones."""
    synthetic, train, held_out = (rng(k).integers(0, 2, size=(100, 3)) for k in range(3))
    found = audit(synthetic, train, held_out)
    assert not found.alarm and found.distance == 0 and found.ratio == 1
    wide = [rng(k).integers(0, 2, size=(100, 40)) for k in range(3)]
    assert not audit(*wide).alarm
    wide[0][7] = wide[1][9]
    assert [(c.synthetic, c.train) for c in audit(*wide).copies] == [(7, 9)]


def test_ties_and_duplicates_among_the_held_out_are_no_evidence() -> None:
    """Items 100 apart, samples at chosen distances from them."""
    train = 100.0 * np.arange(100)

    def at(distances: list[float], usual: float) -> np.ndarray:
        return train + np.array(distances + [usual] * (100 - len(distances)))

    # unseen people are in the training set too, now and then: so may synthetic ones be
    assert not audit(at([0.0] * 3, 2.0), train, at([0.0] * 3 + [1.0, 1.1, 1.2], 2.0)).copies
    assert len(audit(at([0.0] * 3, 2.0), train, at([0.5] * 3 + [1.0, 1.1, 1.2], 2.0)).copies) == 3
    # most lie on the bound itself, and one sample below it does not tell an exponent well
    assert not audit(at([0.2], 1.0), train, at([0.9], 1.0)).copies
    assert not audit(at([0.2], 1.0), train, at([], 1.0)).alarm


def test_the_share_is_tested_exactly() -> None:
    """Against all orders of 4 synthetic and 5 held-out samples, and against scipy's hypergeometric."""
    for rank in (1, 2, 4):
        orders = list(itertools.combinations(range(9), 4))  # places of the synthetic ones
        for closer in range(5):
            count = 0
            for places in orders:
                held = [p for p in range(9) if p not in places]
                count += sum(p < held[rank - 1] for p in places) >= closer
            assert _exchangeable(closer, 4, rank, 5) == pytest.approx(count / len(orders), abs=1e-12)
    x = rng(7).normal(size=(900, 3))
    found = audit(x[:300], x[300:600], x[600:])
    most = round(found.chance_share * 300)
    assert _exchangeable(most, 300, 30, 300) >= 0.01 > _exchangeable(most + 1, 300, 30, 300)
    assert found.p_value >= 0.01 and found.share <= found.chance_share
    expected = stats.hypergeom(3000 + 2000, 3000, 400 + 200 - 1).sf(400 - 1)
    assert _exchangeable(400, 3000, 200, 2000) == pytest.approx(expected, rel=1e-6)


# ------------------------------------------------------------------------------------------------------------ bootstrap


def test_bootstrap_of_a_mean_is_its_normal_interval() -> None:
    x = rng(1).normal(size=400) * 3 + 1
    got = bootstrap(lambda v: float(v.mean()), x, resamples=4000)
    half = 1.96 * x.std() / 20
    assert got.value == pytest.approx(x.mean())
    assert (got.low, got.high) == pytest.approx((x.mean() - half, x.mean() + half), abs=0.05 * half)
    narrow = bootstrap(lambda v: float(v.mean()), x, level=0.5, resamples=4000)
    assert narrow.high - narrow.low == pytest.approx(2 * half * 0.6745 / 1.96, rel=0.06)


def test_bca_is_scipys() -> None:
    """On a skewed statistic, where the percentiles as they are lie elsewhere."""
    x = rng(3).exponential(size=40)
    theirs = stats.bootstrap(
        (x,), np.var, n_resamples=20_000, method="BCa", vectorized=True, rng=np.random.default_rng(0)
    ).confidence_interval
    ours = bootstrap(lambda v: float(v.var(correction=0)), x, resamples=8000, bca=True)
    plain = bootstrap(lambda v: float(v.var(correction=0)), x, resamples=2000)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs), rel=0.05)
    assert plain.high < 0.9 * ours.high and plain.low < 0.9 * ours.low


def test_rows_that_belong_together_are_resampled_together() -> None:
    x = rng(1).normal(size=50)
    got = bootstrap(lambda a, b: float((a - b).abs().max()), x, x + 1, resamples=50)
    assert (got.low, got.value, got.high) == pytest.approx((1, 1, 1))
    with pytest.raises(ValueError, match="one length"):
        bootstrap(lambda a, b: 0.0, x, x[1:])


def test_groups_are_drawn_whole() -> None:
    """Houses of equal size: the interval is that of the houses' means, far wider than that of single rows."""
    means = rng(6).normal(size=12)
    rows, house = np.repeat(means, 25), np.repeat(np.arange(12), 25)

    def mean(v: torch.Tensor) -> float:
        return float(v.mean())

    grouped, of_means = bootstrap(mean, rows, groups=house.tolist()), bootstrap(mean, means)
    assert (grouped.low, grouped.value, grouped.high) == pytest.approx((of_means.low, of_means.value, of_means.high))
    alone = bootstrap(mean, rows)
    assert grouped.high - grouped.low > 3 * (alone.high - alone.low)
    with pytest.raises(ValueError, match="two groups"):
        bootstrap(mean, rows, groups=["one"] * len(rows))


def test_seeds_decide_and_nobodys_generator_is_touched() -> None:
    x = rng(1).normal(size=(80, 3))
    torch.manual_seed(5)
    np.random.seed(5)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()

    def everything(seed: int) -> tuple:
        return (
            bootstrap(lambda v: float(v.mean()), x, resamples=40, seed=seed),
            real_vs_real(frechet_distance, x, splits=3, seed=seed),
            frechet_infinity(x, x + 1, seed=seed),
        )

    first, again, other = everything(0), everything(0), everything(1)
    assert first == again and all(a != b for a, b in zip(first, other, strict=True))
    assert torch.equal(state, torch.get_rng_state()) and (numpy_state == np.random.get_state()[1]).all()
