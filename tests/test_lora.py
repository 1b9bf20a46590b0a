"""Adapters: nothing at first, W + (alpha / r) B A after training, and the same network once merged."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from awake import awake, seeded  # noqa: F401
from torch import nn

from diffx.condition import Condition
from diffx.io import checkpoint
from diffx.nets import DiT, UNet, add_lora, load_lora, lora_state, merge


def network(dims: int = 2) -> UNet:
    return awake(UNet(dims, 1, channels=(8, 12), blocks=1, attention=(1,), vector=3))


def asked(dims: int = 2):
    return torch.randn(2, 1, *(8, 6, 5)[:dims]), torch.randn(2), Condition(torch.randn(2, 3))


def shaken(net: nn.Module) -> nn.Module:
    """Adapters as after training."""
    for parameter in net.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.2)
    return net


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_nothing_changes_at_first_to_the_bit(dims) -> None:
    net, question = network(dims), asked(dims)
    before = net(*question)
    add_lora(net, 3)
    assert torch.equal(net(*question), before)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(5, 4), (3, 5)),
        (nn.Conv1d(4, 6, 3), (2, 4, 5)),
        (nn.Conv2d(4, 6, 3, groups=2), (2, 4, 5, 6)),
        (nn.Conv3d(2, 3, (1, 2, 3)), (1, 2, 3, 4, 5)),
    ],
    ids=["linear", "1-D", "grouped 2-D", "3-D"],
)
@pytest.mark.parametrize("alpha", [None, 5.0])
def test_the_weight_is_w_plus_b_a(layer, shape, alpha) -> None:
    net = nn.Sequential(copy.deepcopy(layer))
    names = add_lora(net, 2, alpha)
    assert len(names) == 2
    shaken(net)
    a, b = (dict(net.named_parameters())[n] for n in names)
    assert a.shape == (2, layer.weight[0].numel()) and b.shape == (len(layer.weight), 2)
    plain = copy.deepcopy(layer)
    with torch.no_grad():
        plain.weight += (1.0 if alpha is None else alpha / 2) * torch.einsum("or,ri->oi", b, a).view_as(plain.weight)
    x = torch.randn(shape)
    torch.testing.assert_close(net(x), plain(x), rtol=1e-5, atol=1e-6)


def test_a_is_scaled_to_its_columns_and_follows_the_seed() -> None:
    nets = [nn.Sequential(nn.Linear(4000, 8)) for _ in range(3)]
    states = [lora_state(n) for n, seed in zip(nets, (0, 0, 1)) if add_lora(n, 4, seed=seed)]
    a = [s["0.lora_a"] for s in states]
    assert float(a[0].std()) == pytest.approx(1 / math.sqrt(4000), rel=0.03) and not states[0]["0.lora_b"].any()
    assert torch.equal(a[0], a[1]) and not torch.equal(a[0], a[2])


def test_gradients_flow_to_the_adapters_alone() -> None:
    net, question = network(), asked()
    before = copy.deepcopy(net.state_dict())
    names = add_lora(net, 2)
    trainable = {n for n, p in net.named_parameters() if p.requires_grad}
    assert trainable == set(names) and all(n.endswith((".a", ".b")) for n in names)
    optimiser = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], 0.05)
    for _ in range(2):  # at the first step only B moves, as B = 0 hides A
        optimiser.zero_grad()
        net(*question).square().mean().backward()
        optimiser.step()
    assert all((p.grad is not None and p.grad.any()) == (n in trainable) for n, p in net.named_parameters())
    for name, value in net.state_dict().items():
        kept = name.replace("parametrizations.weight.original", "weight")
        assert kept not in before or torch.equal(value, before[kept])


def test_targets() -> None:
    def layers(targets) -> set[str]:
        net = DiT(1, 1, width=16, depth=2, heads=2)
        return {name.split(".parametrizations")[0] for name in add_lora(net, 2, targets=targets)}

    assert layers(r"self_attention\.(query|out)$") == {
        f"blocks.{k}.self_attention.{n}" for k in (0, 1) for n in ("query", "out")
    }
    assert layers(lambda name, layer: isinstance(layer, nn.Conv1d)) == {"conv_in"}
    assert len(layers(None)) == 2 + 2 * 6 + 2  # all but the transposed convolution at the end


def test_merging_gives_the_same_network_under_its_first_names() -> None:
    net, question = network(), asked()
    names, before = net.state_dict().keys(), net(*question)
    add_lora(net, 3, alpha=6.0)
    tuned = shaken(net)(*question)
    assert (tuned - before).abs().max() > 0.05
    merge(net)
    torch.testing.assert_close(net(*question), tuned, rtol=1e-5, atol=1e-6)
    assert net.state_dict().keys() == names
    fresh = network()
    fresh.load_state_dict(net.state_dict())
    torch.testing.assert_close(fresh(*question), tuned, rtol=1e-5, atol=1e-6)
    add_lora(net, 1)  # and may be adapted again


def test_adapters_are_saved_alone_and_found_again(tmp_path) -> None:
    base, question = network(), asked()
    net = copy.deepcopy(base)
    add_lora(net, 3, alpha=1.5, targets="attention|upsample|conv2")
    tuned = shaken(net)(*question)
    checkpoint.save(tmp_path / "lora.safetensors", lora_state(net), {})
    state, _ = checkpoint.load(tmp_path / "lora.safetensors")
    assert sum(v.numel() for v in state.values()) < sum(p.numel() for p in base.parameters()) / 3
    names = load_lora(base, state)
    assert torch.equal(base(*question), tuned)
    assert {n for n, p in base.named_parameters() if p.requires_grad} == set(names)
    with pytest.raises(ValueError, match="does not fit this network"):
        load_lora(UNet(2, 1, channels=(8,), blocks=1, attention=()), state)


def test_a_copy_is_a_network_of_its_own() -> None:
    net, question = network(), asked()
    add_lora(net, 2)
    before = net(*question)
    twin = shaken(copy.deepcopy(net))
    assert (twin(*question) - before).abs().max() > 1e-2 and torch.equal(net(*question), before)


def test_what_cannot_be_done_is_refused() -> None:
    net = network()
    with pytest.raises(ValueError, match="at least 1, not 0"):
        add_lora(net, 0)
    with pytest.raises(ValueError, match="chosen by 'nowhere'"):
        add_lora(net, 2, targets="nowhere")
    assert all(p.requires_grad for p in net.parameters())  # a refusal freezes nothing
    add_lora(net, 2)
    for again in (lambda: add_lora(net, 2), lambda: load_lora(net, lora_state(net))):
        with pytest.raises(ValueError, match="adapters already"):
            again()
