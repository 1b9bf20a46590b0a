"""The grids of the brain codec: one canvas, one template box in its middle, one coarse latent grid; RAS+, mm."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Geometry:
    """Where things lie. All grids share one centre, are axis-aligned and cell-centred, so that they nest exactly.

    `canvas` voxels is what a scan or sample fills, `box` voxels the template space; `cell` voxels a side make one node
    of the latent grid. `centre` (mm) puts the anterior commissure of a brain aligned to MNI152 at the world's origin.
    """

    box: tuple[int, int, int] = (80, 96, 80)
    canvas: tuple[int, int, int] = (96, 120, 96)
    spacing: float = 2.0
    cell: int = 4
    centre: tuple[float, float, float] = (0.0, -17.0, 5.0)

    def __post_init__(self) -> None:
        for name in ("box", "canvas"):
            if any(n % (2 * self.cell) for n in getattr(self, name)):
                raise ValueError(
                    f"{name}={getattr(self, name)}: every side must be a multiple of {2 * self.cell} voxels"
                )
        if any((c - b) % (2 * self.cell) or c < b for b, c in zip(self.box, self.canvas, strict=True)):
            raise ValueError(
                f"canvas {self.canvas} must exceed box {self.box} by a multiple of {2 * self.cell} voxels a side"
            )

    @property
    def grid(self) -> tuple[int, int, int]:
        """Shape of the latent grid."""
        return tuple(n // self.cell for n in self.box)  # type: ignore[return-value]

    def finer(self, spacing: float) -> Geometry:
        """The same boxes and nodes on voxels of `spacing` mm, which divides this one's evenly."""
        factor = round(self.spacing / spacing)

        def times(shape: tuple[int, int, int]) -> tuple[int, int, int]:
            return shape[0] * factor, shape[1] * factor, shape[2] * factor

        return Geometry(times(self.box), times(self.canvas), spacing, self.cell * factor, self.centre)

    @property
    def margin(self) -> tuple[int, int, int]:
        """Voxels of canvas beyond the box, on each side."""
        return tuple((c - b) // 2 for b, c in zip(self.box, self.canvas, strict=True))  # type: ignore[return-value]

    def affine(self, shape: tuple[int, ...], spacing: float | None = None) -> np.ndarray:
        """Index-to-world 4x4 of a grid of that shape, centred like all others."""
        step = spacing or self.spacing
        matrix = np.diag([step, step, step, 1.0])
        matrix[:3, 3] = np.array(self.centre) - step * (np.array(shape) - 1) / 2
        return matrix

    def points(self, shape: tuple[int, ...], spacing: float | None = None) -> torch.Tensor:
        """World coordinates of the voxel centres, float32 [*shape, 3], mm."""
        matrix = self.affine(shape, spacing)
        axes = [torch.arange(n, dtype=torch.float32) * matrix[i, i] + matrix[i, 3] for i, n in enumerate(shape)]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)

    def crop(self, on_canvas: torch.Tensor) -> torch.Tensor:
        """The box part of a tensor [..., x, y, z] that covers the canvas at the spacing or a multiple of it."""
        factor = self.canvas[0] // on_canvas.shape[-3]
        m = [n // factor for n in self.margin]
        x, y, z = on_canvas.shape[-3:]
        return on_canvas[..., m[0] : x - m[0], m[1] : y - m[1], m[2] : z - m[2]]

    def extend(self, on_box: torch.Tensor, mode: str = "constant") -> torch.Tensor:
        """A tensor [B, C, x, y, z] that covers the box, padded to the canvas with zeros or ("replicate") its border."""
        factor = self.box[0] // on_box.shape[-3]
        m = [n // factor for n in self.margin]
        return F.pad(on_box, (m[2], m[2], m[1], m[1], m[0], m[0]), mode=mode)

    def warp(
        self, images: torch.Tensor, points: torch.Tensor, extent: tuple[int, int, int] | None = None
    ) -> torch.Tensor:
        """Trilinear values of images [B, C, x, y, z] at points [B, x', y', z', 3], mm; 0 outside.

        The images cover the canvas, or `extent` voxels of its spacing about the same centre.
        """
        half = torch.tensor(extent or self.canvas, dtype=points.dtype, device=points.device) * self.spacing / 2
        middle = torch.tensor(self.centre, dtype=points.dtype, device=points.device)
        grid = ((points - middle) / half).flip(-1)  # grid_sample counts the last axis first
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    def to_dict(self) -> dict:
        """Plain values, for a file's metadata."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Geometry:
        """Inverse of `to_dict`, from JSON too."""
        plain: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        return cls(**plain)
