"""The network of slices, and the regression that the diffusion corrects, as a process of one evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffx.condition import Conditioning
from diffx.data.spec import Spec
from diffx.nets import Folded, UNet
from diffx.noise import Noise
from diffx.plan import Plan, Row
from diffx.process import Gaussian, Noisy


def slice_net(cfg: Any, spec: Spec, conditioning: Conditioning) -> Folded:
    """The U-Net that ``net.*`` of a plugin's options describes, on slices folded by ``net.fold``."""
    net, squares = cfg.net, cfg.net.fold**2
    unet = UNet(
        spec.dims,
        spec.channels * squares,
        channels=net.channels,
        blocks=net.blocks,
        attention=net.attention,
        vector=conditioning.vector,
        spatial=conditioning.spatial * squares,
        checkpointing=cfg.train.checkpointing,
    )
    return Folded(unet, net.fold)


@dataclass(frozen=True)
class Regression(Gaussian):
    """A process that hides the state altogether: x_t = 0 at the last time, and the loss is |x_0-hat - x_0|.

    So a denoiser of the same size, with the same condition, the same data and the same training, becomes a regression
    of the conditional median. Its answer is its prediction for ``prior`` at ``schedule.t_max``.
    """

    @property
    def answer(self) -> Plan:
        """The plan of one evaluation, whose prediction is the answer."""
        return Plan("regression", (Row(float(self.schedule.t_max), 0.0, a=0.0, b=(1.0,)),))

    def prior(self, shape: tuple[int, ...], noise: Noise, t: float | None = None) -> Tensor:
        """Nothing: zeros [B, *shape]."""
        return torch.zeros(len(noise.seeds), *shape, device=noise.device)

    def corrupt(self, x0: Tensor, t: np.ndarray, noise: Noise) -> Noisy:
        """Nothing is left of x0 [B, ...], whatever the times."""
        last = np.full(len(x0), float(self.schedule.t_max))
        return Noisy(torch.zeros_like(x0), last, x0, torch.ones(len(x0), device=x0.device))

    def loss(self, prediction: Tensor, noisy: Noisy) -> Tensor:
        """Mean absolute error of each sample, [B]."""
        return (prediction.float() - noisy.target).abs().flatten(1).mean(1)
