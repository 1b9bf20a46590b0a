"""The encoder in whose features sets of brains are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffx.noise import Noise, derive

from ..segmentation.kept import STEP
from ..segmentation.segment import blur

FEATURES = 16
BANDS = 3  # octaves of detail, from 2 mm on
GRID = (96, 120, 96)
BATCH = 8
YEARS = (48.0, 16.0)  # about the mean and the spread of ages: age is learned in these units
COPIES = 3  # of each training brain, varied
_COARSE = 4  # voxels a side of a block
_SILENT = 1e-5  # energy: a detail of 0.003 is as good as none


class Encoder(nn.Module):
    """Brains [B, 1, *grid] -> features [B, 16].

    It sees a brain as `seen` shows it, less the mean training brain and in units of the spread between brains. Nothing
    in it normalises a brain by its own activations: how strong a texture is would be lost.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, grid: Sequence[int] = GRID):
        super().__init__()
        channels = 1 + BANDS
        self.register_buffer("mean", torch.zeros(channels, *[n // _COARSE for n in grid]))
        self.register_buffer("spread", torch.ones(channels, 1, 1, 1))
        self.trunk = nn.Sequential(
            *(nn.Conv3d(channels, 24, 3, stride=2, padding=1), nn.SiLU()),
            *(nn.Conv3d(24, 48, 3, stride=2, padding=1), nn.SiLU()),
            *(nn.Conv3d(48, 64, 3, padding=1), nn.SiLU()),
            *(nn.AdaptiveAvgPool3d((3, 4, 3)), nn.Flatten()),
        )
        self.features = nn.Linear(64 * 36, FEATURES)

    def forward(self, x: Tensor) -> Tensor:
        return self.code(self.departure(x))

    def departure(self, x: Tensor) -> Tensor:
        """What sets brains apart from the mean one, [B, 4, *grid / 4]; mean square 1 over the training brains."""
        return (seen(x) - self.mean) / self.spread

    def code(self, departure: Tensor) -> Tensor:
        """Features of it."""
        return self.features(self.trunk(departure))

    @torch.no_grad()
    def settle(self, images: np.ndarray) -> None:
        """Take `mean` and `spread` from training brains, bytes [N, *grid], and their mirror images."""
        total = torch.zeros_like(self.mean, dtype=torch.float64)
        square = torch.zeros_like(total)
        for image in images:
            one = seen(torch.from_numpy(image)[None, None].float() * STEP)[0].double()
            total += one
            square += one.square()
        mean, square = ((m + m.flip(1)) / 2 / len(images) for m in (total, square))
        variance = (square - mean.square()).mean((1, 2, 3), keepdim=True)
        self.mean.copy_(mean)
        self.spread.copy_(variance.clamp_min(1e-12).sqrt())


def seen(x: Tensor) -> Tensor:
    """Brains [B, 1, *S] in blocks of 4 voxels, [B, 4, *S / 4]: the mean, and the log energy of three octaves of detail.

    Detail is what is lost from one smoothing to the next, at spacings of 1, 2 and 4 voxels (the wavelet transform "a
    trous", Shensa 1992); wavelets squared and averaged are the first order of a scattering transform (Bruna and Mallat
    2013). A blur lowers the energy of the finest octave and grain raises it, wherever the detail lies in its block.
    """
    channels = [F.avg_pool3d(x, _COARSE)]
    for octave in range(BANDS):
        smooth = blur(x, 2**octave)
        channels.append((F.avg_pool3d((x - smooth).square(), _COARSE) + _SILENT).log())
        x = smooth
    return torch.cat(channels, 1)


class Tutor(nn.Module):
    """The encoder with the linear heads that it learns from; only the encoder is kept.

    They read from the features who it is (age, sex), what it looks like (mean and detail at 16 mm), and how blurred and
    how grainy it was made.
    """

    def __init__(self, grid: Sequence[int] = GRID):
        super().__init__()
        self.encoder = Encoder(grid)
        self.told = nn.Linear(FEATURES, 4)  # age, sex, blur, grain
        self.picture = nn.Linear(FEATURES, F.avg_pool3d(self.encoder.mean, 2).numel())

    def loss(self, lessons: Lessons, ages: Tensor, men: Tensor, seed: int, step: int) -> Tensor:
        """Of a batch of random brains; `ages` in years and `men` in {0, 1} of all, NaN where not known."""
        u = Noise([derive(seed, "encoder", step)])["lesson"].uniform(3, BATCH)[0]
        which, copy = (u[0] * len(ages)).long(), (u[1] * COPIES).long()
        departure = lessons.departures[which, copy]
        departure = torch.stack([d.flip(1) if v < 0.5 else d for d, v in zip(departure, u[2], strict=True)])
        z = self.encoder.code(departure)
        told = self.told(z)
        age, man = (ages[which] - YEARS[0]) / YEARS[1], men[which]
        return (
            known(F.smooth_l1_loss(told[:, 0], age.nan_to_num(), reduction="none"), age)
            + known(F.binary_cross_entropy_with_logits(told[:, 1], man.nan_to_num(), reduction="none"), man)
            + (told[:, 2:] - lessons.amounts[which, copy]).square().mean()
            + (self.picture(z) - F.avg_pool3d(departure, 2).flatten(1)).square().mean()
        )


def known(losses: Tensor, targets: Tensor) -> Tensor:
    """Mean of the losses whose target is known, 0 where none is."""
    there = targets.isfinite()
    return (losses * there).sum() / there.sum().clamp_min(1)


@dataclass(frozen=True)
class Lessons:
    """Varied copies of N training brains: `departures` [N, 3, 4, *grid / 4] and `amounts` [N, 3, 2] of blur and grain.

    What the encoder sees has no weights, so it is computed once; the mirror image of a departure is that of the brain.
    """

    departures: Tensor
    amounts: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, net: Encoder, images: np.ndarray, seed: int) -> Lessons:
        """Of brains kept as bytes [N, *grid]."""
        departures, amounts = [], []
        for i, image in enumerate(images):
            x = torch.from_numpy(image)[None, None].float().expand(COPIES, 1, *image.shape) * STEP
            x, amount = vary(x, Noise([derive(seed, "lessons", i, k) for k in range(COPIES)]))
            departures.append(torch.cat([net.departure(one) for one in x[:, None]]))
            amounts.append(amount)
        return cls(torch.stack(departures), torch.stack(amounts))

    @torch.no_grad()
    def unit(self, net: Encoder) -> tuple[Tensor, Tensor]:
        """Mean [16] and axes [16, 16], float32, that make features z uncorrelated and of spread 1 over these copies and
        their mirror images: (z - mean) @ axes.

        Raw, nearly all features tell of head size. Over brains as they are, what they hardly differ in, such as
        sharpness, would count for everything; over varied ones a blur counts for what it is, and a place or a gain for
        little.
        """
        z = torch.cat([net.code(d) for each in self.departures for d in (each, each.flip(2))]).double()
        mean = z.mean(0)
        _, size, axes = torch.linalg.svd(z - mean, full_matrices=False)
        spread = size / (len(z) - 1) ** 0.5
        return mean.float(), (axes.T / spread.clamp_min(1e-6 * float(spread[0]))).float()


def vary(x: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
    """Brains [B, 1, *S] moved by up to 2 voxels, up to 3 % brighter or darker, and blurred and made grainy by the
    amounts [B, 2] returned, half of them by none. 1 is a blur by a standard deviation of 1 voxel, which takes nothing
    from beyond the brain, or grain of 0.06. Background stays 0."""
    u = noise["vary"].uniform(6)
    moved = ((u[:, :3] * 5).long() - 2).tolist()
    x = torch.stack([b.roll(m, (1, 2, 3)) for b, m in zip(x, moved, strict=True)])
    amount = (2 * u[:, 3:5] - 1).clamp_min(0)
    column = amount[..., None, None, None, None]
    inside = (x > 0).float()
    x = x * (0.97 + 0.06 * u[:, 5, None, None, None, None])
    smooth = blur(blur(x)) / blur(blur(inside)).clamp_min(0.01)
    x = x + column[:, 0] * (smooth - x) + 0.06 * column[:, 1] * noise["grain"].normal(*x.shape[1:])
    return x.clamp_min(0) * inside, amount


def coarse(images: np.ndarray) -> Tensor:
    """Brains kept as bytes [N, X, Y, Z] at 8 mm, float32 [N, X/4, Y/4, Z/4]."""
    return torch.cat([F.avg_pool3d(torch.from_numpy(i)[None, None].float() * STEP, _COARSE)[0] for i in images])


@torch.no_grad()
def encode(net: nn.Module, images: np.ndarray) -> Tensor:
    """Features float64 [N, 16], raw, of brains kept as bytes [N, X, Y, Z]."""
    one = [net.eval()(torch.from_numpy(image)[None, None].float() * STEP) for image in images]
    return torch.cat(one).double()
