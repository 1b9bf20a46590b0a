"""Complexes whose pose is known: a folder of them, the box of each, and how far poses lie from the truth."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rdkit import Chem

from diffx.errors import DataError
from diffx.io.home import expanded
from diffx.noise import derive

from .config import DockData
from .ligand import from_smiles, read_ligands
from .match import numberings, rmsd
from .pocket import MARGIN, Box
from .result import Docking

_RECEPTORS = ("protein.pdb", "protein.pdb.gz", "protein.cif", "protein.cif.gz", "pocket.pdb", "pocket.pdb.gz")
_IDENTITY = ("identity_to_train", "maxid_to_train")  # columns of a manifest


@dataclass(frozen=True)
class Known:
    """A complex: ``ligand`` without coordinates of the pose, ``truth`` with them, identity to the training set in %."""

    name: str
    protein: Path
    ligand: Chem.Mol
    truth: Chem.Mol
    identity: float | None

    @property
    def box(self) -> Box:
        """The box of the true pose with 4 Å on every side: the pocket that docking is told."""
        return Box.around(heavy_positions(self.truth), MARGIN)


def known_complexes(root: str | Path) -> list[str]:
    """The names of the complexes in a folder, NAME/protein.pdb[.gz] and NAME/ligand.sdf. DataError where none is."""
    folder = expanded(root)
    listed = list(_manifest(folder))
    found = listed or sorted(path.parent.name for path in folder.glob("*/ligand.sdf"))
    if not found:
        raise DataError(f"{root}: no complex in it (NAME/protein.pdb[.gz] and NAME/ligand.sdf)")
    return found


def chosen(data: DockData, seed: int) -> list[str]:
    """The complexes of ``data.root`` that are asked for: all, the first, or some drawn by seed."""
    names = known_complexes(data.root or "")[: data.first or None]
    if data.pick and data.pick < len(names):
        drawn = sorted(names, key=lambda name: derive(seed, "pick", name))[: data.pick]
        names = [name for name in names if name in drawn]
    return names


def read_known(root: str | Path, names: list[str]) -> Iterator[tuple[str, Known | DataError]]:
    """Each complex, or why it cannot be read. A SMILES of manifest.csv decides the ligand where there is one."""
    folder = expanded(root)
    rows = _manifest(folder)
    for name in names:
        try:
            yield name, _read(folder / rows.get(name, {}).get("folder", name), name, rows.get(name, {}))
        except DataError as error:
            yield name, error


def with_rmsd(docking: Docking, truth: Chem.Mol) -> Docking:
    """The poses with their symmetry-corrected RMSD to the truth. DataError where that is another molecule."""
    orders, target = numberings(docking.ligand, truth), heavy_positions(truth)
    off = rmsd(np.stack([pose.positions for pose in docking.poses]), target, orders)
    poses = tuple(replace(pose, rmsd=float(gap)) for pose, gap in zip(docking.poses, off, strict=True))
    return replace(docking, poses=poses)


def heavy_positions(mol: Chem.Mol) -> np.ndarray:
    """Positions [n, 3] of a molecule's heavy atoms."""
    return Chem.RemoveAllHs(mol).GetConformer().GetPositions()


def _manifest(folder: Path) -> dict[str, dict[str, str]]:
    file = folder / "manifest.csv"
    if not file.is_file():
        return {}
    with open(file, newline="", encoding="utf-8-sig") as table:
        return {row["id"]: row for row in csv.DictReader(table) if row.get("id")}


def _read(folder: Path, name: str, row: Mapping[str, str]) -> Known:
    protein = next((folder / file for file in _RECEPTORS if (folder / file).is_file()), None)
    if protein is None:
        raise DataError(f"{folder}: no {_RECEPTORS[0]}")
    truth = read_ligands(folder / "ligand.sdf")[0][1]
    if isinstance(truth, DataError):
        raise truth
    smiles = row.get("smiles") or Chem.MolToSmiles(Chem.RemoveHs(truth))
    identity = next((float(row[key]) for key in _IDENTITY if row.get(key)), None)
    return Known(name, protein, from_smiles(smiles, name), truth, identity)
