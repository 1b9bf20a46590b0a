"""Heat kernels of the circle and of SO(3) against plain sums, quadrature, and the laws that Brownian motion obeys."""

from __future__ import annotations

import math
import runpy

import numpy as np
import pytest
import torch
from heat_laws import igso3_cdf
from scipy.integrate import quad
from scipy.spatial.transform import Rotation
from scipy.stats import chi, kstest

from diffx.io import cache
from diffx.noise import Noise
from diffx.process import heat, tables
from diffx.process.rotation import exp, log, norm, product

SIGMAS = (0.01, 0.03, 0.2, 0.7, 1.39, 1.41, 2.2, 3.0)
KERNELS = {"torus": heat.wrapped_normal, "so3": heat.igso3}
each_kernel = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)


def tensor(x) -> torch.Tensor:
    return torch.as_tensor(x, dtype=torch.float64)


def measure(kernel, angle: np.ndarray) -> np.ndarray:
    """Of an angle in [0, pi], with both signs, on the circle; of the rotations by it on SO(3)."""
    return np.full_like(angle, 2.0) if kernel is heat.wrapped_normal else (1 - np.cos(angle)) / math.pi


def score(kernel, angle: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    second = kernel(angle, sigma)[1]
    return second if kernel is heat.wrapped_normal else second * angle


def moment(kernel, sigma: float, what) -> float:
    """The integral of what(angle) over the kernel."""

    def integrand(angle: float) -> float:
        p = kernel(tensor(angle), tensor(sigma))[0].exp().item()
        return p * measure(kernel, np.array(angle)).item() * what(angle)

    reach = min(math.pi, 12 * sigma)
    parts = (quad(integrand, a, b, epsabs=0, epsrel=1e-11)[0] for a, b in ((0, reach / 4), (reach / 4, reach)))
    return sum(parts)


# ----------------------------------------------------------------------------------------------------------- kernels


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFX_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@each_kernel
@pytest.mark.parametrize("sigma", SIGMAS)
def test_a_kernel_has_mass_one(kernel, sigma) -> None:
    assert moment(kernel, sigma, lambda angle: 1.0) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0, 1.5, 2.5])
def test_the_circle_against_the_plain_sum_over_images(sigma) -> None:
    theta = np.linspace(-math.pi, math.pi, 101)
    x = theta[:, None] + 2 * math.pi * np.arange(-40, 41)
    p = np.exp(-(x**2) / (2 * sigma**2)) / math.sqrt(2 * math.pi) / sigma
    log_density, slope = heat.wrapped_normal(tensor(theta), tensor(sigma))
    seen = p.sum(1) > 1e-250
    assert np.abs(log_density.numpy()[seen] - np.log(p.sum(1)[seen])).max() < 1e-10
    plain = -(p * x).sum(1) / sigma**2 / p.sum(1).clip(1e-300)
    assert np.abs(slope.numpy() - plain)[seen].max() < 1e-10 / sigma**2


@pytest.mark.parametrize("sigma", [0.2, 0.7, 1.3, 1.5, 2.5])
def test_so3_against_the_plain_sum_over_characters(sigma) -> None:
    omega = np.linspace(0.01, math.pi, 200)
    l = np.arange(200)
    character = np.sin((l + 0.5) * omega[:, None]) / np.sin(omega / 2)[:, None]
    p = ((2 * l + 1) * np.exp(-l * (l + 1) * sigma**2 / 2) * character).sum(1)
    ours = heat.igso3(tensor(omega), tensor(sigma))[0].exp().numpy()
    assert np.abs(ours - p).max() < 1e-11 * p.max()


def test_the_two_series_are_the_same_function() -> None:
    angle = tensor(np.linspace(0, math.pi, 301))
    for switch, near, far in (
        (heat.TORUS_SWITCH, heat.torus_by_windings, heat.torus_by_frequencies),
        (heat.SO3_SWITCH, heat.so3_by_windings, heat.so3_by_degrees),
    ):
        for factor in (1 / 1.3, 1.0, 1.3):
            pair = near(angle, tensor(switch * factor)), far(angle, tensor(switch * factor))
            assert all((a - b).abs().max() < 1e-12 for a, b in zip(*pair, strict=True))


@each_kernel
@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_score_is_the_slope_of_the_log_density(kernel, sigma) -> None:
    reach = min(math.pi, 8 * sigma)
    angle = tensor(np.concatenate([[1e-6, 1e-3], np.linspace(0.01, 1, 60)]) * reach).requires_grad_()
    slope = torch.autograd.grad(kernel(angle, tensor(sigma))[0].sum(), angle)[0]
    ours = score(kernel, angle.detach(), tensor(sigma))
    assert ((ours - slope).abs() / slope.abs().max()).max() < 1e-11
    h = 1e-5 * reach  # and autograd is not fooled by the seams of the series
    middle = angle.detach()[2:-1]
    difference = (kernel(middle + h, tensor(sigma))[0] - kernel(middle - h, tensor(sigma))[0]) / (2 * h)
    assert ((difference - ours[2:-1]).abs() / slope.abs().max()).max() < 1e-6


@each_kernel
def test_float32_is_as_good_as_its_rounding(kernel) -> None:
    sigma = torch.logspace(-2, math.log10(4), 60)[:, None]
    angle = torch.linspace(0, 1, 300) * (8 * sigma).clamp(max=math.pi)
    fine, coarse = (score(kernel, angle.to(d), sigma.to(d)).double() for d in (torch.float64, torch.float32))
    assert ((fine - coarse).abs() / fine.abs().amax(1, keepdim=True)).max() < 1e-5


# ------------------------------------------------------------------------------------------------------------- draws


def test_the_angle_of_a_draw_is_the_quantile() -> None:
    """|z| follows chi(3), so a draw's angle must sit at the same quantile of its own law, to 1e-4 of itself."""
    r = np.linspace(0.05, 4.9, 120)
    z = torch.zeros(len(r), 3, dtype=torch.float64)
    z[:, 1] = tensor(r)
    worst = 0.0
    for sigma in np.geomspace(0.02, 7, 40):
        omega = tables.so3_draw(z, tensor([sigma])).norm(dim=1).numpy()
        off = igso3_cdf(omega, sigma) - chi.cdf(r, 3)
        density = heat.igso3(tensor(omega), tensor(sigma))[0].exp().numpy() * (1 - np.cos(omega)) / math.pi
        worst = max(worst, float(np.abs(off / density / omega)[chi.sf(r, 3) > 1e-8].max()))
    assert worst < 1e-4


def test_draws_are_gaussian_when_small_and_uniform_when_large() -> None:
    z = Noise([3]).normal(20_000, 3)[0]
    small = tables.so3_draw(z, torch.tensor([1e-3]))
    torch.testing.assert_close(small, 1e-3 * z, rtol=5e-5, atol=0)
    large = tables.so3_draw(z, torch.tensor([50.0])).norm(dim=-1).double().numpy()
    assert kstest(large, lambda w: (w - np.sin(w)) / math.pi).statistic < 0.0115  # the 1 % level
    assert large.max() <= math.pi + 1e-6


def test_two_draws_in_succession_are_one_of_the_summed_variance() -> None:
    """Brownian motion has no memory: kernels compose. It tells a heat kernel from any other bell on SO(3)."""
    a, b = (tables.so3_draw(Noise([seed]).normal(20_000, 3)[0], torch.tensor([s])) for seed, s in ((1, 0.6), (2, 0.8)))
    omega = norm(log(product(exp(a), exp(b)))).double().numpy().ravel()
    assert kstest(omega, lambda w: igso3_cdf(w, 1.0)).statistic < 0.0115
    assert kstest(omega, lambda w: igso3_cdf(w, 1.05)).statistic > 0.02
    # scipy composes the same rotations
    turned = Rotation.from_rotvec(a[:500].numpy()) * Rotation.from_rotvec(b[:500].numpy())
    np.testing.assert_allclose(turned.magnitude(), omega[:500], atol=2e-6)


# -------------------------------------------------------------------------------------------------------------- norms


@pytest.mark.parametrize("sigma", [0.004, 0.03, 0.26, 0.9, 1.5, 2.2, 3.0])
def test_the_mean_square_of_the_score(sigma) -> None:
    for kernel, table, dimensions in ((heat.wrapped_normal, tables.torus_norm, 1), (heat.igso3, tables.so3_norm, 3)):
        exact = moment(kernel, sigma, lambda a, k=kernel: score(k, tensor(a), tensor(sigma)).item() ** 2)
        assert table(sigma) == pytest.approx(exact / dimensions, rel=1e-4)


def test_the_mean_square_of_the_score_over_draws() -> None:
    for sigma in (0.1, 1.0, 1.9):
        v = tables.so3_draw(Noise([5]).normal(100_000, 3)[0].double(), tensor([sigma]))
        mean = (heat.igso3(norm(v), tensor([sigma]))[1] * v).square().mean().item()
        assert tables.so3_norm(sigma) == pytest.approx(mean, rel=0.01)
    np.testing.assert_allclose(tables.so3_norm(np.array([1e-6, 1e-4])), [1e12, 1e8], rtol=1e-6)
    assert tables.so3_norm(4.0) == pytest.approx(3 * math.exp(-32), rel=1e-4)
    assert tables.torus_norm(4.0) == pytest.approx(2 * math.exp(-16), rel=1e-4)
    # far beyond, a finite weight of a loss
    assert np.isfinite(np.float32(1 / tables.so3_norm(1e3))) and np.isfinite(np.float32(1 / tables.torus_norm(1e3)))


# -------------------------------------------------------------------------------------------------------------- cache


def test_the_cache_folder(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("DIFFX_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.cache_folder() == tmp_path / "own"
    monkeypatch.delenv("DIFFX_CACHE")
    assert cache.cache_folder() == tmp_path / "xdg" / "diffx"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_folder() == tmp_path / ".cache" / "diffx"


def test_arrays_are_made_once_and_again_when_damaged_or_stale(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("DIFFX_CACHE", str(tmp_path / "a" / "b"))
    made = []

    def make():
        made.append(1)
        return {"x": np.arange(1000.0) * len(made)}

    def ask(key: str = "k") -> tuple[int, float]:
        return int(cache.cached("n", key, make)["x"][2]), len(made)

    path = tmp_path / "a" / "b" / "n.npz"
    assert ask() == (2, 1) and ask() == (2, 1)
    assert ask("other") == (4, 2) and ask("other") == (4, 2)
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    for count, damaged in enumerate((b"", b"not a zip", whole[:middle], whole[:-30], flipped), start=3):
        path.write_bytes(damaged)
        assert ask("other") == (2 * count, count) and ask("other") == (2 * count, count)
    assert [p.name for p in path.parent.iterdir()] == ["n.npz"]
    np.savez(path, key=np.array("other"), x=np.array([object()]))  # pickled: refused, not run
    assert ask("other") == (16, 8)
    monkeypatch.setenv("DIFFX_CACHE", str(path))  # a file where the folder would be: made each time
    assert ask("other") == (18, 9) and ask("other") == (20, 10)


def test_the_table_is_made_at_first_use_and_not_at_import(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("DIFFX_CACHE", str(tmp_path / "new"))
    module = runpy.run_path(tables.__file__)  # as a process of its own would import it
    assert not list(tmp_path.iterdir())
    first = module["so3_draw"](torch.ones(1, 3), torch.ones(1, 1))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["so3.npz"]
    again = runpy.run_path(tables.__file__)
    again["so3_draw"].__globals__["_so3_ratios"] = None  # from the disk, or not at all
    assert torch.equal(first, again["so3_draw"](torch.ones(1, 3), torch.ones(1, 1)))
