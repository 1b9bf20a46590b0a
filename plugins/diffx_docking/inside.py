"""Vina's energy of the pairs within a ligand, and its forces, for thousands of poses: from tables, without a root or an
exponential for each pair."""

from __future__ import annotations

import torch
from torch import Tensor

from .ligand import Ligand
from .vina import CUTOFF, Pairing, pair_energy

_FINE = 32  # entries of a table a squared Å


class Inside:
    """Energies of pairs as functions of their squared distance, linear between entries; forces are their slopes.

    Args:
        ligand: of n atoms.
        dtype: of positions.
    """

    def __init__(self, ligand: Ligand, dtype: torch.dtype = torch.float32):
        pairing = Pairing(ligand.types, ligand.types, torch.float64)
        first, second = torch.as_tensor(ligand.pairs.T.copy())
        told = torch.stack([part[first, second] for part in (pairing.radii, pairing.hydrophobic, pairing.hydrogen)], 1)
        kinds, kind = told.unique(dim=0, return_inverse=True)
        self._last = int(CUTOFF**2 * _FINE)
        squared = torch.arange(self._last + 2, dtype=torch.float64) / _FINE
        self._table = pair_energy(squared.sqrt(), *kinds.T[..., None]).to(dtype).flatten()
        self._start = kind * len(squared)
        self._place, self._mirrored = first * len(ligand) + second, second * len(ligand) + first

    def energy_and_force(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Energies [B] in kcal/mol, and forces [B, n, 3] in kcal/mol/Å, of positions [B, n, 3]."""
        batch, n, _ = positions.shape
        distance = torch.cdist(positions, positions, compute_mode="use_mm_for_euclid_dist")
        place = (distance.flatten(1).index_select(1, self._place).square() * _FINE).clamp_(max=self._last)
        low = place.long()
        index = low + self._start
        value = self._table[index]
        slope = self._table[index + 1] - value
        energy = (value + slope * (place - low)).sum(1)
        pull = positions.new_zeros(batch, n * n)
        pull.index_copy_(1, self._place, slope).index_copy_(1, self._mirrored, slope)
        pull = pull.view(batch, n, n) * (2 * _FINE)  # by the squared distance, and by each of the pair
        return energy, pull @ positions - pull.sum(-1, keepdim=True) * positions
