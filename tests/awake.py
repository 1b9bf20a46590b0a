"""For tests of networks: a fixed seed, and parameters of which none is zero."""

from __future__ import annotations

import pytest
import torch
from torch import nn


@pytest.fixture(autouse=True)
def seeded():
    """Importing it into a test file seeds each of its tests, on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
    torch.set_num_threads(before)


def awake(net: nn.Module) -> nn.Module:
    """Random values for all parameters: the zero-initialised ones would hide what is behind them."""
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.3 if parameter.ndim < 2 else 0.7 / parameter[0].numel() ** 0.5)
    return net.eval()
