"""Whether a pose is physically possible: PoseBusters' verdicts where it is installed, else a few checks of our own.

The plugin's own checks are called geometry checks, and are no substitute: PoseBusters (Buttenschoen, Morris and Deane
2024) also looks at strain against an ensemble of conformers, flatness, and overlap with cofactors and waters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import gemmi
import numpy as np
from rdkit import Chem

from .ligand import Ligand
from .pocket import Box
from .receptor import Receptor

OWN, POSEBUSTERS = "geometry checks", "PoseBusters"
_CLASH = 0.75  # of the sum of van der Waals radii, PoseBusters' limit between molecules
_INNER = 0.60  # the same within a ligand, over four bonds or more apart
_AROUND = 15.0  # Å from the boxes within which residues are shown to PoseBusters
_SAME = 0.02  # Å by which bond lengths may differ from the conformer's
_TABLE = Chem.GetPeriodicTable()


def posebusters_installed() -> bool:
    """Whether PoseBusters can be imported."""
    return find_spec("posebusters") is not None


def geometry_checks(ligand: Ligand, receptor: Receptor, box: Box, positions: np.ndarray) -> dict[str, bool]:
    """The plugin's own checks of a pose.

    Args:
        ligand: with its conformer.
        receptor: all of it, or what is near the pose.
        box: that was searched.
        positions: of the pose, [n, 3] in Å.
    """
    posed = ligand.posed(positions)
    return {
        "bonds_of_the_conformer": _bonds(ligand, positions) < _SAME,
        "stereo_kept": _stereo(posed) == _stereo(ligand.mol),
        "no_clash_with_receptor": _clash(ligand, receptor, positions) >= _CLASH,
        "no_clash_within_ligand": _inner(ligand, positions) >= _INNER,
        "middle_in_the_box": bool(box.holds(positions.mean(0))),
    }


class Busters:
    """PoseBusters' checks of poses of one receptor; made once for many ligands.

    Args:
        protein: file of the receptor.
        boxes: in which the poses lie. Residues farther than 15 Å from all of them are left out: that changes no
            verdict, and saves most of the time.
    """

    def __init__(self, protein: Path, boxes: Sequence[Box]):
        from posebusters import PoseBusters

        self.protein = _readable(protein, boxes)
        self._plain, self._redock = PoseBusters(config="dock"), PoseBusters(config="redock")

    def __call__(self, poses: Sequence[Chem.Mol], truth: Chem.Mol | None = None) -> list[dict[str, bool]]:
        """The verdicts of each pose: name -> passed. With the true pose also whether it is the same molecule.

        The RMSD to the truth, which is no question of validity, is left out.
        """
        buster = self._redock if truth is not None else self._plain
        table = buster.bust(list(poses), truth, self.protein)
        table = table.drop(columns=[name for name in table.columns if name.startswith("rmsd")])
        return [{str(name): bool(value) for name, value in row.items()} for row in table.to_dict("records")]


def _readable(protein: Path, boxes: Sequence[Box]) -> Chem.Mol:
    """A receptor as RDKit reads it; it knows neither gzip nor mmCIF, so gemmi hands it a PDB."""
    structure = gemmi.read_structure(str(protein))
    structure.remove_waters()
    while len(structure) > 1:
        del structure[1]
    for chain in structure[0]:
        for k in reversed(range(len(chain))):
            atoms = np.array([atom.pos.tolist() for atom in chain[k]]).reshape(-1, 3)
            beyond = [np.maximum(np.abs(atoms - box.centre) - box.size / 2, 0.0) for box in boxes]
            if all((np.linalg.norm(gap, axis=1) > _AROUND).all() for gap in beyond):
                del chain[k]
    structure.remove_empty_chains()
    return Chem.MolFromPDBBlock(structure.make_pdb_string(), sanitize=False, removeHs=False, proximityBonding=False)


def failed(checks: Mapping[str, bool]) -> list[str]:
    """The names of the checks that a pose does not pass."""
    return [name for name, passed in checks.items() if not passed]


def _bonds(ligand: Ligand, positions: np.ndarray) -> float:
    """Largest change of a bond's length or of a distance over one angle, Å."""
    i, j = np.nonzero(np.triu(Chem.GetDistanceMatrix(ligand.mol) <= 2, 1))
    length = [np.linalg.norm(points[i] - points[j], axis=-1) for points in (positions, ligand.positions)]
    return float(np.abs(length[0] - length[1]).max(initial=0.0))


def _stereo(mol: Chem.Mol) -> list[tuple[int, str]]:
    copy = Chem.Mol(mol)
    Chem.AssignStereochemistryFrom3D(copy)
    return Chem.FindMolChiralCenters(copy, includeUnassigned=False, useLegacyImplementation=False)


def _clash(ligand: Ligand, receptor: Receptor, positions: np.ndarray) -> float:
    """Smallest distance between ligand and receptor, in sums of van der Waals radii; metals do not clash."""
    near = receptor.select(receptor.near(positions, 4.5))
    metal = near.types.radius < 1.3
    if not len(near) or metal.all():
        return np.inf
    gaps = np.linalg.norm(positions[:, None] - near.positions[~metal][None], axis=-1)
    return float((gaps / (_radii(ligand.types.elements)[:, None] + _radii(near.types.elements)[~metal][None])).min())


def _inner(ligand: Ligand, positions: np.ndarray) -> float:
    i, j = np.nonzero(np.triu(Chem.GetDistanceMatrix(ligand.mol) > 3, 1))
    radii = _radii(ligand.types.elements)
    gaps = np.linalg.norm(positions[i] - positions[j], axis=-1) / (radii[i] + radii[j])
    return float(gaps.min(initial=np.inf))


def _radii(elements: Sequence[str]) -> np.ndarray:
    return np.array([_TABLE.GetRvdw(element) for element in elements])
