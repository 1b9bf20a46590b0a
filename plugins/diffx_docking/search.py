"""Search for poses of low energy: many random starts at once, each minimised; or basin hopping, as Vina searches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffx.noise import Noise, derive
from diffx.process import SO3

from .config import SearchConfig
from .inside import Inside
from .ligand import Ligand
from .maps import Known, Maps
from .pocket import Box
from .pose import Body
from .receptor import Receptor
from .relax import Energy, Pose, minimise, moved

TEMPERATURE = 1.2  # kcal/mol, of the acceptance of a hop, as Vina has it
SHIFT, TURN = 1.0, 0.6  # Å and radians: standard deviations of a hop's translation and rotation
RETURN = 10  # hops after which a chain goes on from the best it has found
EDGE = 3.0  # Å from the box's sides within which no chain begins
_TOGETHER = 512  # poses that are minimised together: more do not go faster


@dataclass(frozen=True)
class Found:
    """What a search found: positions [N, n, 3] in Å, and energies [N] in kcal/mol.

    box: which of several boxes each was found in, [N]. spent: seconds of wall time and of the processor. drawn: [N],
    which came from the reverse diffusion, where there are others beside them.
    """

    positions: Tensor
    energies: Tensor
    box: Tensor | None = None
    spent: tuple[float, float] = (0.0, 0.0)
    drawn: Tensor | None = None

    def distinct(self, count: int, apart: float = 1.0, orders: Tensor | None = None) -> list[int]:
        """:func:`distinct` poses, the lowest energy first. Of poses from two sources both have their turn: the lower
        energies of many random starts would leave no place for those of the reverse diffusion."""
        if self.drawn is None:
            return distinct(self.positions, self.energies, count, apart, orders)
        turn = torch.zeros_like(self.energies)
        for source in (self.drawn, ~self.drawn):
            turn[source] = self.energies[source].argsort(stable=True).argsort(stable=True).float()
        return sorted(distinct(self.positions, turn, count, apart, orders), key=lambda i: float(self.energies[i]))


def pose_energy(receptor: Receptor, ligand: Ligand, box: Box, known: Known | None = None) -> Energy:
    """Vina's energy of poses in a box, kcal/mol: from maps of the receptor, and of the pairs within the ligand.

    ``known`` holds maps of this receptor and box that were made for other ligands, and takes up those made for this.
    """
    body, maps = Body(ligand), Maps(receptor, ligand.types, box, known=known)
    inside = Inside(ligand)

    def energy(pose: Pose) -> tuple[Tensor, Tensor]:
        positions = body.positions(pose)
        outside, push = maps.energy_and_force(positions)
        within, pull = inside.energy_and_force(positions)
        forces = body.forces(positions, push + pull)
        return outside + within, -torch.cat([forces["translation"], forces["rotation"], forces["torsion"]], -1)

    return energy


def scattered(box: Box, torsions: int, noise: Noise) -> dict[str, Tensor]:
    """Poses anywhere in a box, one for each seed: middles 3 Å from its sides or more, any rotation, any torsions."""
    half = torch.as_tensor(box.size / 2 - EDGE, dtype=torch.float32).clamp_min(0.5)
    centre = torch.as_tensor(box.centre, dtype=torch.float32)
    return {
        "translation": centre + (2 * noise["place"].uniform(3) - 1) * half,
        "rotation": SO3().prior((3, 3), 1.0, noise["turn"]),
        "torsion": math.pi * (2 * noise["twist"].uniform(torsions) - 1),
    }


def random_starts(energy: Energy, ligand: Ligand, box: Box, options: SearchConfig, seed: int = 0) -> Found:
    """Poses put anywhere in a box, each minimised; the same seed gives the same poses.

    All are minimised for ``options.scout`` steps, and the ``options.keep`` lowest for ``options.steps`` more.

    Args:
        energy: of poses, from :func:`pose_energy`.
        ligand: whose poses they are.
        box: in which they begin.
        options: starts, how many are kept, steps.
        seed: of the starts.
    """
    torsions = len(ligand.torsions)
    seeds = [derive(seed, "start", k) for k in range(options.starts)]
    parts = [scattered(box, torsions, Noise(some)) for some in batched(seeds)]
    return refined(energy, ligand, {k: torch.cat([part[k] for part in parts]) for k in parts[0]}, options)


def refined(energy: Energy, ligand: Ligand, start: Pose, options: SearchConfig) -> Found:
    """Poses minimised, the lowest of them to the end: see :func:`random_starts`."""
    pose, value = dict(start), None
    if options.keep and options.keep < len(pose["translation"]):
        pose, value = _minimised(energy, pose, options.scout)
        lowest = value.argsort(stable=True)[: options.keep]
        pose = {k: v[lowest] for k, v in pose.items()}
    pose, value = _minimised(energy, pose, options.steps)
    return Found(Body(ligand).positions(pose), value)


def _minimised(energy: Energy, pose: Pose, steps: int) -> tuple[dict[str, Tensor], Tensor]:
    together = batched(range(len(pose["translation"])))
    parts = [minimise(energy, {k: v[some] for k, v in pose.items()}, steps) for some in together]
    return {k: torch.cat([part[k] for part, _ in parts]) for k in pose}, torch.cat([value for _, value in parts])


def batched(items: Sequence[int]) -> list[list[int]]:
    """In parts of as many as are minimised together."""
    return [list(items[first : first + _TOGETHER]) for first in range(0, len(items), _TOGETHER)]


def basin_hopping(
    energy: Energy, start: Pose, noise: Noise, rounds: int = 30, steps: int = 10, temperature: float = TEMPERATURE
) -> tuple[dict[str, Tensor], Tensor]:
    """The best pose that each chain finds, and its energy [B] (Wales and Doye 1997).

    A hop moves one thing, the place, the rotation or one torsion, and minimises; it is kept with probability
    exp(-dE / temperature). A chain depends on its own seed alone.

    Args:
        energy: of poses, with gradients.
        start: one pose for each seed of the noise.
        rounds: hops.
        steps: of minimisation a hop; twice as many at the start.
    """
    here, value = minimise(energy, start, 2 * steps)
    best, lowest = here, value
    torsions = start["torsion"].shape[1]
    for k in range(rounds):
        there, new = minimise(energy, moved(here, _hop(noise, torsions, k)), steps)
        kept = noise["accept"].uniform(step=k) < ((value - new) / temperature).exp()
        here, value = _where(kept, there, here), new.where(kept, value)
        better = value < lowest
        best, lowest = _where(better, here, best), value.where(better, lowest)
        if k % RETURN == RETURN - 1:
            here, value = best, lowest
    return best, lowest


def distinct(
    positions: Tensor, energies: Tensor, count: int, apart: float = 1.0, orders: Tensor | None = None
) -> list[int]:
    """Poses from the lowest energy up, each at least `apart` Å (RMSD) from those before it: at most `count` indices.

    Args:
        positions: [B, n, 3].
        energies: [B].
        count: of poses, at most.
        apart: Å.
        orders: numberings of the atoms that make the same molecule, [s, n]: the RMSD is the least over them.
    """
    orders = torch.arange(positions.shape[1])[None] if orders is None else orders
    kept: list[int] = []
    for i in energies.argsort(stable=True).tolist():
        if not kept or not (gaps(positions[i : i + 1], positions[kept], orders) < apart).any():
            kept.append(i)
        if len(kept) == count:
            break
    return kept


def gaps(these: Tensor, those: Tensor, orders: Tensor) -> Tensor:
    """RMSD [A, B] in Å between poses [A, n, 3] and [B, n, 3], the least over numberings [s, n] of the atoms."""
    renumbered = these[:, orders].flatten(0, 1).flatten(1)
    found = torch.cdist(renumbered, those.flatten(1)).view(len(these), len(orders), -1)
    return found.amin(1) / these.shape[1] ** 0.5


def _hop(noise: Noise, torsions: int, k: int) -> Tensor:
    """A tangent step [B, 6 + m] in one of 2 + m ways."""
    way = (noise["way"].uniform(step=k) * (2 + torsions)).long()[:, None]
    shift = noise["shift"].normal(3, step=k) * SHIFT * (way == 0)
    turn = noise["rotate"].normal(3, step=k) * TURN * (way == 1)
    angle = math.pi * (2 * noise["angle"].uniform(1, step=k) - 1)
    return torch.cat([shift, turn, angle * (way == 2 + torch.arange(torsions))], -1)


def _where(chosen: Tensor, this: Pose, that: Pose) -> dict[str, Tensor]:
    return {k: this[k].where(chosen.view(-1, *(1,) * (this[k].ndim - 1)), that[k]) for k in this}
