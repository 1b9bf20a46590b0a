"""What docking gives back: ranked poses, and where and how they were found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from rdkit import Chem

from .ligand import Ligand
from .pocket import Box
from .receptor import Receptor


@dataclass(frozen=True)
class Pose:
    """One pose.

    rank: from 1. positions [n, 3] of the heavy atoms in Å. confidence: the probability that it lies within 2 Å of the
    truth, None where poses are ranked by energy. energy: Vina's affinity in kcal/mol. total: the energy that was
    minimised, which includes that within the ligand. checks: verdicts of validity, name -> passed. rmsd: to the
    reference in Å, where there is one.
    """

    rank: int
    positions: np.ndarray
    confidence: float | None
    energy: float
    total: float
    checks: Mapping[str, bool] = field(default_factory=dict)
    rmsd: float | None = None

    @property
    def valid(self) -> bool | None:
        """Whether it passes all checks; None where none was made."""
        return all(self.checks.values()) if self.checks else None


@dataclass(frozen=True, repr=False)
class Docking:
    """A docked ligand: ``poses`` from the most likely one; iterating gives RDKit molecules with conformers.

    searched: how many minimised poses they were chosen from. judge: who made the checks. seconds: of wall time and of
    the processor.
    """

    name: str
    ligand: Ligand
    receptor: Receptor
    box: Box
    poses: tuple[Pose, ...]
    searched: int
    judge: str
    seconds: float
    cpu_seconds: float
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """How it went, and the poses as a table."""
        head = f"Docking of {self.name}: {len(self)} of {self.searched} minimised poses, {self.seconds:.1f} s"
        rows = [facts(pose) for pose in self.poses]
        table = [list(rows[0]), *(list(row.values()) for row in rows)] if rows else []
        wide = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(text.rjust(n) for text, n in zip(row, wide, strict=True)) for row in table]
        return "\n".join([head, *lines])

    def molecule(self, pose: Pose, hydrogens: bool = True) -> Chem.Mol:
        """A pose as a molecule, its facts as properties; hydrogens are put where the bonds say."""
        mol = self.ligand.posed(pose.positions)
        mol = Chem.AddHs(mol, addCoords=True) if hydrogens else mol
        mol.SetProp("_Name", self.name)
        for name, value in facts(pose).items():
            mol.SetProp(name, value)
        if pose.checks:
            mol.SetProp("checked_by", self.judge)
        return mol

    def __iter__(self) -> Iterator[Chem.Mol]:
        return (self.molecule(pose) for pose in self.poses)

    def __len__(self) -> int:
        return len(self.poses)


def facts(pose: Pose) -> dict[str, str]:
    """What is said of a pose in files: name -> text, what is not known left out."""
    known = {"rank": str(pose.rank)}
    if pose.confidence is not None:
        known["confidence"] = f"{pose.confidence:.3f}"
    known["energy_kcal_mol"] = f"{pose.energy:.2f}"
    if pose.valid is not None:
        known["valid"] = str(pose.valid).lower()
        known["failed_checks"] = " ".join(name for name, passed in pose.checks.items() if not passed) or "none"
    if pose.rmsd is not None:
        known["rmsd_to_reference"] = f"{pose.rmsd:.2f}"
    return known
