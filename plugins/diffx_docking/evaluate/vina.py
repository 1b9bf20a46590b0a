"""AutoDock Vina on the same receptor atoms, ligand and box (Eberhardt et al. 2021), where it is installed."""

from __future__ import annotations

import csv
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rdkit import Chem

from diffx.errors import DataError, UsageError
from diffx.io.home import expanded

from ..ligand import Ligand
from ..match import numberings, rmsd
from ..pdbqt import receptor_pdbqt
from ..pocket import Box
from ..receptor import Receptor
from ..write import write_table

NAME = "Vina"
_COLUMNS = ("id", "rmsd_top1", "rmsd_top5", "pb_valid", "dock_cpu_s")


@dataclass(frozen=True)
class VinaPoses:
    """What Vina found: RMSD [9] in Å, the best energy first; its first pose and whether that is valid, where known;
    seconds of the processor."""

    rmsd: np.ndarray
    first: Chem.Mol | None
    cpu_seconds: float
    valid: bool | None = None

    def best(self, first: int) -> float:
        """The smallest RMSD among the first so many."""
        return float(self.rmsd[:first].min())


def check_vina() -> None:
    """Raises UsageError where Vina or Meeko cannot be imported."""
    try:
        import meeko  # noqa: F401
        import vina  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"evaluate.vina=true: {error.name} is not installed: pip install 'diffx-suite[docking-bench]'"
        ) from None


def run_vina(
    receptor: Receptor, ligand: Ligand, box: Box, truth: Chem.Mol, exhaustiveness: int, seed: int, cpus: int = 1
) -> VinaPoses:
    """Vina's nine poses from the same fresh conformer, receptor atoms and box.

    Raises:
        DataError: Meeko or Vina refuses the ligand.
    """
    from meeko import MoleculePreparation, PDBQTMolecule, PDBQTWriterLegacy, RDKitMolCreate
    from vina import Vina

    began = time.process_time()
    try:
        setup = MoleculePreparation().prepare(Chem.AddHs(ligand.mol, addCoords=True))[0]
        text, good, why = PDBQTWriterLegacy.write_string(setup)
        if not good:
            raise DataError(f"{ligand.name}: Meeko: {why}")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "receptor.pdbqt"
            near = receptor.select(receptor.near_box(box.low, box.high, 12.0))
            file.write_text(receptor_pdbqt(near))
            vina = Vina(sf_name="vina", cpu=cpus, seed=seed % 2**31 or 1, verbosity=0)
            vina.set_receptor(str(file))
            vina.set_ligand_from_string(text)
            vina.compute_vina_maps(center=box.centre.tolist(), box_size=box.size.tolist())
            vina.dock(exhaustiveness=exhaustiveness, n_poses=9)
            docked = RDKitMolCreate.from_pdbqt_mol(PDBQTMolecule(vina.poses(n_poses=9), skip_typing=True))[0]
    except (RuntimeError, ValueError, TypeError, KeyError, IndexError) as error:
        raise DataError(f"{ligand.name}: Vina: {str(error).splitlines()[0] if str(error) else error!r}") from None
    seconds = time.process_time() - began
    mol = Chem.RemoveAllHs(docked)
    order = mol.GetSubstructMatch(ligand.mol)
    if not order:
        raise DataError(f"{ligand.name}: Vina's pose is another molecule")
    positions = np.stack([c.GetPositions()[list(order)] for c in mol.GetConformers()])
    target = Chem.RemoveAllHs(truth).GetConformer().GetPositions()
    return VinaPoses(rmsd(positions, target, numberings(ligand, truth)), ligand.posed(positions[0]), seconds)


def stored(path: str) -> dict[str, VinaPoses]:
    """Results of an earlier run: a CSV with id, rmsd_top1, rmsd_top5, pb_valid and dock_cpu_s; name -> poses.

    Only the first and the best of five are known, and stand in place of all.
    """
    file = expanded(path)
    if not file.is_file():
        raise DataError(f"evaluate.stored={path}: there is no such file")
    found = {}
    with open(file, newline="", encoding="utf-8-sig") as table:
        for row in csv.DictReader(table):
            if row.get("rmsd_top1"):
                off = np.array([float(row["rmsd_top1"]), float(row["rmsd_top5"]), np.inf, np.inf, np.inf])
                valid = row["pb_valid"] == "1" if row.get("pb_valid") else None
                found[row["id"]] = VinaPoses(off, None, float(row.get("dock_cpu_s") or "nan"), valid)
    return found


def keep(path: Path, found: Mapping[str, VinaPoses]) -> None:
    """Write results by name as :func:`stored` reads them."""
    rows = []
    for name, poses in found.items():
        off = [round(float(r), 3) for r in (poses.rmsd[0], poses.best(5))]
        valid = "" if poses.valid is None else int(poses.valid)
        rows.append(dict(zip(_COLUMNS, [name, *off, valid, round(poses.cpu_seconds, 2)], strict=True)))
    write_table(path, rows, _COLUMNS)
