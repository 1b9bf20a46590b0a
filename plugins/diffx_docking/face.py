"""Docking for a notebook or a script; the command line calls the same methods.

from diffx_docking import Docker
docking = Docker.load().dock("protein.pdb", "CC(=O)Nc1ccc(O)cc1", pocket="12.1,4.0,-7.5")
docking.poses[0].confidence, list(docking)   # RDKit molecules with conformers
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from rdkit import Chem

from diffx.errors import DataError, UsageError
from diffx.io.home import expanded
from diffx.noise import derive
from diffx.plugins.weights import resolve_weights

from .candidates import poses_in
from .cavities import cavities
from .confidence import Confidence, described
from .config import PLUGIN, WEIGHTS, SearchConfig
from .diffusion import load_scores, scores_file
from .inputs import is_file
from .ligand import Ligand, from_smiles, prepare, read_ligands
from .maps import Known
from .match import symmetries
from .opinions import Site
from .pocket import Box, pocket_box
from .receptor import Receptor, read_receptor
from .result import Docking, Pose
from .score import ScoreNetwork
from .search import Found
from .validity import OWN, POSEBUSTERS, Busters, geometry_checks, posebusters_installed
from .vina import Vina

APART = 1.0  # Å of RMSD between two poses that are written
BLIND = 25.0  # Å: edge of the boxes of a blind search
AROUND = 12.0  # Å around poses within which the receptor's atoms are kept with them
_FEWEST = 64  # starts in each box of a blind search


@dataclass
class Target:
    """A receptor and the boxes in it to search; made once for many ligands.

    ``known`` keeps the energy maps of each box, so that a screen computes each map once.
    """

    path: Path
    receptor: Receptor
    boxes: tuple[Box, ...]
    known: list[Known] = field(default_factory=list)
    busters: Busters | None = None

    def __post_init__(self) -> None:
        self.known = self.known or [{} for _ in self.boxes]


class Docker:
    """Searches for poses and ranks them; made by :meth:`load`.

    Args:
        confidence: what ranks poses; None: their energy.
        options: of the search; None: the defaults, from the energy alone where there is no network.
        network: of scores, which guides the reverse diffusion and gives its opinion of poses; None: energy alone.
    """

    def __init__(
        self,
        confidence: Confidence | None = None,
        options: SearchConfig | None = None,
        network: ScoreNetwork | None = None,
    ):
        options = options or SearchConfig(guidance="energy" if network is None else "both")
        self.confidence, self.options, self.network = confidence, options, network

    @classmethod
    def load(
        cls,
        source: str | Path | None = None,
        rank: str = "confidence",
        options: SearchConfig | None = None,
        scores: str | Path | None = None,
    ) -> Docker:
        """Shipped weights, or those of an id, a file or a run folder.

        Args:
            source: of the weights; None: those that are shipped.
            rank: "confidence", or "energy", which needs no weights.
            options: of the search.
            scores: weights of the network of scores, where the search or the ranking asks it; None: those shipped.

        Raises:
            UsageError: another word for ``rank``.
            DataError: missing, damaged or foreign weights.
        """
        if rank not in ("confidence", "energy"):
            raise UsageError(f"rank={rank}: poses are ranked by confidence or by energy")
        options = options or SearchConfig()
        found = Confidence.load(resolve_weights(str(source or WEIGHTS), PLUGIN)) if rank == "confidence" else None
        needed = options.guidance != "energy" or (found is not None and found.asks_network)
        network = load_scores(scores_file(scores)) if needed else None
        return cls(found, options, network)

    def target(self, protein: str | Path, pocket: str | Path, waters: bool = False) -> Target:
        """A receptor with the pocket that is meant, ready for ligands.

        Args:
            protein: PDB or mmCIF file.
            pocket: "x,y,z" or "x,y,z,size" in Å, a reference ligand's file, residues, or "blind".
            waters: keep those of the structure.

        Raises:
            DataError: no such structure, a pocket outside it.
            UsageError: words for a pocket that mean none.
        """
        path = expanded(protein)
        receptor = read_receptor(path, waters)
        if str(pocket).strip() == "blind":
            boxes = tuple(Box(c, np.full(3, BLIND)) for c in cavities(receptor))
        else:
            boxes = (pocket_box(pocket, receptor),)
        return Target(path, receptor, boxes)

    def dock(
        self,
        protein: str | Path | Target,
        ligand: str | Path | Chem.Mol,
        pocket: str | Path = "",
        samples: int = 10,
        seed: int = 0,
        checks: str = "auto",
        name: str = "",
    ) -> Docking:
        """The poses of one ligand in one pocket.

        Args:
            protein: PDB or mmCIF file, or a target.
            ligand: SMILES, a file (its first entry), or an RDKit molecule. Its coordinates are not looked at.
            pocket: see :meth:`target`.
            samples: poses to return, at most.
            seed: the same seed gives the same poses.
            checks: "auto", "posebusters", "own" or "none".
            name: of the ligand.

        Raises:
            DataError: one line that says what is wrong with the structure or the ligand.
        """
        target = protein if isinstance(protein, Target) else self.target(protein, pocket or "")
        mol, title = _molecule(ligand)
        began = _clock()
        prepared = prepare(mol, name or title, seed)
        docking = self.ranked(target, prepared, self.search(target, prepared, seed), samples)
        docking = self.check(target, docking, checks)
        wall, cpu = _since(began)
        return replace(docking, seconds=wall, cpu_seconds=cpu)

    def search(self, target: Target, ligand: Ligand, seed: int = 0) -> Found:
        """All minimised poses of a ligand in the boxes of a target.

        Raises:
            DataError: their energy is not finite.
        """
        began, parts, options, boxes = _clock(), [], self.options, len(target.boxes)
        share = replace(
            options, starts=max(options.starts // boxes, _FEWEST), draws=max(options.draws // boxes, _FEWEST // boxes)
        )
        for k, (box, known) in enumerate(zip(target.boxes, target.known, strict=True)):
            own = derive(seed, "box", k)
            parts.append(poses_in(box, target.receptor, ligand, share, self.network, own, known))
        energies, positions = torch.cat([p.energies for p in parts]), torch.cat([p.positions for p in parts])
        if not bool(energies.isfinite().all()):
            raise DataError(f"{ligand.name}: the energy of its poses is not finite")
        box_of = torch.arange(len(parts)).repeat_interleave(torch.tensor([len(p.energies) for p in parts]))
        drawn = [p.drawn for p in parts if p.drawn is not None]
        return Found(positions, energies, box_of, _since(began), torch.cat(drawn) if drawn else None)

    def ranked(self, target: Target, ligand: Ligand, found: Found, samples: int = 10) -> Docking:
        """The most likely of the distinct poses that a search found, at most so many."""
        began = _clock()
        chosen = found.distinct(self.options.candidates, APART, symmetries(ligand))
        positions, energies = found.positions[chosen], found.energies[chosen]
        order = list(range(len(chosen)))
        said: list[float | None] = [None] * len(chosen)
        if self.confidence is not None:
            site = self._site(target, found, chosen)
            logits = self.confidence.logits(described(ligand, target.receptor, positions, energies, found, site))
            order = logits.argsort(descending=True, stable=True).tolist()
            said = self.confidence.calibration(logits).tolist()
        near = target.receptor.select(_around(target.receptor, positions))
        affinity = Vina(near, ligand).affinity(positions).tolist()
        poses = tuple(
            Pose(rank, positions[i].double().numpy(), said[i], affinity[i], float(energies[i]))
            for rank, i in enumerate(order[:samples], start=1)
        )
        box = target.boxes[0 if found.box is None else int(found.box[chosen[order[0]]])]
        notes = target.receptor.notes + ligand.notes
        wall, cpu = (a + b for a, b in zip(found.spent, _since(began), strict=True))
        return Docking(ligand.name, ligand, near, box, poses, len(found.energies), "", wall, cpu, notes)

    def _site(self, target: Target, found: Found, chosen: list[int]) -> Site | None:
        """What the network of scores needs to give its opinion of poses; None where it is not asked."""
        if self.network is None or self.confidence is None or not self.confidence.asks_network:
            return None
        box_of = torch.zeros(len(chosen), dtype=torch.long) if found.box is None else found.box[chosen]
        return Site(self.network, target.boxes, box_of)

    def check(self, target: Target, docking: Docking, checks: str, most: int | None = None) -> Docking:
        """The docking with the validity of its first poses.

        Args:
            target: that was docked to.
            docking: whose poses are checked.
            checks: "auto", "posebusters", "own" or "none".
            most: how many poses; None is all.

        Raises:
            UsageError: PoseBusters is asked for and not installed.
        """
        if checks == "none":
            return docking
        if checks == "posebusters" and not posebusters_installed():
            raise UsageError("checks=posebusters: it is not installed: pip install 'diffx-suite[docking-bench]'")
        first = docking.poses[:most]
        if checks == "own" or not posebusters_installed():
            ligand, near, box, judge = docking.ligand, docking.receptor, docking.box, OWN
            verdicts = [geometry_checks(ligand, near, box, pose.positions) for pose in first]
        else:
            target.busters, judge = target.busters or Busters(target.path, target.boxes), POSEBUSTERS
            verdicts = target.busters([docking.molecule(pose, hydrogens=False) for pose in first])
        checked = tuple(replace(pose, checks=found) for pose, found in zip(first, verdicts, strict=True))
        return replace(docking, poses=checked + docking.poses[len(first) :], judge=judge)


def _molecule(ligand: str | Path | Chem.Mol) -> tuple[Chem.Mol, str]:
    if isinstance(ligand, Chem.Mol):
        return ligand, ligand.GetProp("_Name") if ligand.HasProp("_Name") else "ligand"
    if isinstance(ligand, Path) or is_file(ligand):
        name, mol = read_ligands(expanded(ligand))[0]
        if isinstance(mol, DataError):
            raise mol
        return mol, name
    return from_smiles(ligand), "ligand"


def _clock() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(began: tuple[float, float]) -> tuple[float, float]:
    """Seconds of wall time and of the processor."""
    wall, cpu = _clock()
    return wall - began[0], cpu - began[1]


def _around(receptor: Receptor, positions: torch.Tensor) -> np.ndarray:
    flat = positions.flatten(0, 1)
    return receptor.near_box(flat.amin(0).numpy(), flat.amax(0).numpy(), AROUND)
