"""Hydrogen bonds between a pose and its pocket, by distance and by the angle at the ligand's and the pocket's atom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .ligand import Ligand
from .receptor import Receptor

LONGEST = 3.5  # Å between the heavy atoms
_SHARPEST = 80.0  # degrees between the bond and the nearest covalent one, at either end
_COVALENT = 1.9  # Å


@dataclass(frozen=True)
class HydrogenBond:
    """Between a ligand's atom (its number) and a receptor's (its number): both ends [3] and the length in Å."""

    ligand: int
    receptor: int
    start: np.ndarray
    end: np.ndarray
    length: float


def hydrogen_bonds(ligand: Ligand, positions: np.ndarray, receptor: Receptor) -> list[HydrogenBond]:
    """Those of a pose [n, 3]: one atom gives and the other takes, at most 3.5 Å apart; the shortest first.

    Hydrogens are not in the structure, so the angle is looked at from the heavy atoms: the partner lies on the open
    side of either atom. Metals count as partners of acceptors.
    """
    ours, theirs = ligand.types, receptor.types
    able = (ours.donor[:, None] & theirs.acceptor[None]) | (ours.acceptor[:, None] & theirs.donor[None])
    gaps = np.linalg.norm(positions[:, None] - receptor.positions[None], axis=-1)
    found = []
    for i, j in np.argwhere(able & (gaps <= LONGEST)):
        start, end = positions[i], receptor.positions[j]
        around = [positions[k.GetIdx()] for k in ligand.mol.GetAtomWithIdx(int(i)).GetNeighbors()]
        near = np.linalg.norm(receptor.positions - end, axis=1)
        bonded = receptor.positions[(near > 0.1) & (near < _COVALENT)]
        if _open(start, end, around) and _open(end, start, list(bonded)):
            found.append(HydrogenBond(int(i), int(j), start, end, float(gaps[i, j])))
    return sorted(found, key=lambda bond: bond.length)


def _open(here: np.ndarray, there: np.ndarray, bonded: list[np.ndarray]) -> bool:
    """Whether `there` lies on the side of `here` that its covalent neighbours leave free."""
    to = there - here
    for other in bonded:
        along = other - here
        cosine = to @ along / max(np.linalg.norm(to) * np.linalg.norm(along), 1e-9)
        if np.degrees(np.arccos(np.clip(cosine, -1, 1))) < _SHARPEST:
            return False
    return True
