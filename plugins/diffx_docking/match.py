"""The pose of a fresh conformer that comes nearest to a known one: what a network can be asked to find."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from rdkit import Chem
from torch import Tensor

from diffx.errors import DataError
from diffx.noise import Noise, derive
from diffx.process import SO3

from .ligand import Ligand
from .pose import Body
from .relax import minimise

_MOST = 10_000  # symmetry equivalent numberings that are tried


def numberings(ligand: Ligand, reference: Chem.Mol) -> np.ndarray:
    """For each symmetry of the molecule, which atom of the reference is which of the ligand: int [s, n].

    By elements and bonds alone, as spyrmsd has it (Meli and Biggin 2020): the two oxygens of an acid are equal, and a
    file may have other bond orders and charges than a SMILES.

    Raises:
        DataError: the two are not the same molecule.
    """
    found = _skeleton(Chem.RemoveAllHs(reference)).GetSubstructMatches(
        _skeleton(ligand.mol), uniquify=False, maxMatches=_MOST
    )
    if not found or reference.GetNumHeavyAtoms() != len(ligand):
        raise DataError(f"{ligand.name}: the reference is another molecule than the ligand")
    return np.array(found)


def rmsd(positions: np.ndarray, reference: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Symmetry-corrected RMSD [B] in Å of positions [B, n, 3] to reference [n, 3], without superposition."""
    gaps = [((positions - reference[order]) ** 2).sum(-1).mean(-1) for order in orders]
    return np.sqrt(np.min(gaps, axis=0))


def match(ligand: Ligand, target: np.ndarray, seed: int = 0, starts: int = 64) -> tuple[dict[str, Tensor], float]:
    """The pose (of one, [1, ...]) whose positions are nearest to target [n, 3], and its RMSD in Å.

    Bond lengths, angles and rings are the conformer's, so the RMSD is not 0; a few tenths is usual.
    """
    body, m = Body(ligand, torch.float64), len(ligand.torsions)
    goal = torch.as_tensor(target, dtype=torch.float64)
    noise = Noise([derive(seed, "match", start) for start in range(starts)])
    pose = {
        "translation": goal.mean(0).expand(starts, 3).clone(),
        "rotation": SO3().prior((3, 3), 1.0, noise["turn"]).double(),
        "torsion": np.pi * (2 * noise["twist"].uniform(m).double() - 1),
    }

    def energy(pose: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        positions = body.positions(pose)
        gap = positions - goal
        return gap.square().sum((-1, -2)), -torch.cat(list(body.forces(positions, -2 * gap).values()), -1)

    pose, value = minimise(energy, pose, steps=150)
    best = int(value.argmin())
    return {k: v[best : best + 1] for k, v in pose.items()}, float((value[best] / len(goal)).sqrt())


def _skeleton(mol: Chem.Mol) -> Chem.Mol:
    plain = Chem.RWMol(mol)
    for bond in plain.GetBonds():
        bond.SetBondType(Chem.BondType.SINGLE)
        bond.SetIsAromatic(False)
    for atom in plain.GetAtoms():
        atom.SetIsAromatic(False)
        atom.SetFormalCharge(0)
        atom.SetNoImplicit(True)
        atom.SetNumExplicitHs(0)
        atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
    return plain.GetMol()
