"""The KL autoencoder: closed forms, a receptive field that is what it says, windows that change nothing, and a fit."""

from __future__ import annotations

import pytest
import torch
from awake import awake, seeded  # noqa: F401
from torch.distributions import Normal, kl_divergence

from diffx.nets import AutoencoderKL, Posterior
from diffx.nets.autoencoder import ChannelNorm, LocalBlock, Shrink
from diffx.noise import Noise

#: dims, channels, factors, blocks
SHAPES = [(1, (4, 4), (2,), 1), (1, (4, 4, 4), (2, 3), 1), (2, (4, 4), (5,), 0), (1, (4, 4, 4), (4, 1), 2)]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


def build(shape, **options) -> AutoencoderKL:
    dims, channels, factors, blocks = shape
    return awake(AutoencoderKL(dims, 2, 3, channels, factors, blocks, **options))


# ------------------------------------------------------------------------------------------------------------ posterior


def test_kl_is_that_of_torch() -> None:
    posterior = Posterior(torch.randn(3, 2, 4, 5), torch.randn(3, 2, 4, 5))
    q = Normal(posterior.mean.double(), (0.5 * posterior.log_var.double()).exp())
    expected = kl_divergence(q, Normal(torch.tensor(0.0).double(), 1.0)).flatten(1).sum(1)
    torch.testing.assert_close(posterior.kl().double(), expected, rtol=1e-5, atol=1e-5)
    assert not Posterior(torch.zeros(2, 1, 3), torch.zeros(2, 1, 3)).kl().any()


def test_samples_have_the_mean_and_variance_of_each_element_and_follow_their_seeds() -> None:
    mean, log_var = torch.tensor([-1.0, 2.0]), torch.tensor([0.5, -3.0])
    n = 4000
    posterior = Posterior(*(v.view(1, 2, 1).expand(1, 2, n).contiguous() for v in (mean, log_var)))
    z = posterior.sample(Noise([5]))[0]
    error = (z.mean(1) - mean).abs() / (0.5 * log_var).exp()
    assert (error < 4 / n**0.5).all()  # four standard errors
    torch.testing.assert_close(z.var(1), log_var.exp(), rtol=0.1, atol=0)
    pair = Posterior(posterior.mean.repeat(2, 1, 1), posterior.log_var.repeat(2, 1, 1)).sample(Noise([6, 5]))
    assert torch.equal(pair[1], z) and not torch.equal(pair[0], z)
    assert torch.equal(posterior.mode, posterior.mean)


# -------------------------------------------------------------------------------------------------------------- layers


def test_channel_norm_is_the_formula() -> None:
    norm, x = awake(ChannelNorm(6)), torch.randn(2, 6, 3, 4) * 5
    rms = (x.square().mean(1, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(norm(x), x / rms * norm.weight[:, None, None])
    assert not norm(torch.zeros(1, 6, 2)).any()
    quiet = torch.zeros(1, 6, 2, requires_grad=True)
    norm(quiet).sum().backward()
    assert quiet.grad.isfinite().all()


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5])
def test_shrinking_by_a_factor_sees_its_cell_and_half_of_each_neighbour(factor) -> None:
    layer = awake(Shrink(1, 1, 1, factor))
    x = torch.randn(1, 1, 5 * factor, requires_grad=True)
    y = layer(x)
    assert y.shape[-1] == 5
    seen = torch.autograd.grad(y[0, 0, 2], x)[0][0, 0].nonzero().flatten()
    assert seen[0] == 2 * factor - factor // 2 and seen[-1] == 3 * factor - 1 + factor // 2


def test_blocks_start_at_the_identity() -> None:
    x = torch.randn(2, 4, 5)
    assert torch.equal(LocalBlock(1, 4)(x), x)


# -------------------------------------------------------------------------------------------- receptive field, windows


@shapes
def test_it_sees_as_far_as_it_says(shape) -> None:
    """The farthest element with a gradient, on both sides, over every place in a cell."""
    net = build(shape)
    dims, f, (encoding, decoding) = shape[0], net.factor, net.receptive_field
    cells = 2 * max(decoding, -(-encoding // f)) + 3
    middle = cells // 2
    z = torch.randn(1, 3, *(cells,) * dims, requires_grad=True)
    out = net.decode(z)
    far = []
    for place in range(f):
        at = (0, slice(None), *(middle * f + place,) * dims)
        seen = torch.autograd.grad(out[at].sum(), z, retain_graph=True)[0].abs().sum((0, 1)).nonzero()
        far += [middle - int(seen.min()), int(seen.max()) - middle]
    assert max(far) == decoding
    x = torch.randn(1, 2, *(cells * f,) * dims, requires_grad=True)
    mean = net.encode(x).mean
    assert mean.shape[2:] == (cells,) * dims
    seen = torch.autograd.grad(mean[(0, slice(None), *(middle,) * dims)].sum(), x)[0].abs().sum((0, 1)).nonzero()
    assert middle * f - int(seen.min()) == encoding and int(seen.max()) - (middle * f + f - 1) == encoding


@shapes
def test_windows_that_share_three_reaches_change_nothing(shape) -> None:
    net = build(shape)
    dims, f, (encoding, decoding) = shape[0], net.factor, net.receptive_field
    with torch.no_grad():
        overlap = 3 * decoding
        z = torch.randn(2, 3, *(overlap + 17, overlap + 9)[:dims])
        whole = net.decode(z)
        parts = net.decode(z, window=overlap + 7, overlap=overlap)
        torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)
        # with less they do not see enough, but are near
        near = net.decode(z, window=overlap + 7, overlap=3)
        assert 1e-4 < (near - whole).abs().max() < 3 * whole.std()
        share = 3 * -(-encoding // f) * f
        x = torch.randn(2, 2, *(share + 12 * f, share + 7 * f)[:dims])
        full, cut = net.encode(x), net.encode(x, window=share + 5 * f, overlap=share)
    torch.testing.assert_close(cut.mean, full.mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(cut.log_var, full.log_var, rtol=1e-4, atol=1e-5)


def test_one_window_is_no_window_to_the_bit() -> None:
    net = build((2, (4, 4), (2,), 1))
    z = torch.randn(2, 3, 6, 5)
    assert torch.equal(net.decode(z, window=6, overlap=3), net.decode(z))
    # a window for each axis: here the second is cut, the first is not
    cut = net.decode(z, window=(6, 4), overlap=(0, 2))
    assert cut.shape == (2, 2, 12, 10) and not torch.equal(cut, net.decode(z))


def test_sizes_that_do_not_fit_are_refused() -> None:
    net = build((1, (4, 4, 4), (2, 3), 1))
    with pytest.raises(ValueError, match=r"multiples of the factor 6, not \[13\]"):
        net.encode(torch.zeros(1, 2, 13))
    with pytest.raises(ValueError, match="not whole elements"):
        net.encode(torch.zeros(1, 2, 60), window=20, overlap=6)
    with pytest.raises(ValueError, match="2 factors, not"):
        AutoencoderKL(1, 1, channels=(4, 4, 4), factors=(2,))
    with pytest.raises(ValueError, match="1, 2 or 3 spatial dimensions"):
        AutoencoderKL(4, 1)


# ------------------------------------------------------------------------------------------------------ loss, latents


def test_loss_is_l1_and_the_kl_of_each_element() -> None:
    net = build((2, (4, 4), (2,), 1))
    x, beta = torch.randn(3, 2, 8, 6), 0.3
    posterior = net.encode(x)
    back = net.decode(posterior.mean + (posterior.log_var / 2).exp() * Noise([1, 2, 3])["posterior"].normal(3, 4, 3))
    expected = [(b - a).abs().mean() + beta * k / 96 for a, b, k in zip(x, back, posterior.kl())]
    torch.testing.assert_close(net.loss(x, Noise([1, 2, 3]), beta), torch.stack(expected))


def test_calibrated_latents_have_unit_variance_a_channel() -> None:
    net = build((1, (4, 4), (2,), 1))
    batches = [torch.randn(n, 2, 40) * 3 + 1 for n in (3, 5, 1)]  # of uneven size: every element counts alike
    net.calibrate(batches)
    z = torch.cat([net.encode(x).mode.transpose(0, 1).flatten(1) for x in batches], 1)
    torch.testing.assert_close(net.latent_mean, z.mean(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net.latent_std, z.std(1, correction=0), rtol=1e-4, atol=1e-5)
    one = net.encode(batches[1]).mode
    torch.testing.assert_close(net.normalise(one)[0, 1], (one[0, 1] - z.mean(1)[1]) / z.std(1, correction=0)[1])
    torch.testing.assert_close(net.denormalise(net.normalise(one)), one, rtol=1e-4, atol=1e-5)
    assert {"latent_mean", "latent_std"} <= net.state_dict().keys()
    with pytest.raises(ValueError, match="no data"):
        net.calibrate([])


def test_a_latent_that_says_nothing_is_left_alone() -> None:
    net = build((1, (4, 4), (2,), 0))
    with torch.no_grad():
        net.encoder[-1].weight[1] = 0
        net.encoder[-1].bias[1] = 0.5
    net.calibrate([torch.randn(2, 2, 8)])
    assert net.latent_std[1] == 1 and net.latent_mean[1] == 0.5


def test_checkpointing_gives_the_same_gradients() -> None:
    plain, again = (build((2, (4, 4), (2,), 2), checkpointing=c).train() for c in (False, True))
    again.load_state_dict(plain.state_dict())
    x, kept = torch.randn(2, 2, 8, 6), []
    for net in (plain, again):
        count = [0]

        def pack(tensor: torch.Tensor, count: list[int] = count) -> torch.Tensor:
            count[0] += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            loss = net.loss(x, Noise([1, 2])).sum()
        loss.backward()
        kept.append(count[0])
    assert kept[1] < kept[0] / 2
    for (name, p), q in zip(plain.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad), name


def test_it_learns_to_draw_smooth_signals_through_eight_times_fewer_numbers() -> None:
    """Sums of two waves, 32 elements a latent cell of 4 numbers."""
    net = AutoencoderKL(1, 1, 2, channels=(8, 16, 16), factors=(4, 4), blocks=1)
    phase = Noise(range(16)).uniform(2, 1) * 6.28
    t = torch.linspace(0, 6.28, 64)
    x = (torch.sin(t + phase[:, 0]) + 0.5 * torch.sin(3 * t + phase[:, 1]))[:, None]
    optimiser = torch.optim.Adam(net.parameters(), 5e-3)
    losses = []
    for step in range(200):
        optimiser.zero_grad()
        loss = net.loss(x, Noise([97 * step + k for k in range(16)])).mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-10:]) / 10 < losses[0] / 7
