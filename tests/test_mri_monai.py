"""What stands in for MONAI gives MONAI's numbers to the bit: shipped weights were made with these."""

from __future__ import annotations

import pytest
import torch

from diffx_mri.register import SQUARINGS, squared
from diffx_mri.synth.segmentation.segment import segmenter

blocks = pytest.importorskip("monai.networks.blocks")
nets = pytest.importorskip("monai.networks.nets")


@pytest.mark.parametrize("shape", [(2, 3, 12, 15, 10), (1, 3, 20, 24, 20), (1, 3, 5, 1, 7)])
@pytest.mark.filterwarnings("ignore:monai.networks.blocks.Warp")
def test_scaling_and_squaring(shape):
    torch.manual_seed(0)
    ours = (2 * torch.randn(shape)).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    peer = blocks.DVF2DDF(num_steps=SQUARINGS, padding_mode="border")
    a, b = squared(ours), peer(theirs)
    assert torch.equal(a, b)
    weight = torch.randn(shape)
    (a * weight).sum().backward()
    (b * weight).sum().backward()
    assert torch.equal(ours.grad, theirs.grad)


def test_the_segmenter():
    torch.manual_seed(1)
    ours = segmenter()
    torch.manual_seed(1)
    theirs = nets.UNet(3, 1, 5, channels=(24, 48, 64, 96), strides=(2, 2, 2), num_res_units=0, norm="instance")
    state = ours.state_dict()
    assert list(state) == list(theirs.state_dict())
    assert all(torch.equal(state[name], value) for name, value in theirs.state_dict().items())
    x = torch.rand(2, 1, 16, 24, 32)
    a, b = ours(x), theirs(x)
    assert a.shape == (2, 5, 16, 24, 32) and torch.equal(a, b)
    a.square().mean().backward()
    b.square().mean().backward()
    assert all(torch.equal(p.grad, q.grad) for p, q in zip(ours.parameters(), theirs.parameters(), strict=True))
