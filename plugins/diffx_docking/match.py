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
_OWN = 128  # of a ligand's own: beyond, poses may come twice, and no pose is lost


def numberings(ligand: Ligand, reference: Chem.Mol, most: int = _MOST) -> np.ndarray:
    """For each symmetry of the molecule, which atom of the reference is which of the ligand: int [s, n].

    By elements and bonds alone, as spyrmsd has it (Meli and Biggin 2020): the two oxygens of an acid are equal, and a
    file may have other bond orders and charges than a SMILES.

    Raises:
        DataError: the two are not the same molecule.
    """
    found = _skeleton(Chem.RemoveAllHs(reference)).GetSubstructMatches(
        _skeleton(ligand.mol), uniquify=False, maxMatches=most
    )
    if not found or reference.GetNumHeavyAtoms() != len(ligand):
        raise DataError(f"{ligand.name}: the reference is another molecule than the ligand")
    return np.array(found)


def symmetries(ligand: Ligand) -> Tensor:
    """Numberings of the ligand's atoms that make the same molecule, the plain one first: long [s, n], 128 at most."""
    own = list(range(len(ligand)))
    found = numberings(ligand, ligand.mol, _OWN).tolist()
    return torch.tensor([own, *(order for order in found if order != own)][:_OWN])


def rmsd(positions: np.ndarray, reference: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Symmetry-corrected RMSD [B] in Å of positions [B, n, 3] to reference [n, 3], without superposition."""
    gaps = [((positions - reference[order]) ** 2).sum(-1).mean(-1) for order in orders]
    return np.sqrt(np.min(gaps, axis=0))


def match(
    ligand: Ligand, target: np.ndarray, seed: int = 0, starts: int = 64, steps: int = 150
) -> tuple[dict[str, Tensor], float]:
    """The pose (of one, [1, ...]) whose positions are nearest to a target, and its RMSD in Å.

    Bond lengths, angles and rings are the conformer's, so the RMSD is not 0; a few tenths is usual. The first start of
    each target has that one's own torsions, laid on it; the others are drawn by seed.

    Args:
        ligand: of n atoms.
        target: positions [n, 3], or [k, n, 3] of k numberings of which the nearest is wanted.
        seed: of the starts.
        starts: spread over the targets; k at least.
        steps: of minimisation.
    """
    targets = target.reshape(-1, len(ligand), 3)
    body, m, starts = Body(ligand, torch.float64), len(ligand.torsions), max(starts, len(targets))
    goal = torch.as_tensor(targets, dtype=torch.float64)[torch.arange(starts) % len(targets)]
    noise = Noise([derive(seed, "match", start) for start in range(starts)])
    pose = {
        "translation": goal.mean(1),
        "rotation": SO3().prior((3, 3), 1.0, noise["turn"]).double(),
        "torsion": np.pi * (2 * noise["twist"].uniform(m).double() - 1),
    }
    for k, one in enumerate(targets):
        pose["torsion"][k] = torch.as_tensor(_turned(ligand, one))
        pose["rotation"][k] = torch.as_tensor(_laid(body.internal(pose["torsion"][k : k + 1])[0].numpy(), one))

    def energy(pose: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        positions = body.positions(pose)
        gap = positions - goal
        return gap.square().sum((-1, -2)), -torch.cat(list(body.forces(positions, -2 * gap).values()), -1)

    pose, value = minimise(energy, pose, steps)
    best = int(value.argmin())
    return {k: v[best : best + 1] for k, v in pose.items()}, float((value[best] / len(ligand)).sqrt())


def _turned(ligand: Ligand, target: np.ndarray) -> np.ndarray:
    """Torsions [m] that take the conformer's dihedral angles to the target's."""
    bonded = [[n.GetIdx() for n in atom.GetNeighbors()] for atom in ligand.mol.GetAtoms()]
    turns = []
    for one in ligand.torsions:
        before, after = (next(k for k in bonded[i] if k != j) for i, j in ((one.a, one.b), (one.b, one.a)))
        chain = [before, one.a, one.b, after]
        turns.append(_dihedral(target[chain]) - _dihedral(ligand.positions[chain]))
    return np.array(turns)


def _dihedral(points: np.ndarray) -> float:
    """The angle of four points [4, 3] about the line of the middle two, as a turn of the last about it."""
    before, axis, after = np.diff(points, axis=0)
    axis = axis / np.linalg.norm(axis)
    here, there = -before + (before @ axis) * axis, after - (after @ axis) * axis
    return float(np.arctan2(np.cross(here, there) @ axis, here @ there))


def _laid(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation [3, 3] of centred points [n, 3] that lays them best on a target (Kabsch 1976)."""
    left, _, right = np.linalg.svd((target - target.mean(0)).T @ points)
    return left @ np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))]) @ right


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
