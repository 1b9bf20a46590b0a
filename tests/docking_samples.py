"""What the tests of docking share: a small receptor, ligands in front of it, PDB lines, poses drawn by chance."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

pytest.importorskip("rdkit")
pytest.importorskip("gemmi")

from rdkit import Chem

from diffx.noise import Noise
from diffx.process.rotation import from_quaternion
from diffx_docking.ligand import Ligand, as_posed, from_smiles, prepare, read_ligands
from diffx_docking.receptor import Receptor, read_receptor

DATA = Path(__file__).parent / "docking_data"
DRUG = "CC(C)Oc1ccc(cc1)C(=O)NC[C@H](O)CN1CCC[C@@H]1c1ccncc1"  # two stereocentres, an amide, two kinds of ring


def peptide() -> Receptor:
    return read_receptor(DATA / "peptide.pdb")


def molecule(name: str) -> Chem.Mol:
    mol = read_ligands(DATA / f"{name}.sdf")[0][1]
    assert isinstance(mol, Chem.Mol)
    return mol


def posed(name: str) -> Ligand:
    return as_posed(molecule(name), name)


def drug(smiles: str = DRUG, seed: int = 0) -> Ligand:
    return prepare(from_smiles(smiles), "drug", seed)


def poses(ligand: Ligand, count: int, spread: float = 3.0, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Anywhere, turned anyhow, twisted anyhow."""
    noise = Noise(range(count))
    return {
        "translation": spread * noise["a"].normal(3).to(dtype),
        "rotation": from_quaternion(noise["b"].normal(4).to(dtype)),
        "torsion": math.pi * (2 * noise["c"].uniform(len(ligand.torsions)).to(dtype) - 1),
    }


def atom(
    serial: int, name: str, residue: str, chain: str, number: int, xyz: tuple[float, float, float], element: str,
    altloc: str = " ", occupancy: float = 1.0, record: str = "ATOM",
) -> str:  # fmt: skip
    """A line of a PDB file."""
    padded = name if len(name) == 4 or len(element) == 2 else f" {name}"
    x, y, z = xyz
    return (
        f"{record:<6s}{serial:5d} {padded:<4s}{altloc}{residue:>3s} {chain}{number:4d}    {x:8.3f}{y:8.3f}{z:8.3f}"
        f"{occupancy:6.2f}{10.0:6.2f}          {element:>2s}\n"
    )
