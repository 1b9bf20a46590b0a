"""Patch coding of a volume: principal components of 4x4x4 blocks, each exactly even or odd left to right."""

from __future__ import annotations

import torch


def to_patches(volumes: torch.Tensor, cell: int) -> torch.Tensor:
    """[B, X, Y, Z] -> [B, cell^3, X/cell, Y/cell, Z/cell]; within a patch x varies slowest."""
    b, x, y, z = volumes.shape
    blocks = volumes.reshape(b, x // cell, cell, y // cell, cell, z // cell, cell)
    return blocks.permute(0, 2, 4, 6, 1, 3, 5).reshape(b, cell**3, x // cell, y // cell, z // cell)


def from_patches(patches: torch.Tensor, cell: int) -> torch.Tensor:
    """Inverse of `to_patches`."""
    b, _, x, y, z = patches.shape
    blocks = patches.reshape(b, cell, cell, cell, x, y, z).permute(0, 4, 1, 5, 2, 6, 3)
    return blocks.reshape(b, x * cell, y * cell, z * cell)


def mirror_order(cell: int) -> torch.Tensor:
    """Permutation of a patch's voxels that mirrors it left to right, [cell^3]."""
    return torch.arange(cell**3).reshape(cell, cell, cell).flip(0).flatten()


class PatchMoments:
    """Second moments of patches, gathered volume by volume."""

    def __init__(self, cell: int) -> None:
        self.cell = cell
        self.sum = torch.zeros(cell**3, cell**3, dtype=torch.float64)
        self.count = 0

    def add(self, residuals: torch.Tensor) -> None:
        """residuals [B, X, Y, Z]: volumes minus their mean."""
        flat = to_patches(residuals, self.cell).movedim(1, -1).reshape(-1, self.cell**3).double()
        self.sum += flat.T @ flat
        self.count += len(flat)

    def basis(self, components: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Orthonormal basis [K, cell^3], its signs under the mirror [K] (+1, -1), variances [K]; largest first.

        The moments are symmetrised, so even and odd patches separate and every component is purely one or the other.
        """
        order = mirror_order(self.cell)
        moments = self.sum / max(self.count, 1)
        moments = (moments + moments[order][:, order]) / 2
        eye = torch.eye(len(order), dtype=torch.float64)
        vectors, values, signs = [], [], []
        for parity in (1.0, -1.0):
            half = (eye + parity * eye[order]) / 2
            variance, direction = torch.linalg.eigh(half @ moments @ half)
            vectors.append(direction.T)
            values.append(variance)
            signs.append(torch.full_like(variance, parity))
        variance, sign = torch.cat(values), torch.cat(signs)
        best = variance.argsort(descending=True)[:components]
        return torch.cat(vectors)[best].float(), sign[best].float(), variance[best].float()
