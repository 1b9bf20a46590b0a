"""A small codec of phantoms and a prior in closed form, for tests of filling and of thick slices."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import numpy as np
import torch

from diffx.plan import make_plan
from diffx.process import Gaussian as GaussianProcess
from diffx.sampling import sample
from diffx.schedule import EDM
from diffx_mri.align import prepare
from diffx_mri.codec import BrainCodec
from diffx_mri.fit import fit_codec
from diffx_mri.geometry import Geometry
from diffx_mri.volume import Volume

SMALL = Geometry(box=(40, 48, 40), canvas=(48, 56, 48), spacing=4.0)
LANDMARK = np.array([30.0, -40.0, 20.0])  # mm, on the right side only: a swap of left and right moves it


def scene(points: np.ndarray, fold: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A brain at points [..., 3] (mm): grey shell, white core, ventricles, one bright spot; its mask. fold: radians."""
    x, y, z = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)
    radius = np.sqrt((x / 62) ** 2 + ((y + 17) / 78) ** 2 + ((z - 8) / 58) ** 2)
    radius = radius * (1 + 0.07 * np.cos(3 * np.arctan2(x, y + 17)) * np.clip(radius, 0, 1))
    soft = lambda a: 1 / (1 + np.exp(np.clip(-a, -50, 50)))  # noqa: E731
    ripple = np.sin(x / 9 + fold) * np.sin(y / 11 + 2 * fold) * np.sin(z / 10 - fold)
    white = soft((0.8 + 0.06 * ripple - radius) * 25)
    ventricles = np.exp(-(((np.abs(x) - 12) / 7) ** 2 + ((y + 15) / 22) ** 2 + ((z - 12) / 8) ** 2))
    spot = 0.5 * np.exp(-((points - LANDMARK) ** 2).sum(-1) / 200)
    image = soft((1 - radius) * 40) * np.clip(0.45 + 0.4 * white - 0.7 * ventricles + spot, 0, None)
    return image.astype(np.float32), (radius < 1).astype(np.float32)


def centres(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """World points of all voxels."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def straight(spacing: float = 4.0, side: float = 190.0) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Affine and shape of an upright grid around the brain."""
    n = int(side / spacing)
    affine = np.diag([spacing] * 3 + [1.0])
    affine[:3, 3] = np.array([0, -17, 8]) - spacing * (n - 1) / 2
    return affine, (n, n, n)


@cache
def small_codec() -> BrainCodec:
    """Fitted to eight phantoms of different size and folding."""
    rng = np.random.default_rng(5)
    affine, shape = straight(4.0)
    brains = []
    for number in range(8):
        matrix = np.eye(3) + rng.normal(0, 0.03, (3, 3))
        image, mask = scene(centres(affine, shape) @ matrix.T + rng.normal(0, 3, 3), number)
        brains.append(prepare(Volume(image, affine), Volume(mask, affine), SMALL))
    return fit_codec(brains, SMALL, components=8, rounds=2, steps=8)[0]


class NarrowPrior:
    """In the place of `Prior`: latents are N(0, d^2), whose denoiser is known: x d^2 / (d^2 + sigma^2)."""

    spread = 0.2  # d

    schedule = EDM(sigma_max=80.0)
    device = torch.device("cpu")

    def __init__(self, synth, age=None, sex=None) -> None:
        self.codec = synth.codec
        self.mean = torch.zeros(1, *self.codec.shape)

    def draw(self, guide, seeds, options):
        d2 = self.spread**2
        plan = make_plan(self.schedule, "dpmpp_2m", 6)
        denoise = lambda x, t, condition=None: x * d2 / (d2 + float(self.schedule.sigma(t)) ** 2)  # noqa: E731
        process = GaussianProcess(self.schedule)
        return sample(guide(denoise), process, plan, self.codec.shape, list(seeds))


def narrow_synth(monkeypatch, module):
    """What stands for a `BrainSynth` in `module`, whose prior is narrow."""
    monkeypatch.setattr(module, "Prior", NarrowPrior)
    return SimpleNamespace(codec=small_codec(), stages=lambda options: [])
