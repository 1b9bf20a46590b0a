"""Windows against the whole: pointwise functions, stationary Gaussians whose denoiser is known, and seams."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch

from diffx.condition import Condition
from diffx.guide import cfg
from diffx.noise import Noise
from diffx.plan import make_plan
from diffx.process import Gaussian
from diffx.sampling import sample
from diffx.schedule import EDM
from diffx.tiling.blend import edges, partition, ramp, sliding, windows_of
from diffx.tiling.windows import seam, windowed

# ------------------------------------------------------------------------------------------------------------ blending


@pytest.mark.parametrize(
    ("size", "window", "stride", "starts"),
    [
        (10, 4, 3, [0, 3, 6]),
        (11, 4, 3, [0, 3, 6, 7]),
        (12, 4, 4, [0, 4, 8]),
        (4, 4, 1, [0]),
        (3, 4, 2, [0]),
        (5, 4, 4, [0, 1]),
        (1, 1, 1, [0]),
    ],
)
def test_where_windows_lie(size, window, stride, starts) -> None:
    assert windows_of(size, window, stride) == starts


@pytest.mark.parametrize("size", [1, 7, 16, 17, 31, 32, 100])
@pytest.mark.parametrize(("window", "overlap"), [(16, 0), (16, 4), (16, 8), (16, 13), (7, 6), (1, 0)])
def test_weights_sum_to_one_on_every_element(size, window, overlap) -> None:
    starts, weights = partition(size, window, overlap)
    total = torch.zeros(size, dtype=torch.float64)
    for start, weight in zip(starts, weights, strict=True):
        assert (weight > 0).all()
        total[start : start + len(weight)] += weight
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-12)


def test_ramp_is_the_raised_cosine() -> None:
    w, o = 20, 6
    expected = [0.5 - 0.5 * math.cos(math.pi * (i + 0.5) / o) if i < o else 1.0 for i in range(w // 2)]
    np.testing.assert_allclose(ramp(w, o).numpy(), expected + expected[::-1], atol=1e-15)
    # two regular neighbours need no normalisation: each keeps its own ramp
    _, weights = partition(34, w, o)
    np.testing.assert_allclose(weights[0, -o:].numpy(), ramp(w, o)[-o:].numpy(), atol=1e-15)
    assert weights[0, 0] == 1 and weights[1, -1] == 1  # the ends of the signal belong to one window alone


@pytest.mark.parametrize(
    ("shape", "window", "overlap"), [((37,), 10, 4), ((21, 18), (8, 7), (3, 5)), ((9, 11, 12), (4, 11, 5), (1, 3, 2))]
)
@pytest.mark.parametrize("batch", [1, 3, 1000])
def test_a_pointwise_function_in_windows_is_the_function(shape, window, overlap, batch) -> None:
    x = Noise([1, 2]).normal(3, *shape).double()
    sizes: list[int] = []

    def f(crops: torch.Tensor) -> torch.Tensor:
        sizes.append(len(crops))
        return torch.cat([crops.tanh(), crops.square()], dim=1)

    torch.testing.assert_close(sliding(f, x, window, overlap, batch=batch), f(x), rtol=0, atol=1e-14)
    assert max(sizes[:-1]) <= batch


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_scale_up_and_down(axes) -> None:
    """A decoder that repeats each element four times, an encoder that averages four."""
    shape, window, overlap = (22, 12, 16)[:axes], (8, 8, 8), (3, 2, 4)
    x = Noise([5]).normal(2, *shape).double()

    def up(z: torch.Tensor) -> torch.Tensor:
        for axis in range(2, z.ndim):
            z = z.repeat_interleave(4, axis)
        return z

    def down(z: torch.Tensor) -> torch.Tensor:
        for axis in range(2, z.ndim):
            z = z.unflatten(axis, (-1, 4)).mean(axis + 1)
        return z

    torch.testing.assert_close(sliding(up, x, window[:axes], overlap[:axes], scale=4), up(x), rtol=0, atol=1e-14)
    big = up(x) + Noise([6]).normal(2, *(4 * s for s in shape))
    wide = [[4 * v for v in values[:axes]] for values in (window, overlap)]
    torch.testing.assert_close(sliding(down, big, *wide, scale=1 / 4, batch=2), down(big), rtol=0, atol=1e-14)


def test_one_window_over_all_is_the_function_to_the_bit() -> None:
    net = torch.nn.Conv2d(3, 2, 3, padding=1)
    x = Noise([1, 2]).normal(3, 12, 9)
    with torch.no_grad():
        assert torch.equal(sliding(net, x, 12, 4, batch=2), net(x))
        assert torch.equal(sliding(net, x, (40, 9), (5, 2), batch=2), net(x))


def test_low_precision_is_blended_in_fp32() -> None:
    x = Noise([1]).normal(1, 50)
    out = sliding(lambda z: z.half(), x, 16, 8)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, x.half().float(), rtol=1e-6, atol=1e-7)
    assert sliding(lambda z: z, x.double(), 16, 8).dtype == torch.float64


def test_a_function_sees_the_window_and_its_middle_counts_most() -> None:
    """A function that is wrong near its own borders: blending hides what hard cuts show."""
    x = torch.zeros(1, 1, 200, dtype=torch.float64)

    def border(z: torch.Tensor) -> torch.Tensor:
        out = torch.zeros_like(z)
        out[..., :4], out[..., -4:] = 1.0, 1.0
        return out

    inner = slice(4, 196)  # the ends of the signal are borders for any window
    assert float(sliding(border, x, 40, 0)[..., inner].max()) == 1
    assert float(sliding(border, x, 40, 20)[..., inner].max()) < math.sin(math.pi / 2 * 3.5 / 20) ** 2 + 1e-12


def test_gradients_pass() -> None:
    x = Noise([1]).normal(1, 50).double().requires_grad_()
    (grad,) = torch.autograd.grad(sliding(lambda z: z**3, x, 16, 5).sum(), x)
    torch.testing.assert_close(grad, 3 * x.detach() ** 2, rtol=1e-12, atol=1e-12)


def test_settings_that_cannot_be_are_refused() -> None:
    x = torch.zeros(1, 1, 20, 20)
    for window, overlap, scale, message in (
        ((8,), 2, 1, "window has 1 numbers for 2"),
        (8, (2, 2, 2), 1, "overlap has 3 numbers"),
        (8, 8, 1, "overlap is from 0"),
        (8, -1, 1, "overlap is from 0"),
        (8, 2, 1 / 4, "whole elements"),
        (8, 2, 0, "positive"),
        (8, 2, 2, "windows gave"),
    ):
        with pytest.raises(ValueError, match=message):
            sliding(lambda z: z, x, window, overlap, scale)
    with pytest.raises(ValueError, match="at least one element"):
        sliding(lambda z: z, x[:0], 8, 2)


# --------------------------------------------------------------------------------------------------- windowed denoisers

LENGTH = 3.0  # correlation length of the process, in elements


def covariance(lag: np.ndarray | torch.Tensor):
    """Of a smooth stationary process, with a little white noise in it."""
    return 0.98 * (-(lag**2) / (2 * LENGTH**2)).exp() + 0.02 * (lag == 0)


@lru_cache(maxsize=500)
def gain(size: int, t: float) -> torch.Tensor:
    """E[x_0 | x_t] = gain x_t for ``size`` elements of the process on the EDM schedule, alpha = 1, sigma = t."""
    index = torch.arange(size, dtype=torch.float64)
    c = covariance(index[:, None] - index)
    return torch.linalg.solve(c + t**2 * torch.eye(size, dtype=torch.float64), c)


def denoise(x: torch.Tensor, t, condition: Condition | None = None) -> torch.Tensor:
    """The process's exact denoiser, along the last axis, for as many elements as it is shown."""
    if np.ndim(t) == 0:
        return (x.double() @ gain(x.shape[-1], float(t))).to(x.dtype)
    return torch.stack([(row.double() @ gain(x.shape[-1], float(s))).to(x.dtype) for row, s in zip(x, t, strict=True)])


@pytest.mark.parametrize("t", [0.05, 0.5, 5.0])
def test_a_stationary_denoiser_in_windows_is_the_denoiser(t) -> None:
    """As far as the overlap shows what matters: the error falls as it grows against the correlation length."""
    x = (Noise([1, 2, 3]).normal(1, 300) * math.hypot(1, t)).double()
    whole = denoise(x, t)
    errors = [float((windowed(denoise, 96, overlap)(x, t) - whole).abs().max()) for overlap in (0, 12, 48)]
    assert errors[2] < 0.015 and errors[2] < errors[1] / 2 < errors[0] / 6
    assert errors[0] > 0.05


def test_times_of_each_sample_go_with_its_windows() -> None:
    x, t = Noise([1, 2, 3]).normal(1, 200).double(), np.array([0.1, 0.7, 4.0])
    together = windowed(denoise, 64, 32, batch=4)(x, t)
    for k in range(3):
        torch.testing.assert_close(
            together[k : k + 1], windowed(denoise, 64, 32)(x[k : k + 1], float(t[k])), rtol=0, atol=1e-12
        )
    assert not torch.allclose(together[:1], windowed(denoise, 64, 32)(x[:1], 0.7), atol=1e-2)


SEEDS = list(range(192))
PLAN = make_plan(EDM(), "dpmpp_2m", 30)


@lru_cache(maxsize=4)
def drawn(window: int, overlap: int, size: int) -> torch.Tensor:
    """Samples [B, size] of the process through windows."""
    predict = windowed(denoise, window, overlap, batch=len(SEEDS))
    return sample(predict, Gaussian(EDM()), PLAN, (1, size), SEEDS)[:, 0].double()


def test_samples_through_windows_are_the_process_across_seams() -> None:
    """Autocovariance of pairs on the two sides of where windows begin and end, against the process's own."""
    x, places = drawn(48, 24, 260), edges(260, 48, 24)
    assert len(places) > 10
    for lag in (0, 1, 2, 4, 8):
        # pairs (p - 1 - a, p - 1 - a + lag) for all a that put p between them
        pairs = [x[:, p - 1 - a] * x[:, p - 1 - a + lag] for p in places for a in range(max(lag, 1))]
        across = float(torch.stack(pairs).mean())
        assert across == pytest.approx(float(covariance(torch.tensor(float(lag)))), abs=0.08)
    assert float(x.mean()) == pytest.approx(0, abs=0.03)
    for order in (1, 2):
        assert seam(x, places, order=order) == pytest.approx(1, abs=0.05)
    # and sample by sample what the whole, predicted at once, becomes from the same noise
    whole = drawn(260, 0, 260)
    assert float((x - whole).square().mean().sqrt()) < 0.01 * float(whole.std())


def test_hard_cuts_leave_seams_of_the_size_they_must_have() -> None:
    """Windows without overlap are independent: the squared jump is twice the variance, elsewhere 2 (c_0 - c_1)."""
    x, places = drawn(65, 0, 260), edges(260, 65, 0)
    assert places == [65, 130, 195]
    expected = 1 / (1 - float(covariance(torch.tensor(1.0))))
    assert expected > 10
    assert seam(x, places) == pytest.approx(expected, rel=0.15)
    assert seam(drawn(260, 0, 260), places) == pytest.approx(1, abs=0.1)  # and none where nothing is cut


def test_a_sample_no_longer_than_its_window_is_the_plain_sample_to_the_bit() -> None:
    process, plain = Gaussian(EDM()), sample(denoise, Gaussian(EDM()), PLAN, (1, 64), [1, 2])
    assert torch.equal(sample(windowed(denoise, 64, 16), process, PLAN, (1, 64), [1, 2]), plain)
    assert torch.equal(sample(windowed(denoise, 100, 16), process, PLAN, (1, 64), [1, 2]), plain)


# ---------------------------------------------------------------------------------------------------------- conditions


def told_pointwise(x: torch.Tensor, t, c: Condition) -> torch.Tensor:
    """A pointwise prediction that needs every part of its condition, and tells samples apart."""
    view = (-1, 1, *(1,) * (x.ndim - 2))
    tokens = (c.tokens * c.tokens_mask[..., None]).sum((1, 2))
    time = torch.as_tensor(np.broadcast_to(np.asarray(t), (len(x),)).copy(), dtype=x.dtype)
    return x * c.vector[:, 0].view(view) + tokens.view(view) + c.spatial[:, :1].sin() * time.view(view)


def condition(b: int, *size: int) -> Condition:
    noise = Noise(range(10, 10 + b))
    return Condition(
        vector=noise["v"].normal(4).double(),
        tokens=noise["t"].normal(5, 3).double(),
        tokens_mask=noise["m"].uniform(5) > 0.4,
        spatial=noise["s"].normal(2, *size).double(),
    )


@pytest.mark.parametrize("batch", [None, 1, 5])
@pytest.mark.parametrize("t", [0.7, np.array([0.2, 0.9, 3.0])])
def test_conditions_go_with_their_windows(batch, t) -> None:
    x, told = Noise([1, 2, 3]).normal(2, 19, 23).double(), condition(3, 19, 23)
    for local in (None, lambda c, tile: c):
        out = windowed(told_pointwise, (8, 7), (3, 4), batch=batch, local=local)(x, t, told)
        torch.testing.assert_close(out, told_pointwise(x, t, told), rtol=0, atol=1e-12)


def test_memory_is_that_of_the_batch() -> None:
    """By default an evaluation is no larger than a plain one of as many samples."""
    for batch, most in ((None, 3), (1, 1), (5, 5)):
        seen: list[int] = []
        windowed(lambda x, t, c, seen=seen: seen.append(len(x)) or x, 8, 4, batch=batch)(torch.zeros(3, 1, 24), 1.0)
        assert max(seen) == most and sum(seen) == 3 * 5


def test_a_window_can_be_told_something_of_its_own() -> None:
    """Two prompts, left and right: each end is its own prompt's prediction, with a blend between."""
    told = Condition(vector=torch.tensor([[1.0], [2.0]]).double())

    def local(c, tile):
        assert c.vector.shape == (1, 1) and tile.sample == int(c.vector) - 1
        return replace(c, vector=c.vector * (10 if tile.region[0].start else 1))

    predict = windowed(lambda x, t, c: x + c.vector[:, :, None], 60, 10, batch=3, local=local)
    out = predict(torch.zeros(2, 1, 110, dtype=torch.float64), 1.0, told)
    for k, value in enumerate((1.0, 2.0)):
        assert out[k, 0, :50].numpy() == pytest.approx(value) and out[k, 0, 60:].numpy() == pytest.approx(10 * value)
        assert (out[k, 0].diff() >= -1e-12).all() and float(out[k, 0].diff().max()) < 9 * value / 5


def test_windows_told_nothing_and_windows_told_apart() -> None:
    x = torch.zeros(1, 1, 40)
    seen = []
    windowed(lambda x, t, c: seen.append(c) or x, 16, 4, local=lambda c, tile: c)(x, 1.0)
    assert seen and all(c is None for c in seen)
    some = windowed(
        lambda x, t, c: x, 16, 4, batch=4,
        local=lambda c, tile: Condition(vector=torch.ones(1, 1)) if tile.region[0].start else None,
    )  # fmt: skip
    with pytest.raises(ValueError, match="some have no vector"):
        some(x, 1.0)
    with pytest.raises(ValueError, match=r"spatial condition of \[30\] on a state of \[40\]"):
        windowed(denoise, 16, 4)(x, 1.0, Condition(spatial=torch.zeros(1, 1, 30)))


def test_guides_go_around() -> None:
    x, told, null = Noise([1, 2, 3]).normal(2, 19, 23).double(), condition(3, 19, 23), condition(3, 19, 23)
    null = replace(null, vector=null.vector * 0.3)
    inside = cfg(windowed(told_pointwise, 8, 3, batch=2), 2.5, null)(x, 0.7, told)
    torch.testing.assert_close(inside, cfg(told_pointwise, 2.5, null)(x, 0.7, told), rtol=0, atol=1e-11)


# ----------------------------------------------------------------------------------------------------------------- seam


def test_seam_of_a_known_jump() -> None:
    """White noise with a step of 5 at each seam: (2 + 25) / 2 for jumps, (6 + 25) / 6 for second differences."""
    x = Noise([3]).normal(4000, 100)[0].double()
    x[:, 40:] += 5
    x[:, 70:] -= 5
    assert seam(x, [40, 70]) == pytest.approx(27 / 2, rel=0.03)
    assert seam(x, [40, 70], order=2) == pytest.approx(31 / 6, rel=0.03)
    assert seam(x, [39, 71]) == pytest.approx(1 / (1 + 2 * 12.5 / 97), rel=0.06)  # one off: the jump is elsewhere
    assert seam(x.T, [40, 70], axis=0) == pytest.approx(seam(x, [40, 70]))
    assert seam(x.T.unsqueeze(1), [40, 70], axis=-3) == pytest.approx(seam(x, [40, 70]))


def test_second_differences_see_kinks_and_no_slope() -> None:
    slope = torch.arange(100.0, dtype=torch.float64)
    bent = slope + 0.1 * Noise([3]).normal(2000, 100)[0].double()
    bent[:, 50:] += 2 * (slope[50:] - 49)
    assert seam(bent, [50], order=2) == pytest.approx((0.06 + 4 / 2) / 0.06, rel=0.05)
    assert seam(bent, [50]) == pytest.approx((9.02 * 98) / (49 * 1.02 + 49 * 9.02), rel=0.02)  # order 1 sees slopes


def test_a_reference_takes_out_what_is_rough_by_nature() -> None:
    x = Noise([3, 4]).normal(2000, 100).double()
    x[:, :, 45:55] *= 4
    assert seam(x[0], [50]) > 4
    assert seam(x[0], [50], reference=x[1]) == pytest.approx(1, rel=0.06)
    assert seam(x[0] + 8.0 * (torch.arange(100) >= 50), [50], reference=x[1]) == pytest.approx(96 / 32, rel=0.06)


def test_seams_of_flat_signals_and_seams_that_cannot_be() -> None:
    flat = torch.ones(20)
    assert seam(flat, [10]) == 1
    assert seam(torch.cat([flat, 2 * flat]), [20]) == math.inf
    assert seam(torch.cat([flat, 2 * flat]), [19]) == 0
    for positions, order in (([], 1), ([0], 1), ([20], 1), ([10], 0), ([10], 20), (list(range(1, 20)), 1)):
        with pytest.raises(ValueError):
            seam(flat, positions, order=order)
    with pytest.raises(ValueError, match="reference"):
        seam(flat, [10], reference=flat[:-1])


def test_edges_are_where_windows_begin_and_end() -> None:
    assert edges(100, 40, 10) == [30, 40, 60, 70]
    assert edges(95, 40, 10) == [30, 40, 55, 70]
    assert edges(80, 40, 0) == [40]
    assert edges(30, 40, 10) == []
