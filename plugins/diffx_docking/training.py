"""Learning to rank: poses that the search makes of known complexes, and networks fitted to how far they lie off."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffx.io import checkpoint
from diffx.noise import derive

from .candidates import poses_in
from .confidence import Calibration, described
from .config import RankingConfig, RankingTraining, SearchConfig
from .families import triples
from .kept import kept
from .known import Known, heavy_positions
from .ligand import prepare
from .match import numberings, rmsd, symmetries
from .opinions import Site
from .ranking import Ranker
from .receptor import read_receptor
from .score import ScoreNetwork

SUCCESS = 2.0  # Å
FIRST = 5  # poses of a complex that the calibration looks at
_SOFT = 0.3  # Å: width of the step from right to wrong in the loss
_SHARP, _MOST = 0.5, 6.0  # Å: of the target of the order among poses, and from where on all are equally wrong


@dataclass(frozen=True)
class Example:
    """A known complex that was docked: descriptors of its candidates [B, D], the lowest energy first, their
    RMSD [B] in Å, and the residue triples of its pocket."""

    name: str
    descriptors: Tensor
    rmsd: Tensor
    triples: frozenset[tuple[str, str, str]]


def example(
    known: Known, options: SearchConfig, asked: Mapping[str, Any], folder: Path, network: ScoreNetwork | None = None,
    opinions: bool = False,
) -> Example:  # fmt: skip
    """Dock a known complex in the box of its pose, from a fresh conformer; describe candidates, with the network's
    opinions if asked for. The search is kept in the folder, with all that it depends on.

    Raises:
        DataError: a structure or ligand that cannot be read.
    """
    seed = asked["seed"]
    receptor, ligand = read_receptor(known.protein), prepare(known.ligand, known.name, seed)
    path = folder / f"{known.name}.safetensors"
    found = kept(path, asked, lambda: poses_in(known.box, receptor, ligand, options, network, seed))
    chosen = found.distinct(options.candidates, orders=symmetries(ligand))
    positions = found.positions[chosen]
    site = (
        None
        if network is None or not opinions
        else Site(network, [known.box], torch.zeros(len(chosen), dtype=torch.long))
    )
    told = described(ligand, receptor, positions, found.energies[chosen], found, site)
    off = rmsd(positions.numpy(), heavy_positions(known.truth), numberings(ligand, known.truth))
    pocket = receptor.select(receptor.near_box(known.box.low, known.box.high, 8.0))
    return Example(known.name, told, torch.as_tensor(off).float(), triples(pocket))


def save_example(path: Path, one: Example, asked: Mapping[str, Any]) -> None:
    """As a file that appears whole or not at all, with all that it depends on."""
    meta = {"kind": "docked complex", "name": one.name, "triples": sorted(one.triples), **asked}
    checkpoint.save(path, {"descriptors": one.descriptors, "rmsd": one.rmsd}, meta)


def load_example(path: Path, asked: Mapping[str, Any]) -> Example | None:
    """What :func:`save_example` wrote; None where there is none, or one of another question."""
    if not path.exists():
        return None
    tensors, meta = checkpoint.load(path)
    if {name: meta.get(name) for name in asked} != asked:
        return None
    shared = frozenset((a, b, c) for a, b, c in meta["triples"])
    return Example(meta["name"], tensors["descriptors"], tensors["rmsd"], shared)


def fit(
    examples: Sequence[Example],
    network: RankingConfig,
    options: RankingTraining,
    seed: int,
    told: Callable[[int, float], None] | None = None,
) -> Ranker:
    """A network that ranks, a function of examples, options and seed.

    Args:
        examples: to learn from.
        network: its sizes.
        options: steps, batch, peak rate, weight decay, clipping.
        seed: of initial weights, dropout and the order of the examples.
        told: called with the step and its loss.
    """
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "ranker") % 2**31)
        ranker = Ranker(network.hidden, network.dropout, examples[0].descriptors.shape[1]).train()
        ranker.standardise(torch.cat([one.descriptors for one in examples]))
        optimiser = torch.optim.AdamW(ranker.parameters(), lr=options.lr, weight_decay=options.weight_decay)
        steps = options.steps + 1
        rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, options.lr, total_steps=steps, pct_start=0.1)
        for step in range(1, steps):
            drawn = [examples[i] for i in torch.randint(len(examples), (options.batch,)).tolist()]
            optimiser.zero_grad()
            logits = ranker(torch.cat([one.descriptors for one in drawn])).split([len(one.rmsd) for one in drawn])
            loss = torch.stack([ranking_loss(z, one.rmsd) for z, one in zip(logits, drawn, strict=True)]).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(ranker.parameters(), options.clip or float("inf"))
            optimiser.step()
            rate.step()
            if told:
                told(step, float(loss.detach()))
    return ranker.eval()


def ranking_loss(logits: Tensor, off: Tensor) -> Tensor:
    """Of the poses of one complex: logits [B] and RMSD [B] in Å to a number.

    The mean of two cross-entropies: of each pose's being right, and of the order among them, where some are right.
    """
    right = torch.sigmoid((SUCCESS - off) / _SOFT)
    each = torch.nn.functional.binary_cross_entropy_with_logits(logits, right)
    if not (off < SUCCESS).any():
        return 0.5 * each
    target = torch.softmax(-off.clamp(max=_MOST) / _SHARP, 0)
    return 0.5 * each - 0.5 * (target * torch.log_softmax(logits, 0)).sum()


def calibrated(logits: Sequence[Tensor], examples: Sequence[Example]) -> Calibration:
    """From logits of examples that the networks did not see: of the five poses that each ranks first."""
    chosen = [z.argsort(descending=True)[:FIRST] for z in logits]
    said = torch.cat([z[k] for z, k in zip(logits, chosen, strict=True)])
    happened = torch.cat([(one.rmsd[k] < SUCCESS).float() for one, k in zip(examples, chosen, strict=True)])
    return Calibration.fit(said, happened)
