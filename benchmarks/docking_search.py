"""Docking without a network: energy guidance and basin hopping, each followed by minimisation, on known complexes.

    python benchmarks/docking_search.py DATA/docking/eval_astex --count 6 --poses 64 --steps 40

A folder holds manifest.csv (id, smiles) and, for each id, protein.pdb.gz and ligand.sdf. The box is the reference
ligand's with 4 Å on every side; the conformer is a fresh one, from the SMILES. One line a complex, then the shares.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rdkit import Chem

from diffx.errors import DataError
from diffx.noise import Noise
from diffx.plan import JointPlan, geodesic_random_walk
from diffx.sampling import sample
from diffx_docking.guidance import LIMIT, energy_guidance
from diffx_docking.ligand import Ligand, from_smiles, prepare, read_ligands
from diffx_docking.match import numberings, rmsd
from diffx_docking.pocket import Box
from diffx_docking.pose import Body
from diffx_docking.process import pose_process, pose_shape, shifted
from diffx_docking.receptor import read_receptor
from diffx_docking.relax import Energy, Pose, minimise
from diffx_docking.search import basin_hopping, distinct, pose_energy, scattered

POLISH = 30  # steps of the last minimisation
SUCCESS = 2.0  # Å


@dataclass(frozen=True)
class Task:
    """A ligand, the box to dock it to, and the energy of its poses."""

    ligand: Ligand
    box: Box
    energy: Energy
    options: argparse.Namespace


def guided(task: Task) -> tuple[Pose, torch.Tensor]:
    """The core's sampler on scores from the energy."""
    process, centre = pose_process(), torch.as_tensor(task.box.centre, dtype=torch.float32)
    times = tuple(1 - np.arange(task.options.steps + 1) / task.options.steps)
    walks = {name: geodesic_random_walk(leaf.schedule, times) for name, leaf in process.leaves.items()}
    predict = energy_guidance(
        lambda pose: task.energy(shifted(pose, centre)), process, kt=task.options.kt, limit=task.options.limit
    )
    shape = pose_shape(Body(task.ligand))
    pose = sample(predict, process, JointPlan(walks), shape, range(task.options.poses))
    return minimise(task.energy, shifted(pose, centre), POLISH)


def minimised(task: Task) -> tuple[Pose, torch.Tensor]:
    """Poses put anywhere, minimised for as many steps as guidance has in all: what guidance must improve on."""
    start = scattered(task.box, len(task.ligand.torsions), Noise(range(task.options.poses)))
    return minimise(task.energy, start, task.options.steps + POLISH)


def hopping(task: Task) -> tuple[Pose, torch.Tensor]:
    """Basin hopping, minimised at the end."""
    noise = Noise(range(task.options.poses))
    start = scattered(task.box, len(task.ligand.torsions), noise)
    pose, _ = basin_hopping(task.energy, start, noise, task.options.rounds)
    return minimise(task.energy, pose, POLISH)


WAYS: dict[str, Callable[[Task], tuple[Pose, torch.Tensor]]] = {
    "guided": guided, "minimised": minimised, "hopping": hopping,
}  # fmt: skip


def main() -> None:
    """Read the options, dock, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first", type=int, default=0, help="of the manifest's rows")
    parser.add_argument("--count", type=int, default=6, help="complexes")
    parser.add_argument("--poses", type=int, default=64)
    parser.add_argument("--steps", type=int, default=40, help="of guidance")
    parser.add_argument("--rounds", type=int, default=30, help="of basin hopping")
    parser.add_argument("--limit", type=float, default=LIMIT, help="of guidance's scores")
    parser.add_argument("--kt", type=float, default=0.6, help="kcal/mol, of guidance")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    options = parser.parse_args()
    with open(options.folder / "manifest.csv", newline="") as file:
        rows = list(csv.DictReader(file))[options.first : options.first + options.count]
    found: dict[str, list[tuple[float, float, float, float]]] = {way: [] for way in options.ways}
    for row in rows:
        try:
            one_complex(row, options, found)
        except DataError as error:
            print(f"{row['id']}: left out: {error}", flush=True)
    for way, all_ in found.items():
        if all_:
            top1, top5, oracle, seconds = np.array(all_).T
            shares = ", ".join(
                f"{name} {int((d < SUCCESS).sum())}/{len(d)}"
                for name, d in (("top 1", top1), ("top 5", top5), ("oracle", oracle))
            )
            print(f"{way:<10s} < {SUCCESS:g} Å: {shares}; {seconds.mean():.1f} CPU s a complex")


def one_complex(row: dict[str, str], options: argparse.Namespace, found: dict[str, list]) -> None:
    """Dock one ligand in every way, and print a line of each."""
    began = time.process_time()
    folder = options.folder / row["id"]
    receptor, reference = read_receptor(folder / "protein.pdb.gz"), read_ligands(folder / "ligand.sdf")[0][1]
    if isinstance(reference, DataError):
        raise reference
    truth = Chem.RemoveAllHs(reference).GetConformer().GetPositions()
    box, ligand = Box.around(truth), prepare(from_smiles(row["smiles"]), row["id"])
    orders, body = numberings(ligand, reference), Body(ligand)
    task = Task(ligand, box, pose_energy(receptor, ligand, box), options)
    ready = time.process_time() - began
    print(f"{row['id']}: {len(ligand)} atoms, {len(ligand.torsions)} torsions, ready in {ready:.1f} CPU s")
    for way in options.ways:
        began = time.process_time()
        pose, energies = WAYS[way](task)
        positions = body.positions(pose)
        order = distinct(positions, energies, 5)
        seconds = time.process_time() - began
        off = rmsd(positions.numpy(), truth, orders)
        figures = float(off[order[0]]), float(off[order].min()), float(off.min()), seconds
        found[way].append(figures)
        print(f"  {way:<10s} energy {energies.min():7.2f}   top 1 {figures[0]:5.2f}   top 5 {figures[1]:5.2f}   "
              f"oracle {figures[2]:5.2f} Å   {seconds:5.1f} CPU s", flush=True)  # fmt: skip


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
