"""`task=dock`: ranked poses of one ligand, or of a table of complexes, in files and on a page."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from diffx.errors import DataError, DiffxError
from diffx.io.home import expanded

from .. import report
from ..config import WEIGHTS
from ..face import Docker, Target
from ..inputs import is_file, table_of
from ..known import with_rmsd
from ..ligand import read_ligands
from ..requests import Request, requests
from ..result import Docking
from ..write import folder_name, write_docking, write_table

_SHOWN = 8  # ligands in the report's viewer


def dock(run: Any) -> None:
    """Dock what is asked for into ``samples/NAME/rank01.sdf`` ..., ``NAME/poses.sdf`` and ``samples/poses.csv``.

    A complex that cannot be docked is listed as failed, and the others are done.
    """
    cfg = run.cfg
    docker = Docker.load(cfg.from_, cfg.rank, cfg.search, cfg.scores)
    asked = requests(cfg)
    if not cfg.protein and not table_of(cfg):
        run.flag("no protein was given: this is the complex that comes with diffx, PDB entry 1IA1")
    targets: dict[tuple[str, str], Target] = {}
    names: dict[str, int] = {}
    rows: list[dict[str, str]] = []
    shown: list[Docking] = []
    seconds: list[float] = []
    began = time.perf_counter()
    for request in run.progress(asked, "docking", unit="ligand"):
        try:
            docking = _docked(docker, request, targets, cfg)
        except DiffxError as error:
            run.fail(request.name, error)
            continue
        rows += write_docking(run.samples / _unique(folder_name(request.name), names), docking)
        write_table(run.samples / "poses.csv", rows)
        seconds.append(docking.seconds)
        for note in docking.notes:
            run.flag(f"{request.name}: {note}")
        judge(run, docking)
        if len(shown) < _SHOWN:
            shown.append(docking)
    if not shown:
        raise DataError("nothing could be docked")
    run.metric("docked", len(seconds))
    run.metric("seconds_per_ligand", float(np.mean(seconds)))
    best = shown[0].poses[0]
    run.metric("confidence", best.confidence)
    run.metric("energy_kcal_mol", best.energy)
    weights = None if docker.confidence is None else {"name": cfg.from_ or WEIGHTS, **docker.confidence.meta}
    report.docked(run, shown, rows, len(seconds), time.perf_counter() - began, weights)


def judge(run: Any, docking: Docking) -> None:
    """What the user must know before believing the poses of a ligand."""
    best = docking.poses[0]
    if best.valid is False:
        run.flag(f"{docking.name}: the first pose fails {', '.join(n for n, ok in best.checks.items() if not ok)}")
    if best.energy > 0:
        run.flag(f"{docking.name}: no pose has a favourable energy: the pocket may be too small for it")


def _docked(docker: Docker, request: Request, targets: dict[tuple[str, str], Target], cfg: Any) -> Docking:
    if isinstance(request.ligand, DataError):
        raise request.ligand
    key = (str(request.protein), request.pocket)
    if key not in targets:
        targets.clear()  # tables are sorted by receptor more often than not
        targets[key] = docker.target(request.protein, request.pocket, cfg.waters)
    docking = docker.dock(
        targets[key], request.ligand, samples=cfg.samples, seed=cfg.seed, checks=cfg.checks, name=request.name
    )
    return _redocked(docking, request.pocket)


def _redocked(docking: Docking, pocket: str) -> Docking:
    """With the RMSD to the reference ligand of the pocket, where that is the molecule that was docked."""
    if not is_file(pocket):
        return docking
    reference = read_ligands(expanded(pocket))[0][1]
    try:
        return docking if isinstance(reference, DataError) else with_rmsd(docking, reference)
    except DataError:  # another molecule
        return docking


def _unique(name: str, seen: dict[str, int]) -> str:
    """A folder's name that no other ligand has."""
    seen[name] = seen.get(name, 0) + 1
    return name if seen[name] == 1 else f"{name}-{seen[name]}"
