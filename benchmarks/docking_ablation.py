"""What each part of the search and of the ranking is worth, on complexes that neither network learnt from.

    python benchmarks/docking_ablation.py <complexes> <run folder of task=train>

The training kept what it searched (`both`: random starts and poses of the diffusion, all minimised) and what its
ranking saw of the candidates. Sources, numbers of draws and of candidates, and ways to rank are compared on these
poses, so that nothing is searched anew. Families of proteins are left out in turn where a ranking is fitted.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffx.errors import DataError
from diffx.evaluation import estimate
from diffx.io import checkpoint
from diffx_docking.confidence import names
from diffx_docking.config import RankingConfig, RankingTraining
from diffx_docking.descriptors import NAMES
from diffx_docking.families import families, folds
from diffx_docking.known import heavy_positions, read_known
from diffx_docking.ligand import prepare
from diffx_docking.match import numberings, rmsd, symmetries
from diffx_docking.opinions import OPINIONS
from diffx_docking.search import Found
from diffx_docking.training import SUCCESS, Example, fit, load_example

HEAD = "| | first | best of five | any candidate |\n|---|---|---|---|"


@dataclass(frozen=True)
class Searched:
    """All poses of a complex, their RMSD [N] in Å, the ligand's symmetries, what the ranking saw of its candidates."""

    found: Found
    off: np.ndarray
    orders: Tensor
    example: Example


def searched(root: Path, run: Path) -> list[Searched]:
    """The complexes that the training docked."""
    found = []
    for path in sorted((run / "checkpoints").glob("docked-*.safetensors")):
        one = load_example(path, {})  # whatever the training was asked
        assert one is not None
        ((_, known),) = read_known(str(root), [one.name])
        assert not isinstance(known, DataError)
        poses, _ = checkpoint.load(run / "checkpoints" / "searched" / f"{one.name}.safetensors")
        ligand = prepare(known.ligand, known.name, checkpoint.read_meta(path)["seed"])
        off = rmsd(poses["positions"].numpy(), heavy_positions(known.truth), numberings(ligand, known.truth))
        all_ = Found(poses["positions"], poses["energies"], drawn=poses["drawn"].bool())
        found.append(Searched(all_, off, symmetries(ligand), one))
    return found


def among(one: Searched, chosen: Tensor, count: int, in_turn: bool = True) -> np.ndarray:
    """RMSD of the candidates from some of the poses, the lowest energy first; sources have their turn if asked."""
    found, drawn = one.found, one.found.drawn
    assert drawn is not None
    some = Found(found.positions[chosen], found.energies[chosen], drawn=drawn[chosen] if in_turn else None)
    return one.off[chosen.numpy()][some.distinct(count, orders=one.orders)]


def source(
    count: int = 40, draws: int = 64, starts: bool = True, in_turn: bool = True
) -> Callable[[Searched], np.ndarray]:
    """Candidates from the random starts, if asked, and so many of the diffusion's poses."""

    def of(one: Searched) -> np.ndarray:
        drawn = one.found.drawn
        assert drawn is not None
        chosen = (drawn & (drawn.cumsum(0) <= draws)) | (~drawn & torch.tensor(starts))
        return among(one, chosen, count, in_turn and starts and draws > 0)

    return of


SOURCES: Mapping[str, Callable[[Searched], np.ndarray]] = {
    "both in turn, 40 candidates (default)": source(),
    "10 candidates": source(10),
    "20 candidates": source(20),
    "80 candidates": source(80),
    "both, the 40 lowest energies": source(in_turn=False),
    "random starts alone": source(draws=0),
    "random starts and 16 poses of the diffusion": source(draws=16),
    "random starts and 32 poses of the diffusion": source(draws=32),
    "the diffusion's 64 poses alone": source(starts=False),
}


def ranked(all_: Sequence[Searched], columns: Sequence[str], part: np.ndarray, members: int) -> list[np.ndarray]:
    """RMSD of the candidates as networks rank them that saw these descriptors, and none of the complex's family."""
    have = names(all_[0].example.descriptors.shape[1])
    which = [have.index(name) for name in columns]
    examples = [replace(one.example, descriptors=one.example.descriptors[:, which]) for one in all_]
    found: list[np.ndarray] = [np.zeros(0)] * len(all_)
    for k in np.unique(part):
        seen = [one for one, own in zip(examples, part, strict=True) if own != k]
        rankers = [fit(seen, RankingConfig(), RankingTraining(), 1000 * m + int(k)) for m in range(members)]
        for i in np.flatnonzero(part == k):
            with torch.no_grad():
                logits = torch.stack([ranker(examples[i].descriptors) for ranker in rankers]).mean(0)
            found[i] = examples[i].rmsd[logits.argsort(descending=True)].numpy()
    return found


def row(label: str, off: Sequence[np.ndarray]) -> str:
    """Shares of complexes, the first with its 95 % interval."""
    first, five, best = (np.array([r[:n].min() < SUCCESS for r in off], float) for n in (1, 5, None))
    low, high = estimate(lambda x: float(x.mean()), first).interval or (np.nan, np.nan)
    return f"| {label} | {first.mean():.1%} ({low:.0%} to {high:.0%}) | {five.mean():.1%} | {best.mean():.1%} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--members", type=int, default=4, help="networks of a ranking")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    all_ = searched(asked.root, asked.run)
    print(f"{len(all_)} complexes\n\nSources, ranked by energy\n\n{HEAD}")
    for label, of in SOURCES.items():
        print(row(label, [of(one) for one in all_]), flush=True)
    part = folds(families([one.example.triples for one in all_]), RankingConfig().folds, 0)
    print(f"\nRanking of the default's candidates\n\n{HEAD}")
    print(row("energy", [one.example.rmsd.numpy() for one in all_]))
    for label, columns in {
        "descriptors": NAMES, "opinions of the network": OPINIONS, "both": (*NAMES, *OPINIONS),
    }.items():  # fmt: skip
        print(row(label, ranked(all_, columns, part, asked.members)), flush=True)


if __name__ == "__main__":
    main()
