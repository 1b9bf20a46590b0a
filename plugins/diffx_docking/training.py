"""Learning to rank: poses that the search makes of known complexes, and networks fitted to how far they lie off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffx.io import checkpoint
from diffx.noise import Noise, derive

from .confidence import Calibration, candidates
from .config import RankingConfig, RankingTraining, SearchConfig
from .families import triples
from .known import Known, heavy_positions
from .ligand import Ligand, prepare
from .match import match, numberings, rmsd
from .pose import Body
from .ranking import Candidates, Ranker
from .receptor import Receptor, read_receptor
from .relax import Energy, minimise, moved
from .search import Found, distinct, pose_energy, random_starts

SUCCESS = 2.0  # Å
_SOFT = 0.3  # Å: width of the step from right to wrong in the loss
_SHARP, _MOST = 0.5, 6.0  # Å: of the target of the order among poses, and from where on all are equally wrong
_NEAR, _KEPT = 16, 6  # poses begun near the truth, and how many distinct ones of them are learnt from
_PARTS = ("positions", "pocket", "ligand_atoms", "pocket_atoms", "descriptors")


@dataclass(frozen=True)
class Example:
    """A known complex: candidates, their RMSD [B] in Å, how many of them the search found (the others were begun at the
    truth), and the residue triples of its pocket."""

    name: str
    given: Candidates
    rmsd: Tensor
    searched: int
    triples: frozenset[tuple[str, str, str]]


def example(known: Known, options: SearchConfig, seed: int) -> Example:
    """Dock a known complex, and put a few poses near the truth beside those that the search finds.

    Raises:
        DataError: a structure or ligand that cannot be read.
    """
    receptor, ligand = read_receptor(known.protein), prepare(known.ligand, known.name, seed)
    energy = pose_energy(receptor, ligand, known.box)
    found = random_starts(energy, ligand, known.box, options.starts, options.steps, seed)
    orders, truth = numberings(ligand, known.truth), heavy_positions(known.truth)
    near = _near(energy, ligand, truth[orders[0]], options.steps, seed)
    return labelled(known.name, ligand, receptor, found, near, lambda p: rmsd(p, truth, orders), options.candidates)


def labelled(
    name: str, ligand: Ligand, receptor: Receptor, found: Found, near: Found, off: Callable[[Any], Any], most: int
) -> Example:
    """The distinct poses of a search and of those near the truth, with what the network sees of them."""
    chosen, others = (
        distinct(found.positions, found.energies, most), distinct(near.positions, near.energies, _KEPT)
    )  # fmt: skip
    positions = torch.cat([found.positions[chosen], near.positions[others]])
    energies = torch.cat([found.energies[chosen], near.energies[others]])
    given = candidates(ligand, receptor, positions, energies, found)
    return Example(name, given, torch.as_tensor(off(positions.numpy())).float(), len(chosen), triples(receptor))


def save_example(path: Path, one: Example) -> None:
    """As a file that appears whole or not at all."""
    tensors = {part: getattr(one.given, part) for part in _PARTS} | {"rmsd": one.rmsd}
    meta = {"kind": "docked complex", "name": one.name, "searched": one.searched, "triples": sorted(one.triples)}
    checkpoint.save(path, tensors, meta)


def load_example(path: Path) -> Example:
    """What :func:`save_example` wrote."""
    tensors, meta = checkpoint.load(path)
    off, shared = tensors.pop("rmsd"), frozenset((a, b, c) for a, b, c in meta["triples"])
    return Example(meta["name"], Candidates(**tensors), off, meta["searched"], shared)


def fit(
    examples: Sequence[Example],
    network: RankingConfig,
    options: RankingTraining,
    seed: int,
    told: Callable[[int, float], None] | None = None,
) -> Ranker:
    """A network that ranks, a function of examples, options and seed.

    The loss of a complex is the cross-entropy of each pose's being right, and of the order among its poses.

    Args:
        examples: to learn from.
        network: its sizes.
        options: steps, batch, peak rate, weight decay, clipping.
        seed: of initial weights, dropout and the order of the examples.
        told: called with the step and the mean loss of each step.
    """
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "ranker") % 2**31)
        ranker = Ranker(network.width, hidden=network.hidden, dropout=network.dropout).train()
        seen = torch.cat([one.given.descriptors[: one.searched] for one in examples])
        ranker.mean.copy_(seen.mean(0))
        ranker.scale.copy_(seen.std(0).clamp_min(1e-3))
        optimiser = torch.optim.AdamW(ranker.parameters(), lr=options.lr, weight_decay=options.weight_decay)
        rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, options.lr, total_steps=options.steps + 1, pct_start=0.1)
        order: list[int] = []
        for step in range(1, options.steps + 1):
            total = 0.0
            optimiser.zero_grad()
            for _ in range(options.batch):
                if not order:
                    order = torch.randperm(len(examples)).tolist()
                loss = ranking_loss(ranker(examples[order[-1]].given), examples[order.pop()].rmsd) / options.batch
                loss.backward()
                total += float(loss.detach())
            torch.nn.utils.clip_grad_norm_(ranker.parameters(), options.clip or float("inf"))
            optimiser.step()
            rate.step()
            if told:
                told(step, total)
    return ranker.eval()


def ranking_loss(logits: Tensor, off: Tensor) -> Tensor:
    """Of the poses of one complex: logits [B] and RMSD [B] in Å to a number."""
    right = torch.sigmoid((SUCCESS - off) / _SOFT)
    each = torch.nn.functional.binary_cross_entropy_with_logits(logits, right)
    if not (off < SUCCESS).any() or (off < SUCCESS).all():
        return 0.5 * each
    target = torch.softmax(-off.clamp(max=_MOST) / _SHARP, 0)
    return 0.5 * each - 0.5 * (target * torch.log_softmax(logits, 0)).sum()


def calibrated(logits: Sequence[Tensor], examples: Sequence[Example]) -> Calibration:
    """From logits of examples that the networks did not see: of their first-ranked poses and of the next four."""
    chosen = [z.argsort(descending=True)[:5] for z in logits]
    x = torch.cat([z[k] for z, k in zip(logits, chosen, strict=True)])
    y = torch.cat([(one.rmsd[k] < SUCCESS).float() for one, k in zip(examples, chosen, strict=True)])
    return Calibration.fit(x, y)


def _near(energy: Energy, ligand: Ligand, truth: Any, steps: int, seed: int) -> Found:
    """Poses begun at the truth, a little off it, and minimised."""
    pose, _ = match(ligand, truth, seed, starts=20)
    noise = Noise([derive(seed, "near", k) for k in range(_NEAR)])
    m = len(ligand.torsions)
    parts = [noise["shift"].normal(3) * 0.5, noise["turn"].normal(3) * 0.2, noise["twist"].normal(m) * 0.3]
    step = torch.cat(parts, -1)
    step[0] = 0
    start = {name: leaf.float().expand(_NEAR, *leaf.shape[1:]) for name, leaf in pose.items()}
    near, value = minimise(energy, moved(start, step), max(steps // 2, 1))
    return Found(Body(ligand).positions(near), value)
