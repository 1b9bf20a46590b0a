"""`task=evaluate`: figures on complexes whose pose is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from diffx.errors import DataError, DiffxError
from diffx.io import checkpoint

from ..evaluate import report
from ..evaluate.figures import Case, figures, strata
from ..evaluate.vina import VinaPoses, check_vina, keep, run_vina, stored
from ..face import Docker, Target
from ..kept import kept, question
from ..known import Known, chosen, read_known, with_rmsd
from ..ligand import Ligand, prepare
from ..receptor import read_receptor
from ..search import Found
from ..validity import failed


def evaluate(run: Any) -> None:
    """Dock every complex of ``data.root`` in the box of its ligand with 4 Å on every side, from a fresh conformer.

    ``metrics.json``: ``top1_2A``, ``top5_2A``, ``oracle_2A``, ``top1_2A_and_valid``, ``valid``, ``median_rmsd``,
    ``seconds_per_complex``, ``cpu_seconds_per_complex`` and ``failures``, each beside ranking by energy and Vina where
    that ran on every complex; ``strata``: by identity to the training set, where manifest.csv says it. A complex that
    cannot be docked counts among the failures, and not among the others. ``resume=true`` goes on after a kill, or ranks
    the same poses with other weights. ``vina.csv`` keeps what Vina reached, for ``evaluate.stored`` of another run:
    Vina is not run again on what it names.
    """
    cfg = run.cfg
    if cfg.evaluate.vina:
        check_vina()
    docker = Docker.load(cfg.from_, cfg.rank, cfg.search, cfg.scores)
    before = stored(cfg.evaluate.stored) if cfg.evaluate.stored else {}
    names = chosen(cfg.data, cfg.seed)
    known: dict[str, Known] = {}
    cases: list[Case] = []
    for name, one in run.progress(_Read(cfg.data.root, names), "docking", unit="complex"):
        try:
            if isinstance(one, DataError):
                raise one
            cases.append(judged(run, docker, one, before.get(name), len(cases) + 1))
            known[name] = one
        except DiffxError as error:
            run.fail(name, error)
    if not cases:
        raise DataError(f"{cfg.data.root}: none of its complexes could be docked")
    for metric, figure in figures(cases).items():
        run.metric(metric, figure)
    run.metric("failures", len(run.failures))
    run.metric("strata", strata(cases))
    ran = {case.docking.name: case.vina for case in cases if case.vina}
    if ran:
        keep(run.folder / "vina.csv", ran)
    if before:
        run.flag(f"Vina's results on {len(before.keys() & ran.keys())} of {len(cases)} complexes are of an earlier run")
    report.write(run, cases, known)


def judged(run: Any, docker: Docker, one: Known, before: VinaPoses | None, number: int) -> Case:
    """A complex, docked: every candidate with its RMSD, the first one's validity, and Vina's poses if asked for."""
    cfg = run.cfg
    target = Target(one.protein, read_receptor(one.protein, cfg.waters), (one.box,))
    ligand = prepare(one.ligand, one.name, cfg.seed)
    found = searched(run, docker, target, ligand)
    docking = with_rmsd(docker.ranked(target, ligand, found, samples=cfg.search.candidates), one.truth)
    docking = docker.check(target, docking, cfg.checks, most=1)
    vina = before or (beside(run, target, ligand, one) if cfg.evaluate.vina else None)
    first = docking.poses[0]
    run.record(
        number, complex=one.name, rmsd=first.rmsd, confidence=first.confidence, valid=first.valid,
        by_energy=Case(docking).rmsd_by_energy[0], best=float(np.min(Case(docking).rmsd)),
        vina=None if vina is None else float(vina.rmsd[0]), cpu=docking.cpu_seconds,
    )  # fmt: skip
    return Case(docking, one.identity, vina)


def beside(run: Any, target: Target, ligand: Ligand, one: Known) -> VinaPoses:
    """Vina's poses, kept in ``checkpoints/`` like those of the search."""
    cfg, path = run.cfg, run.checkpoints / f"vina-{ligand.name}.safetensors"
    asked = {"exhaustiveness": cfg.evaluate.exhaustiveness, "seed": cfg.seed + 1}
    if path.exists():
        tensors, meta = checkpoint.load(path)
        if {name: meta[name] for name in asked} == asked:
            first = ligand.posed(tensors["first"].numpy())
            return VinaPoses(tensors["rmsd"].numpy(), first, meta["cpu_seconds"], meta["valid"])
    vina = run_vina(target.receptor, ligand, one.box, one.truth, **asked)
    if target.busters is not None and vina.first is not None:
        vina = replace(vina, valid=not failed(target.busters([vina.first])[0]))
    if vina.first is not None:
        first = torch.as_tensor(vina.first.GetConformer().GetPositions())
        meta = {"kind": "poses of Vina", "cpu_seconds": vina.cpu_seconds, "valid": vina.valid, **asked}
        checkpoint.save(path, {"first": first, "rmsd": torch.as_tensor(vina.rmsd)}, meta)
    return vina


def searched(run: Any, docker: Docker, target: Target, ligand: Ligand) -> Found:
    """The poses of a search, kept in ``checkpoints/`` so that a resumed run does not search again."""
    asked = question(run.cfg.search, run.cfg.seed, run.cfg.scores)
    path = run.checkpoints / f"{ligand.name}.safetensors"
    return kept(path, asked, lambda: docker.search(target, ligand, run.cfg.seed))


class _Read:
    """Known complexes, read one at a time, of a known number."""

    def __init__(self, root: str, names: list[str]):
        self.root, self.names = root, names

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Any:
        return read_known(self.root, self.names)
