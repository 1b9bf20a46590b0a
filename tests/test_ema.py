"""Averages of any width from snapshots of two, against the averages themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import toy_training as toy
from torch import nn

from diffx.errors import DataError
from diffx.io import checkpoint
from diffx.noise import Noise
from diffx.train import PowerEMA, reconstruct
from diffx.train.ema import gamma_of
from diffx.train.posthoc import WIDTHS, coefficients, inner


def test_inner_products_are_the_integrals() -> None:
    t_a, t_b = 300.0, 700.0
    tau = (np.arange(700_000) + 0.5) / 1000
    for std_a, std_b in ((0.05, 0.1), (0.1, 0.05), (0.2, 0.03)):
        a, b = gamma_of(std_a), gamma_of(std_b)
        p_a = (a + 1) * (tau / t_a) ** a / t_a * (tau <= t_a)
        p_b = (b + 1) * (tau / t_b) ** b / t_b
        assert float(inner(t_a, a, t_b, b)) == pytest.approx(float((p_a * p_b).sum() / 1000), rel=1e-3)
        assert float(inner(t_b, b, t_a, a)) == pytest.approx(float(inner(t_a, a, t_b, b)), rel=1e-12)
        assert float(inner(t_a, a, t_a, b)) == pytest.approx((a + 1) * (b + 1) / (a + b + 1) / t_a)


def test_what_was_kept_is_given_back_exactly() -> None:
    """In the span of the snapshots the answer is one of them."""
    steps, stds = [k for k in range(100, 1001, 100) for _ in WIDTHS], WIDTHS * 10
    for which in (0, 7, 18, 19):
        share = coefficients(steps, stds, steps[which], stds[which])
        expected = np.eye(20)[which]
        np.testing.assert_allclose(share, expected, atol=1e-5)


@pytest.mark.parametrize(("std", "tolerance"), [(0.06, 0.01), (0.075, 0.01), (0.15, 0.01), (0.2, 0.02), (0.03, 0.08)])
def test_another_width_is_that_of_the_same_path(std, tolerance) -> None:
    """2,000 steps of a path that drifts and trembles, 20 snapshots in fp16: relative distance to the true average.

    Narrower than either kept width is harder, as the paper finds; within them it is exact for all purposes.
    """
    n, every = 2000, 100
    noise = Noise([3]).normal(n, 30)[0].double()
    drift = torch.linspace(0, 3, n, dtype=torch.float64)[:, None] * torch.linspace(0.5, 1, 30, dtype=torch.float64)
    path = drift.sin() + noise.cumsum(0) / math.sqrt(n) + 0.1 * noise
    parameter = nn.Parameter(torch.zeros(30))
    kept, wanted, snapshots = [PowerEMA([parameter], s) for s in WIDTHS], PowerEMA([parameter], std), []
    for step in range(1, n + 1):
        parameter.data = path[step - 1].float()
        for average in (*kept, wanted):
            average.update(step)
        if step % every == 0:
            snapshots += [average.average[0].half().double() for average in kept]
    share = coefficients([k for k in range(every, n + 1, every) for _ in WIDTHS], WIDTHS * (n // every), n, std)
    built = torch.from_numpy(share) @ torch.stack(snapshots)
    error = (built - wanted.average[0]).norm() / wanted.average[0].norm()
    assert float(error) < tolerance
    nearest = min((average.average[0] - wanted.average[0]).norm() / wanted.average[0].norm() for average in kept)
    assert float(error) < 0.7 * float(nearest)  # better than taking the nearest of the two as it is
    assert abs(share.sum() - 1) < 0.01


def test_a_run_leaves_snapshots_from_which_any_average_of_it_is_built(tmp_path) -> None:
    toy.train(tmp_path, steps=160, lr=1e-2, ema_std=0.15, ema_snapshots=10)
    shipped = checkpoint.under(checkpoint.load(tmp_path / "weights.safetensors")[0], "model")
    built, step = reconstruct(tmp_path / "snapshots", 0.15)
    assert step == 160 and built.keys() == shipped.keys()
    for name, value in built.items():
        assert float((value - shipped[name].float()).norm() / shipped[name].float().norm()) < 6e-3, name
    for which, step in ((0, 100), (1, 160)):
        kept = checkpoint.load(tmp_path / "snapshots" / f"{step:09d}.safetensors")[0]
        for name, value in reconstruct(tmp_path / "snapshots", WIDTHS[which], step)[0].items():
            torch.testing.assert_close(value, kept[f"profile{which}.{name}"].float(), rtol=1e-3, atol=1e-4)


def test_without_snapshots_it_says_what_to_do(tmp_path) -> None:
    with pytest.raises(DataError, match=r"train.ema_snapshots=STEPS"):
        reconstruct(tmp_path, 0.1)
