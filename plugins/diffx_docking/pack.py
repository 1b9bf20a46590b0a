"""Known poses in the sampler's own coordinates, made once and kept: matching costs more than a training step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from rdkit import Chem
from torch import Tensor

from diffx.errors import DataError
from diffx.io import checkpoint

from .known import Known, heavy_positions
from .ligand import Ligand, as_posed, prepare
from .match import match, numberings
from .pocket import Box
from .receptor import Receptor, read_receptor
from .sites import pocket_of

_STARTS, _STEPS, _MOST = 4, 50, 24  # of the match; numberings of equal atoms that are tried


@dataclass(frozen=True)
class Packed:
    """A complex to learn from: a ligand with a fresh conformer, the atoms of its pocket, the box that is told, the pose
    of the conformer that is nearest to the truth, and its RMSD to it in Å.

    The pose is {"translation": [3], "rotation": [3, 3], "torsion": [m]} in the receptor's frame.
    """

    name: str
    ligand: Ligand
    pocket: Receptor
    box: Box
    pose: dict[str, Tensor]
    rmsd: float


def packed(known: Known, seed: int, path: Path) -> Packed:
    """The complex, from the file if that is there, which is otherwise written.

    Raises:
        DataError: a structure or ligand that cannot be read.
    """
    if path.exists():
        tensors, meta = checkpoint.load(path)
        ligand = _with_conformer(known, tensors.pop("conformer"))
        return _assembled(known, ligand, tensors, meta["rmsd"])
    ligand = prepare(known.ligand, known.name, seed)
    orders = numberings(ligand, known.truth, _MOST)
    found, off = match(ligand, heavy_positions(known.truth)[orders], seed, _STARTS, _STEPS)
    pose = {leaf: value[0].float() for leaf, value in found.items()}
    conformer = torch.as_tensor(ligand.positions)
    checkpoint.save(path, {"conformer": conformer, **pose}, {"kind": "packed complex", "name": known.name, "rmsd": off})
    return _assembled(known, ligand, pose, off)


def _assembled(known: Known, ligand: Ligand, pose: dict[str, Tensor], off: float) -> Packed:
    pocket = pocket_of(read_receptor(known.protein), known.box)
    return Packed(known.name, ligand, pocket, known.box, pose, off)


def _with_conformer(known: Known, positions: Tensor) -> Ligand:
    """As :func:`prepare` made it."""
    parts = Chem.GetMolFrags(known.ligand, asMols=True)
    mol = Chem.RemoveAllHs(max(parts, key=lambda part: part.GetNumHeavyAtoms()))
    if mol.GetNumAtoms() != len(positions):
        raise DataError(f"{known.name}: the packed conformer is another molecule's")
    conformer = Chem.Conformer(len(positions))
    conformer.SetPositions(positions.double().numpy())
    mol.RemoveAllConformers()
    mol.AddConformer(conformer)
    return as_posed(Chem.AddHs(mol, addCoords=True), known.name)
