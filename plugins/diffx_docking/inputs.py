"""What of docking's inputs can be checked in a moment: that files are there, and that options go together."""

from __future__ import annotations

from pathlib import Path

from diffx.errors import DataError, UsageError, did_you_mean
from diffx.io.home import expanded
from diffx.plugins.weights import resolve_weights

from .config import PLUGIN, DockConfig

LIGAND_FILES = (".sdf", ".mol", ".mol2", ".smi", ".smiles", ".csv")
RECEPTOR_FILES = (".pdb", ".ent", ".cif", ".mmcif", ".pdb.gz", ".ent.gz", ".cif.gz", ".mmcif.gz")


def check_inputs(cfg: DockConfig) -> None:
    """The structures, ligands and weights that the task will read are there.

    Raises:
        UsageError: an option that the task needs is missing, or two that exclude each other.
        DataError: a file, a folder or weights that are not there.
    """
    if cfg.n != 1:
        raise UsageError(f"n={cfg.n}: samples= says how many poses of a ligand are written")
    if cfg.task in ("train", "learn", "evaluate"):
        if not cfg.data.root:
            raise UsageError("data.root= says which folder of complexes (NAME/protein.pdb, NAME/ligand.sdf) to read")
        if not expanded(cfg.data.root).is_dir():
            raise DataError(f"data.root={cfg.data.root}: not a folder")
    elif cfg.task == "screen":
        if not (cfg.protein and cfg.ligand and cfg.pocket):
            raise UsageError("task=screen needs protein=, pocket=, and a library: ligand=library.smi, .sdf or .csv")
        _there("ligand", cfg.ligand)
    else:
        _check_ligand(cfg)
    if cfg.protein:
        _there("protein", cfg.protein)
        if not cfg.protein.lower().endswith(RECEPTOR_FILES):
            raise UsageError(f"protein={cfg.protein}: a receptor is a file .pdb, .ent, .cif or .mmcif, gzipped or not")
    if cfg.pocket and Path(cfg.pocket).suffix.lower() in (".sdf", ".mol", ".mol2"):
        _there("pocket", cfg.pocket)
    if cfg.rank == "confidence" and cfg.from_:
        resolve_weights(cfg.from_, PLUGIN)


def table_of(cfg: DockConfig) -> str | None:
    """The table of complexes that is asked for: data.file, or a ligand that is a CSV."""
    return cfg.data.file or (cfg.ligand if cfg.ligand and cfg.ligand.lower().endswith(".csv") else None)


def _check_ligand(cfg: DockConfig) -> None:
    """What ``task=dock`` docks: a table, or a ligand with a protein and a pocket, or nothing of all that."""
    if cfg.data.file and cfg.ligand:
        raise UsageError("data.file= names the ligands of each complex, so ligand= cannot be given with it")
    if table := table_of(cfg):
        _there("data.file" if cfg.data.file else "ligand", table)
        return
    if bool(cfg.protein) != bool(cfg.ligand):
        given, missing = ("protein", "ligand") if cfg.protein else ("ligand", "protein")
        raise UsageError(f"{given}= is given, {missing}= is missing; without both, the example of diffx is docked")
    if cfg.ligand and is_file(cfg.ligand):
        _there("ligand", cfg.ligand)
    if cfg.protein and not cfg.pocket:
        raise UsageError(
            "pocket= says where to dock: x,y,z or x,y,z,size in Å, a file of a reference ligand, residues such as "
            "A:45,A:47, or blind for the whole protein"
        )


def is_file(ligand: str) -> bool:
    """Whether the words for a ligand are a file's name and no SMILES."""
    return ligand.lower().endswith(LIGAND_FILES)


def _there(key: str, name: str) -> None:
    path = expanded(name)
    if not path.is_file():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"{key}={name}: there is no such file{did_you_mean(path.name, beside)}")
