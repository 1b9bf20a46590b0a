"""Self-conditioning: what the network is shown, and everything that works on x_0-hat against closed forms."""

from __future__ import annotations

import pytest
import torch
from gaussians import Correlated
from torch import Tensor, nn

from diffx.condition import Condition
from diffx.guide import Mask, cfg, energy, keep, posterior
from diffx.likelihood import elbo, log_prob
from diffx.plan import make_plan
from diffx.predict import Denoiser, SelfConditionedDenoiser
from diffx.process import Gaussian, Product
from diffx.sampling import adaptive, invert, predictor_corrector, sample
from diffx.schedule import EDM
from diffx.tiling.windows import windowed

SIGMA_DATA, DIMS = 0.5, 6
DATA = Correlated.of(DIMS)
PROCESS = Gaussian(EDM(), SIGMA_DATA, self_condition=True)


class Needing(nn.Module):
    """E[x_0 | x_t] of the data for a sample that is shown an estimate, and half of that for one that is shown none."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[Tensor] = []

    def forward(self, x: Tensor, level: Tensor, condition: Condition) -> Tensor:
        assert condition.spatial is not None and condition.estimate is None
        estimate = condition.spatial[:, -1:] * SIGMA_DATA
        self.shown.append(estimate.detach().clone())
        sigma = (4 * level.double()).exp()
        scale = (sigma**2 + SIGMA_DATA**2).sqrt()[:, None, None]
        exact = DATA.predict(EDM())(x.double() * scale, sigma.numpy())
        known = estimate.flatten(1).any(1)[:, None, None]
        return torch.where(known, exact, exact / 2).to(x.dtype)


def denoiser() -> SelfConditionedDenoiser:
    return SelfConditionedDenoiser(Needing(), "x0", EDM(), SIGMA_DATA)


def drawn(guide, n: int = DIMS + 1, steps: int = 60) -> tuple[Tensor, Tensor]:
    """Mean and covariance of what a plan makes of exact noise; the guided denoiser is affine, so they are exact too."""
    plan = make_plan(PROCESS, "dpmpp_2m", steps, "log_snr")
    sigma = float(plan.rows[0].t)
    spread = DATA.basis * (DATA.eigenvalues + sigma**2).sqrt()
    start = torch.cat([DATA.mean[None], DATA.mean + spread.T]).view(n, 1, DIMS)
    end = sample(guide(denoiser()), PROCESS, plan, (1, DIMS), range(n), start=start).flatten(1).double()
    moves = (end[1:] - end[0]).T
    return end[0], moves @ moves.T


def test_a_prediction_that_is_given_no_estimate_makes_its_own() -> None:
    x = DATA.draw(3).view(3, 1, DIMS).float()
    model = denoiser()
    torch.testing.assert_close(model(x, 0.7), DATA.predict(EDM())(x, 0.7), rtol=1e-4, atol=1e-5)
    first, second = model.net.shown
    assert not first.any()
    torch.testing.assert_close(second, DATA.predict(EDM())(x, 0.7) / 2, rtol=1e-4, atol=1e-5)
    told = model(x, 0.7, Condition(estimate=torch.zeros_like(x)))
    torch.testing.assert_close(told, second)  # and one that is given it uses what it is given


def test_log_prob_is_that_of_the_data() -> None:
    x = DATA.draw(16).view(16, 1, DIMS).float()
    got = log_prob(denoiser(), PROCESS, x, trace="exact", steps=40)
    torch.testing.assert_close(got, DATA.log_prob(x), rtol=0, atol=0.03)  # EDM's prior is centred at 0, these data not
    plain = log_prob(DATA.predict(EDM()), Gaussian(EDM(), SIGMA_DATA), x, trace="exact", steps=40)
    torch.testing.assert_close(got, plain, rtol=0, atol=2e-3)


def test_the_bound_is_tight() -> None:
    """As for the same denoiser without self-conditioning, to the digits of its level."""
    x = DATA.draw(200).view(200, 1, DIMS).float()
    got = elbo(denoiser(), PROCESS, x, levels=32, seeds=range(200))
    plain = elbo(DATA.predict(EDM()), Gaussian(EDM(), SIGMA_DATA), x, levels=32, seeds=range(200))
    torch.testing.assert_close(got, plain, rtol=0, atol=2e-2)
    assert float((got - DATA.log_prob(x)).mean()) == pytest.approx(0, abs=0.15)


def test_adaptive_steps_follow_the_exact_flow() -> None:
    """(x - mean) shrinks by sqrt(v / (v + sigma^2)) along each eigenvector of variance v."""
    start = 80 * torch.randn(20, 1, DIMS, generator=torch.Generator().manual_seed(0))
    got, _ = adaptive(denoiser(), PROCESS, (1, DIMS), range(20), start=start, rtol=1e-4, atol=1e-4)
    shrink = (DATA.eigenvalues / (DATA.eigenvalues + 80.0**2)).sqrt()
    wanted = DATA.mean + ((start.flatten(1).double() - DATA.mean) @ DATA.basis * shrink) @ DATA.basis.T
    torch.testing.assert_close(got.flatten(1).double(), wanted, rtol=0, atol=2e-3)


def test_posterior_guidance_reaches_the_posterior() -> None:
    """Of every second element measured with noise; the network is shown the guided estimate of the step before."""
    mask = torch.arange(DIMS) % 2 == 0
    truth = DATA.draw(1, seed=3)[0]
    exact = DATA.given(torch.eye(DIMS, dtype=torch.float64)[mask], truth[mask], 0.1)
    y = truth.float().expand(DIMS + 1, 1, DIMS)
    mean, cov = drawn(lambda predict: posterior(predict, Mask(mask), y, EDM(), 0.1, iterations=8))
    torch.testing.assert_close(mean, exact.mean, rtol=0, atol=5e-3)
    torch.testing.assert_close(cov, exact.cov, rtol=0, atol=5e-3)


def test_energy_guidance_tilts_the_data() -> None:
    """Of a linear energy g x, exact through the network: N(mean - w cov g, cov)."""
    g = torch.linspace(-1, 1, DIMS)
    mean, cov = drawn(lambda predict: energy(predict, lambda m: (m * g).sum((1, 2)), EDM(), weight=1.5))
    torch.testing.assert_close(mean, DATA.mean - 1.5 * DATA.cov @ g.double(), rtol=0, atol=5e-3)
    torch.testing.assert_close(cov, DATA.cov, rtol=0, atol=5e-3)


def test_what_is_kept_has_its_bits() -> None:
    mask, known = torch.arange(DIMS) < 2, torch.full((1, DIMS), 1 / 3)
    plan = make_plan(PROCESS, "ddim", 5)
    x = sample(keep(denoiser(), mask, known), PROCESS, plan, (1, DIMS), [1, 2])
    assert torch.equal(x[..., :2], known[:, :2].expand(2, 1, 2))


def test_guidance_shows_both_predictions_the_estimate() -> None:
    """The one before, guided: 3 times the difference here is 0, so all is as without guidance."""
    plan, plain, guided = make_plan(PROCESS, "ddim", 4), denoiser(), denoiser()
    predictions: list[Tensor] = []
    x = sample(plain, PROCESS, plan, (1, DIMS), [5, 6])
    for together in (False, True):
        guided.net.shown.clear()
        predictions.clear()
        both = cfg(guided, 3.0, Condition(), together=together)
        end = sample(
            both, PROCESS, plan, (1, DIMS), [5, 6], Condition(), callback=lambda i, x, m: predictions.append(m)
        )
        torch.testing.assert_close(end, x)
        shown = torch.stack(guided.net.shown).view(4, 2, 2, 1, DIMS)  # row, with and without, sample
        torch.testing.assert_close(shown[:, 0], shown[:, 1])
        for before, now in zip(predictions, shown[1:, 0], strict=False):
            torch.testing.assert_close(now, before)


def test_windows_are_shown_their_part_of_the_estimate() -> None:
    x = torch.randn(2, 1, 9, generator=torch.Generator().manual_seed(0))
    estimate, seen = torch.arange(18.0).view(2, 1, 9) + 1, []

    def predict(x: Tensor, t, condition=None) -> Tensor:
        seen.append(condition.estimate)
        return condition.estimate

    out = windowed(predict, 6, 3, batch=4)(x, 1.0, Condition(estimate=estimate))
    torch.testing.assert_close(out, estimate)
    assert {tuple(part.shape[1:]) for part in seen} == {(1, 6)}
    with pytest.raises(ValueError, match=r"estimate condition of \[8\] on a state of \[9\]"):
        windowed(predict, 6, 3)(x, 1.0, Condition(estimate=estimate[..., :8]))


def test_corrections_and_inversion() -> None:
    """Corrections are shown the estimate of their row; an inversion comes back where every row makes its own."""
    model, plan = denoiser(), make_plan(PROCESS, "ddim", 6)
    predictor_corrector(model, PROCESS, plan, (1, DIMS), [1], corrections=1)
    assert len(model.net.shown) == 11 and [bool(s.any()) for s in model.net.shown] == [False] + [True] * 10
    alone = Gaussian(EDM(), SIGMA_DATA)
    x = DATA.draw(2).view(2, 1, DIMS).float()
    noise = invert(denoiser(), alone, plan, x, iterations=20, tolerance=1e-4)
    rows = type(plan)(plan.name, plan.rows[:-1])
    torch.testing.assert_close(sample(denoiser(), alone, rows, (1, DIMS), [0, 1], start=noise), x, rtol=0, atol=2e-3)


def test_a_leaf_of_a_mixed_state_is_shown_its_own_estimate() -> None:
    """And the other, which is not self-conditioned, none."""
    mixed = Product({"x": PROCESS, "y": Gaussian(EDM(), SIGMA_DATA)})
    asked: list[Condition | None] = []

    def predict(x, t, condition=None):
        asked.append(condition)
        return {name: leaf * 0.25 / (0.25 + t[name] ** 2) for name, leaf in x.items()}

    plan = make_plan(mixed, "ddim", 3)
    predictions = []
    sample(predict, mixed, plan, {"x": (1, 2), "y": (3,)}, [1], callback=lambda i, x, m: predictions.append(m["x"]))
    assert [set(c.estimate) for c in asked] == [{"x"}] * 3 and not asked[0].estimate["x"].any()
    for before, now in zip(predictions, asked[1:], strict=False):
        assert torch.equal(now.estimate["x"], before)


def test_a_network_that_is_not_self_conditioned_refuses_an_estimate() -> None:
    plain = Denoiser(nn.Identity(), "x0", EDM())
    with pytest.raises(ValueError, match="SelfConditionedDenoiser fits"):
        sample(plain, PROCESS, make_plan(PROCESS, "ddim", 2), (1, 2), [0])
