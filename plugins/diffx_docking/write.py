"""Files of docked ligands: one SDF a rank, one with all ranks, and a table."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rdkit import Chem

from diffx.io.files import atomic

from .result import Docking, facts

COLUMNS = (
    "name", "rank", "confidence", "energy_kcal_mol", "valid", "failed_checks", "rmsd_to_reference", "file",
)  # fmt: skip


def write_docking(folder: Path, docking: Docking) -> list[dict[str, str]]:
    """``rank01.sdf`` ... and ``poses.sdf`` of a ligand; the rows of :data:`COLUMNS` for poses.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, molecules = [], []
    for pose in docking.poses:
        mol = docking.molecule(pose)
        path = folder / f"rank{pose.rank:02d}.sdf"
        write_sdf(path, [mol])
        molecules.append(mol)
        rows.append({"name": docking.name, **facts(pose), "file": f"{folder.name}/{path.name}"})
    write_sdf(folder / "poses.sdf", molecules)
    return rows


def write_sdf(path: Path, molecules: Iterable[Chem.Mol]) -> None:
    """Molecules with their properties as one SDF, whole or not at all."""
    with atomic(path) as part, Chem.SDWriter(str(part)) as writer:
        for mol in molecules:
            writer.write(mol)


def write_table(path: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str] = COLUMNS) -> None:
    """Rows of these columns as CSV, whole or not at all; columns that no row fills are left out."""
    rows = list(rows)
    used = [name for name in columns if any(name in row for row in rows)]
    with atomic(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, used)
        writer.writeheader()
        writer.writerows(rows)


def folder_name(name: str) -> str:
    """A name as that of a folder: letters, digits, dot, dash and underscore."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._") or "ligand"
