"""Atom types of AutoDock Vina: of ligands by bonds, of receptors by residue names.

Vina scores heavy atoms by radius and by what they are to hydrophobic contacts and hydrogen bonds (Trott and Olson 2010,
supporting information; the types are X-Score's, Wang, Lai and Wang 2002). Hydrogens themselves carry no score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rdkit import Chem

# Radii in Å, as Vina 1.2 has them.
_RADII = {
    "C": 1.9, "N": 1.8, "O": 1.7, "S": 2.0, "P": 2.1, "F": 1.5, "Cl": 1.8, "Br": 2.0, "I": 2.2, "Si": 2.2, "At": 2.3,
    "B": 1.9, "Se": 2.0, "As": 2.1,  # unknown to Vina: as their neighbours C, S and P
}  # fmt: skip
_METAL = 1.2
_HALOGENS = ("F", "Cl", "Br", "I")

# Nitrogen that cannot accept, by AutoDock's rules: charged (ammonium, pyridinium), in or at an aromatic ring with three
# neighbours (pyrrole, aniline), in an amide, in a triazene.
_NO_ACCEPTOR = [Chem.MolFromSmarts(s) for s in ("[#7+1]", "[#7X3v3][a]", "[#7X3v3][#6X3v4]", "[#7X3v3][NX2]=[*]")]


@dataclass(frozen=True)
class Types:
    """What Vina knows of n heavy atoms: elements, radii [n] in Å, and masks [n] hydrophobic, donor, acceptor."""

    elements: tuple[str, ...]
    radius: np.ndarray
    hydrophobic: np.ndarray
    donor: np.ndarray
    acceptor: np.ndarray

    def __len__(self) -> int:
        return len(self.elements)

    def select(self, chosen: np.ndarray) -> Types:
        """Those at the indices, or where the mask is true."""
        kept = np.arange(len(self))[chosen]
        arrays = (self.radius, self.hydrophobic, self.donor, self.acceptor)
        return Types(tuple(self.elements[i] for i in kept), *(a[kept] for a in arrays))

    def key(self, i: int) -> tuple[float, ...]:
        """What decides how atom i scores: radius, hydrophobic, donor, acceptor."""
        return tuple(float(of[i]) for of in (self.radius, self.hydrophobic, self.donor, self.acceptor))

    @property
    def kinds(self) -> np.ndarray:
        """A whole number [n] for each distinct (radius, hydrophobic, donor, acceptor): equal atoms score alike."""
        rows = np.stack([self.radius * 100, self.hydrophobic, self.donor, self.acceptor], 1).round().astype(int)
        return np.unique(rows, axis=0, return_inverse=True)[1].ravel()


def metal(element: str) -> bool:
    """Whether an element is a metal, to Vina: whatever has no radius of its own. It gives to hydrogen bonds."""
    return element not in _RADII and element not in ("H", "D")


def typed(elements: Sequence[str], hetero: Sequence[bool], donor: Sequence[bool], acceptor: Sequence[bool]) -> Types:
    """Types from elements, whether a carbon is bonded to a hetero atom, and what N and O may do."""
    radius, hydrophobic, gives = [], [], []
    for element, polar, has_hydrogen in zip(elements, hetero, donor, strict=True):
        radius.append(_RADII.get(element, _METAL))
        hydrophobic.append(element in _HALOGENS or (element == "C" and not polar))
        gives.append(metal(element) or (has_hydrogen and element in ("N", "O")))
    takes = [a and e in ("N", "O") for a, e in zip(acceptor, elements, strict=True)]
    return Types(tuple(elements), np.array(radius), np.array(hydrophobic), np.array(gives), np.array(takes))


def ligand_types(mol: Chem.Mol) -> Types:
    """Types of the heavy atoms of a molecule, in their order. Hydrogens may be explicit or implicit."""
    heavy = [a for a in mol.GetAtoms() if a.GetAtomicNum() > 1]
    refuses = {match[0] for rule in _NO_ACCEPTOR for match in mol.GetSubstructMatches(rule, maxMatches=10_000)}
    return typed(
        [a.GetSymbol() for a in heavy],
        [a.GetSymbol() == "C" and any(n.GetAtomicNum() not in (1, 6) for n in a.GetNeighbors()) for a in heavy],
        [a.GetTotalNumHs(includeNeighbors=True) > 0 for a in heavy],
        [a.GetSymbol() == "O" or (a.GetSymbol() == "N" and a.GetIdx() not in refuses) for a in heavy],
    )
