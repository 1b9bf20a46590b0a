"""What physics and the other poses say of a pose: the numbers that ranking looks at beside the atoms themselves."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .ligand import Ligand
from .match import symmetries
from .receptor import Receptor
from .search import Found, gaps
from .vina import Pairing, Vina

CONTACT = 4.5  # Å between heavy atoms in contact
BOND = 3.5  # Å between the heavy atoms of a hydrogen bond
NEIGHBOURS = 2.0  # Å of RMSD within which two poses agree
KT = 0.6  # kcal/mol

NAMES = (
    "energy", "energy above the best", "energy per atom", "between", "within", "strain",
    "gauss1", "gauss2", "repulsion", "hydrophobic", "hydrogen bonding",
    "contacts", "buried", "exposed", "hydrogen bonds", "unsatisfied donors", "unsatisfied acceptors", "worst clash",
    "agreement", "agreement by energy", "rank",
    "atoms", "torsions", "pocket atoms", "polar",
)  # fmt: skip


def descriptors(ligand: Ligand, pocket: Receptor, positions: Tensor, energies: Tensor, sampled: Found) -> Tensor:
    """Numbers [B, len(NAMES)] of poses of one ligand in one pocket.

    Args:
        ligand: of n atoms.
        pocket: atoms of the receptor, at least all within 8 Å of the poses.
        positions: of the poses, [B, n, 3] in Å.
        energies: of the search, [B] in kcal/mol.
        sampled: what the poses were chosen from.
    """
    vina, n = Vina(pocket, ligand), len(ligand)
    pairing = vina.pairing
    between, within = vina.between(positions), vina.within(positions)
    rows = torch.cat([_of_pairs(pairing, vina.points, ligand, pocket, some) for some in positions.split(8)])
    agreeing, weighed = _agreement(positions, sampled, symmetries(ligand))
    above = energies - sampled.energies.min()
    order = energies.argsort(stable=True).argsort(stable=True)
    polar = np.mean(ligand.types.donor | ligand.types.acceptor)
    facts = torch.tensor([n**0.5, len(ligand.torsions) ** 0.5, len(pocket) ** 0.5, float(polar)])
    own = [energies, above, energies / n, between / n**0.5, within / n**0.5, within - within.min()]
    others = [agreeing, weighed, (1.0 + order).log()]
    columns = torch.stack(own, 1), rows, torch.stack(others, 1), facts.expand(len(positions), -1)
    return torch.cat(columns, 1).clamp(-50, 50)


def _of_pairs(pairing: Pairing, points: Tensor, ligand: Ligand, pocket: Receptor, positions: Tensor) -> Tensor:
    """From distances between the atoms of ligand and pocket: Vina's terms, contacts, hydrogen bonds, [B, 12]."""
    distance = torch.cdist(positions, points.expand(len(positions), -1, -1))
    surface, near = distance - pairing.radii, distance < 8.0
    gauss1 = (-(surface / 0.5).square()).exp() * near
    gauss2 = (-((surface - 3) / 2).square()).exp() * near
    overlap = surface.clamp(max=0)
    hydrophobic = pairing.hydrophobic * (1.5 - surface).clamp(0, 1)
    hydrogen = pairing.hydrogen * (-surface / 0.7).clamp(0, 1)
    scale = len(ligand) ** 0.5
    terms = [term.sum((-1, -2)) / scale for term in (gauss1, gauss2, overlap.square(), hydrophobic, hydrogen)]
    touching = (distance < CONTACT).float().sum(-1)
    bonded = (distance < BOND) & (pairing.hydrogen > 0)
    lonely = ~bonded.any(-1) & (touching >= 3)  # buried without a partner
    donor, acceptor = torch.as_tensor(ligand.types.donor), torch.as_tensor(ligand.types.acceptor)
    return torch.stack(
        [
            *terms,
            touching.mean(-1),
            (touching >= 3).float().mean(-1),
            (touching == 0).float().mean(-1),
            bonded.any(-1).float().sum(-1),
            (lonely & donor).float().sum(-1),
            (lonely & acceptor & ~donor).float().sum(-1),
            -overlap.where(pairing.hydrogen == 0, 0.0).amin((-1, -2)),
        ],
        1,
    )


def _agreement(positions: Tensor, sampled: Found, orders: Tensor) -> tuple[Tensor, Tensor]:
    """Which part of the sampled poses lies within 2 Å of each pose, [B]: logarithms of their share, and of their share
    of the Boltzmann weight."""
    close = (gaps(positions, sampled.positions, orders) < NEIGHBOURS).float()
    weight = torch.softmax(-sampled.energies / KT / 2, 0)
    return (close.mean(1) + 1e-3).log(), (close @ weight + 1e-4).log()
