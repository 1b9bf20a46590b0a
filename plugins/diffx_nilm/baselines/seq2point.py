"""Sequence to point (Zhang, Zhong, Wang, Goddard and Sutton 2018, "Sequence-to-point learning with neural networks for
non-intrusive load monitoring"): a window of the mains -> the power at its middle.

The layers are the paper's: convolutions of 30, 30, 40, 50, 50 channels and widths 10, 8, 6, 5, 5, and 1024 units. Two
things differ. The window is 99 periods, 50 minutes at 30 s (the paper: 599 of 6 s). And one network gives all
appliances, so that a whole house is predicted in minutes on a processor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from diffx.io.checkpoint import load_into
from diffx.nets.precision import autocast_dtype
from diffx.noise import derive

from ..appliances import Appliance
from ..household import Household
from .base import Baseline, forget, generator, one_period, places

WIDTH = 99
_CONVOLUTIONS = ((30, 10), (30, 8), (40, 6), (50, 5), (50, 5))
_LEFT = WIDTH - sum(width - 1 for _, width in _CONVOLUTIONS)
_RUN = 4  # neighbouring points that are learnt from together: they share their convolutions
_BIG = "head.0.weight"  # nearly all of the network; kept in 8 bits


class Net(nn.Module):
    """Mains [B, WIDTH - 1 + N], normalised -> power of each appliance [B, N, A] at the N middles, in its scale."""

    def __init__(self, appliances: int):
        super().__init__()
        inner, layers = 1, []
        for channels, width in _CONVOLUTIONS:
            layers += [nn.Conv1d(inner, channels, width), nn.ReLU()]
            inner = channels
        self.convolutions = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(inner * _LEFT, 1024), nn.ReLU(), nn.Linear(1024, appliances))

    def forward(self, x: Tensor) -> Tensor:
        maps = self.convolutions(x[:, None])  # [B, C, _LEFT - 1 + N]
        return self.head(maps.unfold(2, _LEFT, 1).permute(0, 2, 1, 3).flatten(2))


class Seq2Point(Baseline):
    """``mean`` and ``spread`` of the mains that it was trained on, W."""

    kind = "seq2point"

    def __init__(self, appliances: Sequence[Appliance], period: float, net: Net, mean: float, spread: float):
        super().__init__(appliances, period)
        self.net, self.mean, self.spread = net, mean, spread

    @classmethod
    def fit(
        cls,
        houses: Sequence[Household],
        appliances: Sequence[Appliance],
        seed: int = 0,
        say: Callable[[str], None] = lambda line: None,
        steps: int = 6000,
        batch: int = 32,
        lr: float = 1e-3,
        device: torch.device | str = "cpu",
    ) -> Self:
        """Adam on squared error, ``batch`` runs of four neighbouring points a step, a learning rate that falls to 0.

        The default takes three to four minutes on one core. The weights are then rounded to what a file keeps of them.
        """
        period = one_period(houses)
        seen = np.concatenate([house.mains[np.isfinite(house.mains)] for house in houses])
        mean, spread = float(seen.mean()), float(seen.std()) or 1.0
        scale = np.array([appliance.scale for appliance in appliances], np.float32)
        reach = WIDTH // 2
        sources = []
        for house, at, weight in places(houses, appliances, steps * batch, generator(seed, "seq2point")):
            mains = np.pad(np.nan_to_num((house.mains - mean) / spread), (reach, reach + _RUN)).astype(np.float32)
            own = house.as_far_as_metered([a.key for a in appliances])
            parts = np.pad(own.T / scale, ((0, _RUN), (0, 0)), constant_values=np.nan)
            first = np.clip(at - _RUN // 2, 0, None)
            sources.append((mains, parts.astype(np.float32), first, weight))
        number = np.concatenate([np.full(len(s[2]), i) for i, s in enumerate(sources)])
        first, weight = (np.concatenate([s[i] for s in sources]) for i in (2, 3))
        order = generator(seed, "seq2point order").permutation(len(first))

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "seq2point"))
            net = Net(len(appliances)).to(device)
        optimiser = torch.optim.Adam(net.parameters(), lr=lr, fused=True)
        precision = autocast_dtype("auto", torch.device(device))
        fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        losses = []
        for step in range(steps):
            rows = order[np.arange(step * batch, (step + 1) * batch) % len(order)]
            pieces = [(sources[number[r]], first[r]) for r in rows]
            x = np.stack([s[0][f : f + WIDTH - 1 + _RUN] for s, f in pieces])
            y = torch.from_numpy(np.stack([s[1][f : f + _RUN] for s, f in pieces])).to(device)
            w = torch.from_numpy(weight[rows].astype(np.float32)).to(device)[:, None, None]
            known = y.isfinite()
            with torch.autocast(torch.device(device).type, precision, enabled=precision is not None):
                said = net(torch.from_numpy(x).to(device))
            off = (said.float() - y.nan_to_num()) * known
            loss = (w * off.square()).sum() / known.sum().clamp(min=1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            fall.step()
            losses.append(loss.detach())
            if (step + 1) % 100 == 0:
                say(f"seq2point: step {step + 1} of {steps}, loss {float(torch.stack(losses[-100:]).mean()):.2g}")
        fitted = cls(appliances, period, net.cpu(), mean, spread)
        return cls.restored(tuple(appliances), period, *fitted.state())

    @torch.no_grad()
    def predict(self, mains: np.ndarray) -> np.ndarray:
        reach = WIDTH // 2
        device = next(self.net.parameters()).device
        x = np.pad(np.nan_to_num((mains - self.mean) / self.spread), reach).astype(np.float32)
        out = np.zeros((len(self.appliances), len(mains)), np.float32)
        for first in range(0, len(mains), 2048):
            piece = torch.from_numpy(x[first : min(first + 2048, len(mains)) + WIDTH - 1])[None].to(device)
            out[:, first : first + 2048] = self.net(piece)[0].T.cpu().numpy()
        return forget(out * np.array([[a.scale] for a in self.appliances]), mains)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {name: tensor.half() for name, tensor in self.net.state_dict().items()}
        step, codes = rounded(self.net.state_dict()[_BIG])
        return {**tensors, _BIG: codes, "step": step}, {"mean": self.mean, "spread": self.spread}

    @classmethod
    def restored(
        cls, appliances: tuple[Appliance, ...], period: float, tensors: dict[str, Tensor], facts: dict[str, Any]
    ) -> Self:
        net = Net(len(appliances))
        full = {name: tensor.float() for name, tensor in tensors.items() if name != "step"}
        load_into(net, {**full, _BIG: full[_BIG] * tensors["step"].float()[:, None]}, cls.kind)
        return cls(appliances, period, net.eval(), facts["mean"], facts["spread"])


def rounded(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(step [n], codes [n, m]) with step x code nearest to the weight [n, m]; codes are int8.

    A step has the 8 significant bits of bfloat16: its products with codes are exact in float32, and rounding again what
    was rounded changes nothing.
    """
    step = (weight.abs().amax(1) / 127).clamp(min=1e-30).bfloat16()
    return step, (weight / step.float()[:, None]).round().clamp(-127, 127).to(torch.int8)
