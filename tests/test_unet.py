"""The U-Net: any shape, known symmetries, conditions that reach the output, and checkpointing that changes nothing."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from awake import awake, seeded  # noqa: F401

from diffx.condition import Condition
from diffx.nets import UNet
from diffx.nets.blocks import Attention, Downsample, ResBlock, Upsample, attention, group_norm

SHAPES = [
    (1,), (2,), (3,), (4,), (5,), (17,), (64,),
    (1, 1), (1, 9), (5, 2), (7, 13), (3, 32),
    (1, 1, 1), (4, 1, 5), (5, 3, 2), (9, 12, 7), (2, 16, 3),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_odd_and_anisotropic_shapes(shape) -> None:
    """The shape comes back, every output depends on the input, and samples do not see each other."""
    net = awake(UNet(len(shape), 2, 3, channels=(8, 12, 16), blocks=1, attention=(1,)))
    x, level = torch.randn(3, 2, *shape, requires_grad=True), torch.tensor([-1.0, 0.0, 1.0])
    out = net(x, level)
    assert out.shape == (3, 3, *shape) and out.isfinite().all()
    gradient = torch.autograd.grad(out[1].square().sum(), x)[0]
    assert not gradient[0].any() and not gradient[2].any()
    assert (gradient[1] != 0).all()
    torch.testing.assert_close(net(x[1:2], level[1:2]), out[1:2], rtol=1e-4, atol=1e-5)


def test_axes_are_halved_rounding_up_and_short_ones_kept() -> None:
    down = Downsample(3, 4)
    for shape, expected in (((8, 9, 5), (4, 5, 3)), ((4, 3, 2), (2, 3, 2)), ((1, 1, 7), (1, 1, 4))):
        assert down(torch.zeros(1, 4, *shape)).shape[2:] == expected


def test_the_output_starts_at_zero_and_the_blocks_at_the_identity() -> None:
    x, level = torch.randn(2, 3, 9, 6), torch.zeros(2)
    net = UNet(2, 3, channels=(8, 16), attention=(0, 1), vector=5, tokens=4)
    told = Condition(vector=torch.randn(2, 5), tokens=torch.randn(2, 3, 4))
    assert not net(x, level, told).any()
    h = torch.randn(2, 8, 9, 6)
    assert torch.equal(ResBlock(2, 8, 8, 16)(h, torch.randn(2, 16)), h)
    assert torch.equal(Attention(8)(h), h) and torch.equal(Attention(8, 4)(h, told.tokens), h)


@pytest.mark.parametrize("dims", [1, 2])
def test_translation_equivariance(dims) -> None:
    """A pattern moved by a multiple of the total stride moves the output; far from the border exactly, as the global
    parts (normalisation, attention) see the same values in other places."""
    size, at, by = (192, 84, 12) if dims == 1 else (64, 28, 4)
    net = awake(UNet(dims, 1, channels=(8, 8, 8) if dims == 1 else (8, 8), blocks=1, attention=(1,)))
    x = torch.zeros(1, 1, *(size,) * dims)
    where = (..., *(slice(at, at + 9),) * dims)
    x[where] = torch.randn(x[where].shape)
    level = torch.zeros(1)
    with torch.no_grad():
        plain, moved = net(x, level), net(x.roll((by,) * dims, tuple(range(2, 2 + dims))), level)
        off = net(x.roll((1,) * dims, tuple(range(2, 2 + dims))), level)
    inner = (..., *(slice(at - 8, at + 20),) * dims)
    back = moved.roll((-by,) * dims, tuple(range(2, 2 + dims)))
    assert plain[inner].std() > 0.01
    torch.testing.assert_close(back[inner], plain[inner], rtol=1e-4, atol=1e-5)
    assert (off.roll((-1,) * dims, tuple(range(2, 2 + dims))) - plain)[inner].abs().max() > 1e-3  # not for every shift


def test_positions_break_it() -> None:
    net = awake(UNet(1, 1, channels=(8,), blocks=1, attention=(), positions=(16,)))
    out = net(torch.zeros(1, 1, 16), torch.zeros(1))[0, 0]
    assert (out[4:12] - out[4]).abs().max() > 1e-2
    free = awake(UNet(1, 1, channels=(8,), blocks=1, attention=()))(torch.zeros(1, 1, 32), torch.zeros(1))[0, 0]
    torch.testing.assert_close(free[12:20], free[12].expand(8))


def test_residual_block_is_the_formula() -> None:
    """conv(silu((1 + scale) norm(conv(silu(norm(x)))) + shift)) + skip(x), each step by itself and in float64."""
    block = awake(ResBlock(2, 8, 12, 16)).double()
    x, embedding = torch.randn(3, 8, 5, 4).double(), torch.randn(3, 16).double()
    kept = x.clone()
    # AdaGN: the groups of each sample have zero mean and unit variance before scale and shift
    h = block.conv1(F.silu(block.norm1(x)))
    scale, shift = block.modulate(embedding)[:, :, None, None].split(12, dim=1)
    groups = h.view(3, block.norm2.num_groups, -1)
    unit = (groups - groups.mean(-1, keepdim=True)) / (groups.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    gain, offset = block.norm2.weight[:, None, None], block.norm2.bias[:, None, None]
    h = (unit.view(h.shape) * gain + offset) * (1 + scale) + shift
    expected = block.skip(x) + block.conv2(F.silu(h))
    # the modulation itself is computed in fp32
    torch.testing.assert_close(block(x, embedding), expected, rtol=1e-5, atol=1e-5)
    with torch.no_grad():  # where activations are overwritten: never those of the caller
        assert torch.equal(block(x, embedding), block(x, embedding)) and torch.equal(x, kept)


@pytest.mark.parametrize(
    ("old", "new"),
    [((5,), (10,)), ((5,), (9,)), ((1,), (2,)), ((3, 4), (6, 7)), ((3, 4), (6, 8)), ((2, 3), (2, 6)), ((4, 2), (12, 4)),
     ((2, 1, 3), (4, 1, 6)), ((3, 2, 2), (6, 4, 3))],
    ids=str,
)  # fmt: skip
def test_upsampling_is_interpolation_then_convolution(old, new) -> None:
    """Whether or not both are done as one transposed convolution."""
    layer = awake(Upsample(len(old), 6, 4)).double()
    x = torch.randn(2, 6, *old).double()
    expected = layer.conv(F.interpolate(x, size=new, mode="nearest"))
    torch.testing.assert_close(layer(x, torch.Size(new)), expected, rtol=1e-12, atol=1e-12)


def test_attention_is_the_formula() -> None:
    """Softmax of the cosines of queries and keys, scaled; heads apart."""
    layer = awake(Attention(64, 5))
    x, tokens, mask = torch.randn(2, 64, 3, 2), torch.randn(2, 4, 5), torch.rand(2, 4) > 0.4
    mask[:, 0] = True
    flat = layer.norm(x).flatten(2).transpose(1, 2)
    query, (key, value) = layer.query(flat), layer.key_value(tokens).split(64, dim=-1)
    heads = []
    for head in range(2):
        part = slice(32 * head, 32 * head + 32)
        q, k = (v[..., part] / v[..., part].norm(dim=-1, keepdim=True) for v in (query, key))
        logits = layer.temperature[head] * q @ k.transpose(1, 2)
        weight = logits.masked_fill(~mask[:, None], -torch.inf).softmax(-1)
        heads.append(weight @ value[..., part])
    expected = x + layer.out(torch.cat(heads, -1)).transpose(1, 2).view(x.shape)
    torch.testing.assert_close(layer(x, tokens, mask), expected, rtol=1e-4, atol=1e-5)


def cross() -> UNet:
    return awake(UNet(2, 1, channels=(8, 16), blocks=1, attention=(1,), tokens=5))


def test_masked_tokens_are_not_seen_and_the_others_are() -> None:
    net, x, level = cross(), torch.randn(2, 1, 6, 5), torch.zeros(2)
    tokens, mask = torch.randn(2, 4, 5), torch.tensor([[True, True, False, False], [True, False, True, False]])
    out = net(x, level, Condition(tokens=tokens, tokens_mask=mask))
    changed = torch.where(mask[..., None], tokens, torch.randn(2, 4, 5) * 100)
    assert torch.equal(net(x, level, Condition(tokens=changed, tokens_mask=mask)), out)
    # masked is as good as absent
    first = net(x[:1], level[:1], Condition(tokens=tokens[:1, :2]))
    torch.testing.assert_close(first, out[:1], rtol=1e-4, atol=1e-5)
    seen = torch.where(mask[..., None], torch.randn(2, 4, 5), tokens)
    assert (net(x, level, Condition(tokens=seen, tokens_mask=mask)) - out).abs().amax((1, 2, 3)).min() > 1e-3
    # the order of tokens carries nothing
    flipped = Condition(tokens=tokens.flip(1), tokens_mask=mask.flip(1))
    torch.testing.assert_close(net(x, level, flipped), out, rtol=1e-4, atol=1e-5)


def test_a_sample_whose_tokens_are_all_masked_is_finite() -> None:
    net, x, level = cross().train(), torch.randn(2, 1, 6, 5), torch.zeros(2)
    tokens, mask = torch.randn(2, 4, 5), torch.tensor([[False] * 4, [True] * 4])
    out = net(x, level, Condition(tokens=tokens, tokens_mask=mask))
    out.square().sum().backward()
    assert out.isfinite().all() and all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


def test_no_tokens_at_all_are_as_good_as_masked_ones() -> None:
    net, x, level = cross(), torch.randn(2, 1, 6, 5), torch.zeros(2)
    none = net(x, level, Condition(tokens=torch.zeros(2, 0, 5)))
    masked = net(x, level, Condition(tokens=torch.randn(2, 3, 5), tokens_mask=torch.zeros(2, 3, dtype=torch.bool)))
    torch.testing.assert_close(none, masked, rtol=1e-5, atol=1e-6)


def test_empty_conditions_are_no_conditions() -> None:
    net = awake(UNet(1, 1, channels=(8,), blocks=1, attention=()))
    x, level = torch.randn(2, 1, 6), torch.zeros(2)
    empty = Condition(torch.zeros(2, 0), torch.zeros(2, 3, 0), torch.ones(2, 3, dtype=torch.bool), torch.zeros(2, 0, 6))
    assert torch.equal(net(x, level, empty), net(x, level))


@pytest.mark.parametrize("name", ["vector", "tokens", "spatial"])
def test_a_condition_the_network_was_not_built_for_is_refused(name) -> None:
    shapes = {"vector": (2, 3), "tokens": (2, 4, 3), "spatial": (2, 3, 6)}
    x, level = torch.randn(2, 1, 6), torch.zeros(2)
    plain, built = (UNet(1, 1, channels=(8,), blocks=1, attention=(), **extra) for extra in ({}, {name: 5}))
    wrong = Condition(**{name: torch.zeros(shapes[name])})
    with pytest.raises(ValueError, match=f"Condition.{name} of width 0, and was given 3"):
        plain(x, level, wrong)
    with pytest.raises(ValueError, match=f"Condition.{name} of width 5, and was given 3"):
        built(x, level, wrong)
    for nothing in (None, Condition()):
        with pytest.raises(ValueError, match=f"Condition.{name} of width 5, and was given none"):
            built(x, level, nothing)


def test_states_and_maps_of_another_size_are_refused() -> None:
    net = UNet(1, 1, channels=(8,), blocks=1, attention=(), spatial=2)
    with pytest.raises(ValueError, match=r"different sizes: \[5\] and \[6\]"):
        net(torch.zeros(2, 1, 6), torch.zeros(2), Condition(spatial=torch.zeros(2, 2, 5)))
    with pytest.raises(ValueError, match="1 spatial axes, not of shape"):
        net(torch.zeros(1, 6), torch.zeros(1))


def test_vector_level_and_spatial_reach_the_output_after_a_step() -> None:
    """Zero-initialised gates hide them at first; one step of training opens the gates."""
    net = UNet(1, 1, channels=(8, 16), blocks=1, attention=(), vector=6, spatial=2)
    x, level = torch.randn(4, 1, 12), torch.zeros(4)
    told = Condition(vector=torch.randn(4, 6), spatial=torch.randn(4, 2, 12))
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(3):
        optimiser.zero_grad()
        (net(x, level, told) - torch.randn(4, 1, 12)).square().mean().backward()
        optimiser.step()
    with torch.no_grad():
        out = net(x, level, told)
        for other in (
            net(x, level, Condition(told.vector.flip(0), spatial=told.spatial)),
            net(x, level + 1, told),
            net(x, level, Condition(told.vector, spatial=told.spatial.flip(0))),
        ):
            assert (other - out).abs().mean() > 1e-4


@pytest.mark.parametrize("dims", [1, 3])
def test_checkpointing_gives_the_same_gradients(dims) -> None:
    plain = awake(UNet(dims, 1, channels=(8, 12), blocks=1, attention=(1,), vector=3, tokens=2)).train()
    again = UNet(dims, 1, channels=(8, 12), blocks=1, attention=(1,), vector=3, tokens=2, checkpointing=True).train()
    again.load_state_dict(plain.state_dict())
    x, level = torch.randn(2, 1, *(6, 5, 4)[:dims]), torch.randn(2)
    told = Condition(vector=torch.randn(2, 3), tokens=torch.randn(2, 3, 2), tokens_mask=torch.rand(2, 3) > 0.3)
    outputs = []
    for net in (plain, again):
        outputs.append(net(x, level, told))
        outputs[-1].square().sum().backward()
    assert torch.equal(*outputs)
    for (name, p), q in zip(plain.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad), name


def test_number_of_parameters() -> None:
    """Counted by hand from the definition, for one resolution and one block, width 8, embedding 32."""
    conv = lambda i, o, k=3: i * o * k + o  # noqa: E731
    linear, norm = (lambda i, o: i * o + o), (lambda c: 2 * c)
    block = lambda i, o: norm(i) + norm(o) + conv(i, o) + conv(o, o) + linear(32, 2 * o) + (i != o) * conv(i, o, 1)  # noqa: E731
    attention = norm(8) + linear(8, 8) + linear(8, 16) + linear(8, 8) + 1
    expected = (
        linear(64, 32) + linear(32, 32)  # level
        + conv(2, 8)  # conv_in
        + block(8, 8)  # down
        + block(8, 8) + attention + block(8, 8)  # middle
        + 2 * block(16, 8)  # up, with skips
        + norm(8) + conv(8, 2)  # norm_out, conv_out
    )  # fmt: skip
    net = UNet(1, 2, channels=(8,), blocks=1, attention=())
    assert sum(p.numel() for p in net.parameters()) == expected


def test_groups_divide_and_hold_four_channels() -> None:
    for channels in (1, 3, 4, 6, 8, 20, 64, 96, 160, 320):
        norm = group_norm(channels)
        assert channels % norm.num_groups == 0 and norm.num_groups <= 32
        assert norm.num_groups == 1 or channels // norm.num_groups >= 4
    assert group_norm(64).num_groups == 16 and group_norm(320).num_groups == 32


def test_a_fourth_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="1, 2 or 3 spatial dimensions, not 4"):
        UNet(4, 1)


@pytest.mark.parametrize("tokens", [7, 600])
def test_attention_in_low_precision_and_its_gradient_are_the_formula(tokens) -> None:
    """On a processor few tokens are attended to in fp32 and many in bf16; neither may show."""
    parts = [torch.randn(2, 3, n, 8, dtype=torch.float64) for n in (5, tokens, tokens)]
    where = torch.rand(2, 1, 1, tokens) < 0.7
    exact = [part.clone().requires_grad_() for part in parts]
    weights = (exact[0] @ exact[1].transpose(-1, -2)).masked_fill(~where, -torch.inf).softmax(-1)
    (weights @ exact[2]).square().sum().backward()
    low = [part.bfloat16().requires_grad_() for part in parts]
    with torch.autocast("cpu", torch.bfloat16):
        y = attention(*low, where)
    assert y.dtype == torch.bfloat16
    y.float().square().sum().backward()
    truth = (weights @ exact[2]).detach()
    assert (y.double() - truth).norm() < 0.02 * truth.norm()
    for mine, right in zip(low, exact, strict=True):
        assert (mine.grad.double() - right.grad).norm() < 0.03 * right.grad.norm()
