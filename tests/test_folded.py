"""Networks on a coarser grid."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from diffx.condition import Condition
from diffx.nets import Folded
from diffx.nets.folded import fold, unfold


def test_in_two_dimensions_it_is_a_pixel_shuffle():
    x = torch.randn(2, 3, 8, 12)
    assert torch.equal(fold(x, (2, 2)), F.pixel_unshuffle(x, 2))
    assert torch.equal(unfold(fold(x, (2, 2)), (2, 2)), x)


@pytest.mark.parametrize("shape, by", [((7,), (3,)), ((8, 5), (4, 1)), ((5, 6, 7), (2, 3, 4))])
def test_folding_loses_nothing(shape, by):
    x = torch.randn(2, 1, *shape)
    assert torch.equal(Folded(lambda x, level, condition: x, by)(x, torch.zeros(2)), x)


def test_a_network_sees_blocks_as_channels():
    x = torch.randn(2, 1, 8, 12)
    shifted = Folded(lambda x, level, condition: x.roll(1, -1), 2)(x, torch.zeros(2))
    assert torch.equal(shifted, x.roll(2, -1))


def test_maps_of_the_condition_are_folded_with_the_state():
    x, beside = torch.randn(1, 1, 4, 6), torch.randn(1, 2, 4, 6)
    seen = []

    def net(x, level, condition):
        seen.append(condition.spatial)
        return x

    Folded(net, (4, 1))(x, torch.zeros(1), Condition(spatial=beside))
    assert torch.equal(seen[0], beside.reshape(1, 8, 1, 6))
