"""The encoder in whose features sets of brains are compared."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffx.noise import Noise, derive

from .scans import STEP
from .segment import blur

FEATURES = 32
BATCH = 4
YEARS = (48.0, 16.0)  # about the mean and the spread of ages: age is learned in these units
_COARSE = 4  # voxels a side that the reconstruction averages


class Encoder(nn.Module):
    """Brains [B, 1, 96, 120, 96] -> features [B, 32].

    Learned from three things that a set of brains must get right: who it is (age, sex), what it looks like (the image
    at 8 mm, linearly from the features) and how sharp and how noisy it is (the blur and the noise it was given).
    """

    def __init__(self, features: int = FEATURES):
        super().__init__()
        widths = (1, 12, 24, 48, 64)
        layers: list[nn.Module] = []
        for index, (a, b) in enumerate(pairwise(widths)):
            layers += [nn.Conv3d(a, b, 3, stride=2, padding=1), nn.GroupNorm(4, b) if index else nn.Identity()]
            layers += [nn.SiLU(), nn.Conv3d(b, b, 3, padding=1), nn.SiLU()] if index else [nn.SiLU()]
        self.trunk = nn.Sequential(*layers, nn.AdaptiveAvgPool3d((3, 4, 3)), nn.Flatten())
        self.features = nn.Linear(64 * 36, features)

    def forward(self, x: Tensor) -> Tensor:
        return self.features(self.trunk(x))


class Tutor(nn.Module):
    """The encoder with the heads that it learns from; only the encoder is kept."""

    mean: Tensor

    def __init__(self, mean: Tensor):
        super().__init__()
        self.encoder = Encoder()
        self.told = nn.Linear(FEATURES, 4)  # age, sex, blur, noise
        self.picture = nn.Linear(FEATURES, mean.numel())
        self.register_buffer("mean", mean)  # [x, y, z], brains at 8 mm

    def loss(self, images: np.ndarray, ages: Tensor, men: Tensor, seed: int, step: int) -> Tensor:
        """Of a batch of random brains; `ages` in years and `men` in {0, 1} of all, NaN where not known."""
        noise = Noise([derive(seed, "encoder", step, i) for i in range(BATCH)])
        which = (noise["brain"].uniform(1)[:, 0] * len(images)).long()
        x, given = vary(torch.from_numpy(images[which.numpy()])[:, None].float() * STEP, noise)
        z = self.encoder(x)
        told = self.told(z)
        age, man = (ages[which] - YEARS[0]) / YEARS[1], men[which]
        picture = F.avg_pool3d(x, _COARSE)[:, 0] - self.mean
        error = (self.picture(F.dropout(z, 0.1)) - picture.flatten(1)).square().mean()
        return (
            known(F.smooth_l1_loss(told[:, 0], age.nan_to_num(), reduction="none"), age)
            + known(F.binary_cross_entropy_with_logits(told[:, 1], man.nan_to_num(), reduction="none"), man)
            + (told[:, 2:] - given).square().mean()
            + 100 * error
        )


def known(losses: Tensor, targets: Tensor) -> Tensor:
    """Mean of the losses whose target is known, 0 where none is."""
    seen = targets.isfinite()
    return (losses * seen).sum() / seen.sum().clamp_min(1)


def coarse(images: np.ndarray) -> Tensor:
    """Brains kept as bytes [N, X, Y, Z] at 8 mm, float32 [N, X/4, Y/4, Z/4]."""
    return torch.cat([F.avg_pool3d(torch.from_numpy(i)[None, None].float() * STEP, _COARSE)[0] for i in images])


def vary(x: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
    """Brains mirrored or not, moved by up to 2 voxels, 3 % brighter or darker; blurred and made noisy by the amounts
    [B, 2] returned, half of them by none. Background stays 0."""
    u = noise["vary"].uniform(9)
    x = torch.stack([b.flip(1) if v[0] < 0.5 else b for b, v in zip(x, u, strict=True)])
    moved = ((u[:, 1:4] * 5).long() - 2).tolist()
    x = torch.stack([b.roll(m, (1, 2, 3)) for b, m in zip(x, moved, strict=True)])
    amount = (2 * u[:, 4:6] - 1).clamp_min(0)
    column = amount[..., None, None, None, None]
    inside = x > 0
    x = x * (0.97 + 0.06 * u[:, 6, None, None, None, None])
    x = x + column[:, 0] * (blur(x) - x) + 0.06 * column[:, 1] * noise["grain"].normal(*x.shape[1:])
    return torch.where(inside, x.clamp_min(0), torch.zeros_like(x)), amount


@torch.no_grad()
def encode(net: nn.Module, images: np.ndarray) -> Tensor:
    """Features float64 [N, 32] of brains kept as bytes [N, X, Y, Z]."""
    one = [net.eval()(torch.from_numpy(image)[None, None].float() * STEP) for image in images]
    return torch.cat(one).double()
