"""The diffusion transformer: rotary embedding that knows distances alone, exact zeros, formulas, and a fit."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from awake import awake, seeded  # noqa: F401

from diffx.condition import Condition
from diffx.nets import DiT
from diffx.nets.blocks import MultiHead
from diffx.nets.dit import Block, axial_angles, modulate, rotation
from diffx.noise import Noise


def small(dims: int, **options) -> DiT:
    return DiT(dims, 2, 3, **{"width": 24, "depth": 2, "heads": 2, **options})


# ---------------------------------------------------------------------------------------------------------- positions


@pytest.mark.parametrize("grid", [(7,), (3, 4), (2, 3, 2)], ids=str)
def test_attention_knows_where_things_are_relative_to_one_another(grid) -> None:
    """<R_m q, R_n k> is a function of n - m along each axis, and for one offset differs between axes."""
    pairs, n = 6, math.prod(grid)
    angles = axial_angles(grid, pairs, 100.0).double()
    q, k = torch.randn(2, 2 * pairs).double()
    turned_q, turned_k = (rotation(angles)(v.expand(n, -1)) for v in (q, k))
    torch.testing.assert_close(turned_q.norm(dim=1), q.norm().expand(n))
    logits = turned_q @ turned_k.T
    places = torch.cartesian_prod(*(torch.arange(s) for s in grid)).view(n, -1)
    offsets = places[None] - places[:, None]
    seen: dict[tuple[int, ...], float] = {}
    for m in range(n):
        for j in range(n):
            assert seen.setdefault(tuple(offsets[m, j].tolist()), float(logits[m, j])) == pytest.approx(
                float(logits[m, j]), abs=1e-5
            )
    assert len({round(v, 5) for v in seen.values()}) == len(seen)  # and every offset has its own


def test_rates_of_rotation() -> None:
    """Pair j of n of an axis turns by base^(-j/n) a position; what does not part into axes does not turn."""
    angles = axial_angles((3, 5), 5, 16.0).view(3, 5, 5)
    torch.testing.assert_close(angles[2, 4], torch.tensor([2.0, 2 / 4, 4.0, 4 / 4, 0.0]))


def test_moving_the_origin_changes_nothing() -> None:
    layer = awake(MultiHead(16, None, 2))
    x, angles = torch.randn(2, 6, 16), axial_angles((6,), 4, 50.0)
    moved = axial_angles((106,), 4, 50.0)[100:]
    here, there = (layer.attend(x, x, rotate=rotation(a)) for a in (angles, moved))
    torch.testing.assert_close(there, here, rtol=1e-4, atol=1e-5)
    assert (layer.attend(x, x) - here).abs().max() > 1e-2


def test_without_positions_patches_are_a_set(monkeypatch) -> None:
    """Only the rotation tells patches apart: without it, patches in another order give outputs in that order."""
    net = awake(small(1, patch=2))
    x, level, order = torch.randn(2, 2, 12), torch.zeros(2), torch.tensor([3, 0, 5, 1, 4, 2])
    swap = lambda v: v.unflatten(2, (6, 2))[:, :, order].flatten(2)  # noqa: E731
    assert (net(swap(x), level) - swap(net(x, level))).abs().max() > 1e-2
    monkeypatch.setattr("diffx.nets.dit.axial_angles", lambda grid, pairs, base, device: torch.zeros(6, pairs))
    torch.testing.assert_close(net(swap(x), level), swap(net(x, level)), rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------------------------------------ formulas


def test_attention_is_the_formula() -> None:
    layer = awake(MultiHead(12, 5, 3))
    x, source, mask = torch.randn(2, 4, 12), torch.randn(2, 6, 5), torch.rand(2, 6) > 0.4
    mask[:, 0] = True
    split = lambda v: v.unflatten(-1, (3, 4))  # noqa: E731
    q, k = split(layer.query(x)), split(layer.key_value(source)[..., :12])
    v = split(layer.key_value(source)[..., 12:])
    cosine = torch.einsum("bnhd,blhd->bhnl", q / q.norm(dim=-1, keepdim=True), k / k.norm(dim=-1, keepdim=True))
    logits = (cosine * layer.temperature).masked_fill(~mask[:, None, None], -torch.inf)
    expected = layer.out(torch.einsum("bhnl,blhd->bnhd", logits.softmax(-1), v).flatten(2))
    torch.testing.assert_close(layer.attend(x, source, mask), expected, rtol=1e-4, atol=1e-5)


def test_block_is_adaln_zero() -> None:
    """x + gate1 attention(...) + gate2 mlp(...), as written in figure 3 of the paper."""
    block = awake(Block(12, 2, 0))
    x, embedding = torch.randn(2, 5, 12), torch.randn(2, 12)
    rotate = rotation(axial_angles((5,), 3, 10.0))
    parts = F.linear(embedding, block.modulation.weight, block.modulation.bias)[:, None].split(12, -1)

    def norm(v: torch.Tensor) -> torch.Tensor:
        return (v - v.mean(-1, keepdim=True)) / (v.var(-1, correction=0, keepdim=True) + 1e-6).sqrt()

    y = norm(x) * (1 + parts[0]) + parts[1]
    h = x + parts[2] * block.self_attention.attend(y, y, rotate=rotate)
    expected = h + parts[5] * block.mlp(norm(h) * (1 + parts[3]) + parts[4])
    torch.testing.assert_close(block(x, embedding, rotate, None, None), expected, rtol=1e-4, atol=1e-5)


def test_everything_starts_at_the_identity_and_the_output_at_zero() -> None:
    net = small(2, vector=5, tokens=4)
    told = Condition(vector=torch.randn(2, 5), tokens=torch.randn(2, 3, 4))
    assert not net(torch.randn(2, 2, 6, 5), torch.randn(2), told).any()
    x = torch.randn(2, 6, 24)
    for block in net.blocks:
        assert torch.equal(block(x, torch.randn(2, 24), rotation(torch.zeros(6, 6)), told.tokens, None), x)
    assert torch.equal(modulate(x, torch.zeros(2, 24), torch.zeros(2, 24)), F.layer_norm(x, (24,), eps=1e-6))


def test_number_of_parameters() -> None:
    """depth x (18 w^2 + O(w)), and the ends: w = 24, two heads, patch 2 in 2-D, from 2 + 1 channels to 3."""
    w, patch = 24, 4
    linear = lambda i, o: i * o + o  # noqa: E731
    attention = lambda source: linear(w, w) + linear(source, 2 * w) + linear(w, w) + 2  # noqa: E731
    block = linear(w, 6 * w) + attention(w) + 2 * w + attention(7) + linear(w, 4 * w) + linear(4 * w, w)
    ends = 3 * patch * w + w + (w * 3 * patch + 3) + linear(w, 2 * w)
    level = linear(64, w) + linear(w, w) + linear(5, w)
    net = small(2, vector=5, tokens=7, spatial=1, depth=3)
    assert sum(p.numel() for p in net.parameters()) == 3 * block + ends + level


# -------------------------------------------------------------------------------------------------- shapes, conditions


@pytest.mark.parametrize(
    ("shape", "patch"),
    [((1,), 2), ((13,), 4), ((8,), 1), ((7, 9), 2), ((5, 8), (1, 4)), ((5, 4, 6), 2), ((3, 9, 4), (1, 3, 2))],
    ids=str,
)
def test_any_shape(shape, patch) -> None:
    """The shape comes back, every output depends on every input, and samples do not see each other."""
    net = awake(small(len(shape), patch=patch))
    x, level = torch.randn(3, 2, *shape, requires_grad=True), torch.tensor([-1.0, 0.0, 1.0])
    out = net(x, level)
    assert out.shape == (3, 3, *shape)
    gradient = torch.autograd.grad(out[1].square().sum(), x)[0]
    assert not gradient[0].any() and not gradient[2].any() and (gradient[1] != 0).all()
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(net(x[order], level[order]), out[order], rtol=1e-4, atol=1e-5)


def test_what_the_patch_does_not_divide_is_filled_with_zeros_and_cut_back() -> None:
    net = awake(small(2, patch=(4, 3), spatial=1))
    x, maps, level = torch.randn(2, 2, 6, 7), torch.randn(2, 1, 6, 7), torch.zeros(2)
    filled = F.pad(x, (0, 2, 0, 2)), Condition(spatial=F.pad(maps, (0, 2, 0, 2)))
    whole = net(filled[0], level, filled[1])
    assert whole.shape[2:] == (8, 9)
    assert torch.equal(net(x, level, Condition(spatial=maps)), whole[..., :6, :7])


def test_masked_tokens_are_not_seen_to_the_bit() -> None:
    net, x, level = awake(small(2, tokens=5)), torch.randn(2, 2, 6, 5), torch.zeros(2)
    tokens, mask = torch.randn(2, 4, 5), torch.tensor([[True, True, False, False], [True, False, True, False]])
    out = net(x, level, Condition(tokens=tokens, tokens_mask=mask))
    other = torch.where(mask[..., None], tokens, torch.randn(2, 4, 5) * 100)
    assert torch.equal(net(x, level, Condition(tokens=other, tokens_mask=mask)), out)
    torch.testing.assert_close(net(x[:1], level[:1], Condition(tokens=tokens[:1, :2])), out[:1], rtol=1e-4, atol=1e-5)
    seen = torch.where(mask[..., None], torch.randn(2, 4, 5), tokens)
    assert (net(x, level, Condition(tokens=seen, tokens_mask=mask)) - out).abs().amax((1, 2, 3)).min() > 1e-3
    with pytest.raises(ValueError, match=r"Condition\.tokens of width 5, and was given none"):
        net(x, level)


def test_level_vector_and_positions_reach_the_output() -> None:
    net = awake(small(1, vector=4, positions=(9,), position_channels=2))
    x, level, vector = torch.randn(2, 2, 9), torch.zeros(2), torch.randn(2, 4)
    out = net(x, level, Condition(vector))
    assert (net(x, level + 0.5, Condition(vector)) - out).abs().amax((1, 2)).min() > 1e-3
    assert (net(x, level, Condition(vector.flip(0))) - out).abs().amax((1, 2)).min() > 1e-3
    with torch.no_grad():
        net.positions[..., 4] += 1
    assert (net(x, level, Condition(vector)) - out).abs().amax((1, 2)).min() > 1e-3


def test_checkpointing_gives_the_same_gradients() -> None:
    plain, again = (small(2, vector=3, tokens=2, checkpointing=c).train() for c in (False, True))
    awake(plain).train()
    again.load_state_dict(plain.state_dict())
    x, level = torch.randn(2, 2, 6, 5), torch.randn(2)
    told = Condition(torch.randn(2, 3), torch.randn(2, 3, 2), torch.rand(2, 3) > 0.3)
    kept = []
    for net in (plain, again):
        bytes_ = 0

        def count(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal bytes_
            bytes_ += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda t: t):
            out = net(x, level, told)
        kept.append(bytes_)
        out.square().sum().backward()
    assert kept[1] < kept[0] / 4  # and it does keep less
    for (name, p), q in zip(plain.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad), name


def test_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="1, 2 or 3 spatial dimensions, not 4"):
        DiT(4, 1)
    with pytest.raises(ValueError, match="2 sizes of at least 1"):
        DiT(2, 1, patch=(2, 2, 2))
    for width, heads in ((30, 4), (15, 3), (8, 4)):
        with pytest.raises(ValueError, match="does not part into"):
            DiT(2, 1, width=width, heads=heads)


def test_it_learns_two_images_told_apart_by_a_vector() -> None:
    net = DiT(2, 1, width=32, depth=2, heads=2, vector=2)
    target = Noise([1, 2]).normal(1, 8, 8)
    told = Condition(torch.eye(2))
    x = Noise([3]).normal(1, 8, 8).expand(2, -1, -1, -1)  # the same for both
    optimiser = torch.optim.Adam(net.parameters(), 4e-3)
    losses = []
    for _ in range(150):
        optimiser.zero_grad()
        loss = (net(x, torch.zeros(2), told) - target).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 50
