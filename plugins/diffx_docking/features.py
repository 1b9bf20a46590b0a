"""What a network is shown of a complex: numbers for each atom of ligand and pocket, and for each pair within them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from rdkit import Chem
from torch import Tensor

from .atoms import Types
from .ligand import Ligand
from .receptor import Receptor
from .residues import ALIASES, STANDARD

_ELEMENTS = ("C", "N", "O", "S", "P", "F", "Cl", "Br", "I")
_HYBRIDS = (Chem.HybridizationType.SP, Chem.HybridizationType.SP2, Chem.HybridizationType.SP3)
_RESIDUES = sorted(STANDARD)
_PLACES = ("N", "CA", "C", "O")  # of the backbone; further out by the Greek letter of the name
_GREEK = "BGDEZH"
_BONDS = (Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE, Chem.BondType.AROMATIC)
FARTHEST = 8  # bonds between two atoms of a ligand that are told apart
POCKET_NEIGHBOURS = 16

LIGAND_FEATURES = len(_ELEMENTS) + 1 + 4 + len(_HYBRIDS) + 5 + 3
POCKET_FEATURES = len(_ELEMENTS) + 1 + 4 + len(_RESIDUES) + 1 + len(_PLACES) + len(_GREEK)
BOND_KINDS = len(_BONDS) + 1  # 0 is no bond


@dataclass(frozen=True)
class LigandFeatures:
    """atoms [n, LIGAND_FEATURES]; bond [n, n] the kind of bond, 0 for none; apart [n, n] bonds between, at most 8."""

    atoms: Tensor
    bond: Tensor
    apart: Tensor


@dataclass(frozen=True)
class PocketFeatures:
    """atoms [m, POCKET_FEATURES]; neighbour [m, 16] nearest atoms within the pocket; distance [m, 16] in Å."""

    atoms: Tensor
    neighbour: Tensor
    distance: Tensor


def ligand_features(ligand: Ligand) -> LigandFeatures:
    """Of a ligand's graph: nothing depends on its coordinates."""
    rows = []
    for atom in ligand.mol.GetAtoms():
        charge, hydrogens = atom.GetFormalCharge(), min(atom.GetTotalNumHs(), 3)
        row = [*_one_hot(atom.GetSymbol(), _ELEMENTS), atom.GetIsAromatic(), atom.IsInRing(), charge > 0, charge < 0]
        row += [atom.GetHybridization() == hybrid for hybrid in _HYBRIDS]
        row += [atom.GetDegree() == degree for degree in range(1, 5)]
        rows.append([*row, hydrogens / 3])
    atoms = np.concatenate([np.array(rows, np.float32), _contacts(ligand.types)], 1)
    bond = np.zeros((len(ligand), len(ligand)), np.int64)
    for one in ligand.mol.GetBonds():
        i, j = one.GetBeginAtomIdx(), one.GetEndAtomIdx()
        bond[i, j] = bond[j, i] = 1 + (_BONDS.index(one.GetBondType()) if one.GetBondType() in _BONDS else 0)
    apart = np.minimum(Chem.GetDistanceMatrix(ligand.mol), FARTHEST).astype(np.int64)
    return LigandFeatures(torch.as_tensor(atoms), torch.as_tensor(bond), torch.as_tensor(apart))


def pocket_features(pocket: Receptor) -> PocketFeatures:
    """Of the atoms of a pocket, m of them, 2 at least."""
    rows = []
    for element, name, residue in zip(pocket.types.elements, pocket.names, pocket.residues, strict=True):
        kind = residue.partition(":")[2][:3]
        kind = ALIASES.get(kind, kind)
        standard = kind in STANDARD
        row = [*_one_hot(element, _ELEMENTS), *_one_hot(kind, _RESIDUES)]
        row += [standard and name == place for place in _PLACES]
        letter = name[1:2] if standard and name not in _PLACES else ""
        rows.append([*row, *(letter == greek for greek in _GREEK)])
    metal = np.array([[r < 1.3] for r in pocket.types.radius], np.float32)
    atoms = np.concatenate([np.array(rows, np.float32), _contacts(pocket.types), metal], 1)
    points = torch.as_tensor(pocket.positions, dtype=torch.float32)
    k = min(POCKET_NEIGHBOURS, len(pocket) - 1)
    distance, neighbour = torch.cdist(points, points).topk(k + 1, largest=False)
    return PocketFeatures(torch.as_tensor(atoms), neighbour[:, 1:], distance[:, 1:])


def _contacts(types: Types) -> np.ndarray:
    return np.stack([types.hydrophobic, types.donor, types.acceptor], 1).astype(np.float32)


def _one_hot(value: str, known: tuple[str, ...] | list[str]) -> list[bool]:
    return [*(value == one for one in known), value not in known]
