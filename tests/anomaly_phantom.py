"""A head of known geometry: a ball of brain in fluid, skull and scalp, with the scan that shows it."""

from __future__ import annotations

import numpy as np

from diffx_mri.volume import Volume


def radius(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> np.ndarray:
    """Distance of each voxel to the middle of the volume, mm."""
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)]
    return np.sqrt(sum(np.square(a) for a in np.meshgrid(*axes, indexing="ij")))


def head(
    shape: tuple[int, int, int] = (100, 110, 30),
    spacing: tuple[float, float, float] = (2.0, 2.0, 6.0),
    skull: bool = True,
    scale: float = 100.0,
) -> tuple[Volume, Volume]:
    """The scan and its brain mask: brain to 70 mm, fluid to 74, skull to 80, scalp to 88; brain is ``scale``."""
    r = radius(shape, spacing)
    data = np.select([r < 70, r < 74, r < 80, r < 88], [1.0, 0.3, 0.25, 2.0], 0.0)
    texture = 1 + 0.05 * np.sin(r / 3)
    data = data * texture * scale * (1.0 if skull else (r < 70))
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [-(n - 1) / 2 * s for n, s in zip(shape, spacing, strict=True)]
    return Volume(data.astype(np.float32), affine), Volume((r < 70).astype(np.float32), affine)
