"""What the network of scores says of finished poses: how far, and in what, it would move them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .ligand import Ligand
from .pocket import Box
from .receptor import Receptor
from .scene import Scene
from .score import LEAVES, ScoreNetwork
from .sites import pocket_of

TIMES = (0.15, 0.35, 0.55)  # noise of 0.2, 0.4 and 0.9 Å
OPINIONS = tuple(f"{leaf} at {t:g}" for t in TIMES for leaf in LEAVES)


@dataclass(frozen=True)
class Site:
    """Where poses were found, for the network to look at: the boxes, and which of them each pose [B] was found in."""

    network: ScoreNetwork
    boxes: Sequence[Box]
    box_of: Tensor


@torch.no_grad()
def opinions(ligand: Ligand, receptor: Receptor, positions: Tensor, site: Site) -> Tensor:
    """Root mean squares of the scores of each leaf at each of :data:`TIMES`, in units of the noise, [B, 9].

    At a right pose the network would move nothing. 1 is as much as the noise of that time would.

    Args:
        ligand: of n atoms.
        receptor: whole, or all of it within 5 Å of the boxes.
        positions: of the poses, [B, n, 3] in Å.
        site: the network, and the boxes.
    """
    told = torch.zeros(len(positions), len(OPINIONS))
    for k in site.box_of.unique().tolist():
        box, own = site.boxes[k], site.box_of == k
        scene = Scene(ligand, pocket_of(receptor, box), box.centre)
        code = scene.encoded(site.network)
        here = positions[own] - torch.as_tensor(box.centre, dtype=torch.float32)
        columns = []
        for t in TIMES:
            moves = scene.directions(site.network, code, here, torch.full((len(here),), t))
            columns += [moves[leaf].square().sum(1).div(max(moves[leaf].shape[1], 1)).sqrt() for leaf in LEAVES]
        told[own] = torch.stack(columns, 1)
    return told
