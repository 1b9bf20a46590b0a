"""`task=screen`: a library of ligands against one pocket, one after the other, resumable."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from rdkit import Chem

from diffx.errors import DataError, DiffxError
from diffx.io.files import append_line, read_lines

from .. import report
from ..config import WEIGHTS
from ..face import Docker
from ..requests import Library
from ..result import Docking
from ..write import write_sdf, write_table

HITS = "hits.csv"
JOURNAL = "screened.jsonl"  # one line a ligand, in checkpoints/: what resume=true goes by
_COLUMNS = (
    "rank",
    "name",
    "energy_kcal_mol",
    "energy_per_atom",
    "confidence",
    "valid",
    "heavy_atoms",
    "smiles",
    "file",
)
_SHOWN = 6


def screen(run: Any) -> None:
    """Dock every ligand of ``ligand`` into ``pocket`` of ``protein``; the best pose of each is kept.

    ``samples/hits.csv`` lists them by energy, the lowest first, and ``samples/poses/`` has each one's best pose. The
    library is read one molecule at a time. After a kill ``resume=true`` goes on with the next ligand.
    """
    cfg = run.cfg
    docker = Docker.load(cfg.from_, cfg.rank, cfg.search, cfg.scores)
    target = docker.target(cfg.protein, cfg.pocket, cfg.waters)
    journal = run.checkpoints / JOURNAL
    done = {entry["number"]: entry for entry in read_lines(journal)} if cfg.resume else {}
    if done:
        run.log(f"{len(done)} ligands were docked before, the rest follows")
    poses = run.samples / "poses"
    poses.mkdir(exist_ok=True)
    run.begin()
    best: list[Docking] = []
    began, docked = time.perf_counter(), 0
    for number, (name, mol) in enumerate(run.progress(Library(cfg.ligand), "screening", unit="ligand"), start=1):
        if number in done:
            if reason := done[number].get("failed"):
                run.fail(name, reason)
            continue
        entry: dict[str, Any] = {"number": number, "name": name}
        try:
            if isinstance(mol, DataError):
                raise mol
            found = docker.dock(target, mol, samples=1, seed=cfg.seed, checks=cfg.checks, name=name)
            path = poses / f"{number:06d}.sdf"
            write_sdf(path, [found.molecule(found.poses[0])])
            entry |= _facts(found, path)
            best = sorted([*best, found], key=lambda d: d.poses[0].energy)[:_SHOWN]
            docked += 1
        except DiffxError as error:
            run.fail(name, error)
            entry["failed"] = " ".join(str(error).split())
        append_line(journal, json.dumps(entry))
        done[number] = entry
    hits = sorted((e for e in done.values() if "failed" not in e), key=lambda e: (e["energy_kcal_mol"], e["number"]))
    if not hits:
        raise DataError(f"{cfg.ligand}: no ligand of it could be docked")
    rows = [{"rank": rank, **{k: e[k] for k in _COLUMNS if k in e}} for rank, e in enumerate(hits, start=1)]
    write_table(run.samples / HITS, rows, _COLUMNS)
    seconds = time.perf_counter() - began
    run.metric("docked", len(hits))
    run.metric("failed", len(done) - len(hits))
    if docked:
        run.metric("seconds_per_ligand", seconds / docked)
    weights = None if docker.confidence is None else {"name": cfg.from_ or WEIGHTS, **docker.confidence.meta}
    report.screened(run, rows, best, len(done) - len(hits), weights)


def _facts(found: Docking, path: Path) -> dict[str, Any]:
    pose, atoms = found.poses[0], len(found.ligand)
    known: dict[str, Any] = {
        "energy_kcal_mol": round(pose.energy, 3),
        "energy_per_atom": round(pose.energy / atoms, 3),
        "heavy_atoms": atoms,
        "smiles": Chem.MolToSmiles(found.ligand.mol),
        "file": f"{path.parent.name}/{path.name}",
    }
    if pose.confidence is not None:
        known["confidence"] = round(pose.confidence, 3)
    if pose.valid is not None:
        known["valid"] = pose.valid
    return known
