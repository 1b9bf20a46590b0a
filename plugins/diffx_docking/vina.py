"""Vina's scoring function in torch, differentiable: kcal/mol from distances (Trott and Olson 2010, table 1)."""

from __future__ import annotations

import torch
from torch import Tensor

from .atoms import Types
from .ligand import Ligand
from .receptor import Receptor

CUTOFF = 8.0  # Å between atoms
GAUSS1, GAUSS2, REPULSION, HYDROPHOBIC, HYDROGEN = -0.035579, -0.005156, 0.840245, -0.035069, -0.587439
ROTOR = 0.05846


class Pairing:
    """What two sets of atoms are to each other: sums of radii [n, m], and which pairs are hydrophobic or may bond.

    Args:
        first: types of n atoms.
        second: types of m atoms.
    """

    def __init__(self, first: Types, second: Types, dtype: torch.dtype = torch.float32):
        def outer(a: object, b: object) -> Tensor:
            return torch.as_tensor(a)[:, None] & torch.as_tensor(b)[None]

        self.radii = torch.as_tensor(first.radius[:, None] + second.radius[None], dtype=dtype)
        self.hydrophobic = outer(first.hydrophobic, second.hydrophobic).to(dtype)
        self.hydrogen = (outer(first.donor, second.acceptor) | outer(first.acceptor, second.donor)).to(dtype)

    def energy(self, distance: Tensor) -> Tensor:
        """Energy of each pair from distances [..., n, m] in Å; 0 from 8 Å on."""
        return pair_energy(distance, self.radii, self.hydrophobic, self.hydrogen)


def pair_energy(distance: Tensor, radii: Tensor, hydrophobic: Tensor, hydrogen: Tensor) -> Tensor:
    """Vina's five terms: distances and sums of radii in Å, and 1 where a pair is hydrophobic or may form an H-bond."""
    surface = distance - radii
    steric = GAUSS1 * (-(surface / 0.5).square()).exp() + GAUSS2 * (-((surface - 3) / 2).square()).exp()
    energy = steric + REPULSION * surface.clamp(max=0).square()
    energy = energy + HYDROPHOBIC * hydrophobic * (1.5 - surface).clamp(0, 1)
    energy = energy + HYDROGEN * hydrogen * (-surface / 0.7).clamp(0, 1)
    return energy.where(distance < CUTOFF, 0.0)


def pair_slope(distance: Tensor, radii: Tensor, hydrophobic: Tensor, hydrogen: Tensor) -> Tensor:
    """Derivative of :func:`pair_energy` with respect to the distance, kcal/mol/Å."""
    surface = distance - radii
    slope = -8 * GAUSS1 * surface * (-(surface / 0.5).square()).exp()
    slope = slope - 0.5 * GAUSS2 * (surface - 3) * (-((surface - 3) / 2).square()).exp()
    slope = slope + 2 * REPULSION * surface.clamp(max=0)
    slope = slope - HYDROPHOBIC * hydrophobic * ((surface > 0.5) & (surface < 1.5))
    slope = slope - HYDROGEN / 0.7 * hydrogen * ((surface > -0.7) & (surface < 0))
    return slope.where(distance < CUTOFF, 0.0)


class Vina:
    """Score of a ligand's poses in a receptor.

    Args:
        receptor: its atoms farther from the poses than 8 Å do not count, so a pocket will do.
        ligand: whose poses are scored.
    """

    def __init__(self, receptor: Receptor, ligand: Ligand, dtype: torch.dtype = torch.float32):
        self.points = torch.as_tensor(receptor.positions, dtype=dtype)
        self.pairing = Pairing(ligand.types, receptor.types, dtype)
        inside = Pairing(ligand.types, ligand.types, dtype)
        self.first, self.second = torch.as_tensor(ligand.pairs.T.copy())
        self._inside = tuple(of[self.first, self.second] for of in (inside.radii, inside.hydrophobic, inside.hydrogen))
        self.divisor = 1 + ROTOR * ligand.rotors

    def between(self, positions: Tensor) -> Tensor:
        """Energy between ligand and receptor of positions [B, n, 3]: [B], kcal/mol."""
        points = self.points.expand(len(positions), -1, -1)
        distance = torch.cdist(positions, points, compute_mode="donot_use_mm_for_euclid_dist")
        return self.pairing.energy(distance).sum((-1, -2))

    def within(self, positions: Tensor) -> Tensor:
        """Energy of the pairs inside the ligand, [B]."""
        distance = torch.linalg.vector_norm(positions[:, self.first] - positions[:, self.second], dim=-1)
        return pair_energy(distance, *self._inside).sum(-1)

    def affinity(self, positions: Tensor) -> Tensor:
        """What Vina reports as the affinity of a pose, [B]: the energy between, divided by a term for the rotors."""
        return self.between(positions) / self.divisor
