"""The network that ranks poses: how likely is each to lie within 2 Å of the truth?

Around each atom of the ligand, the pocket's atoms are summed by what they are and how far they are; a small network
reads each atom's surroundings, and another the sum of that and the pose's descriptors. It sees distances only, so that
it does not depend on where the complex lies or how it is turned.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .descriptors import NAMES
from .features import LIGAND_FEATURES, POCKET_FEATURES

RADIUS = 6.5  # Å up to which a pocket's atom counts among an atom's surroundings


@dataclass(frozen=True)
class Candidates:
    """Poses of one ligand in one pocket, as the network sees them.

    positions [B, n, 3] and pocket [m, 3] in Å, in one frame; ligand_atoms [n, LIGAND_FEATURES]; pocket_atoms
    [m, POCKET_FEATURES]; descriptors [B, len(NAMES)].
    """

    positions: Tensor
    pocket: Tensor
    ligand_atoms: Tensor
    pocket_atoms: Tensor
    descriptors: Tensor


class Ranker(nn.Module):
    """Candidates -> logits [B] of the probability that a pose lies within 2 Å of the truth.

    Args:
        width: of the descriptions of atoms, and of what is said of a ligand's atom in its surroundings.
        radial: Gaussians over the distance.
        hidden: width of the hidden layers.
        dropout: in training.
        surroundings: whether the atoms are looked at; False leaves the descriptors alone.
    """

    mean: Tensor
    scale: Tensor
    centres: Tensor

    def __init__(
        self, width: int = 16, radial: int = 10, hidden: int = 64, dropout: float = 0.1, surroundings: bool = True
    ):
        super().__init__()
        self.register_buffer("mean", torch.zeros(len(NAMES)))
        self.register_buffer("scale", torch.ones(len(NAMES)))
        self.register_buffer("centres", torch.linspace(2.4, RADIUS - 0.4, radial), persistent=False)
        self.spread = (RADIUS - 2.8) / (radial - 1)
        self.surroundings = surroundings
        if surroundings:
            self.ligand = nn.Sequential(nn.Linear(LIGAND_FEATURES, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))
            self.pocket = nn.Sequential(nn.Linear(POCKET_FEATURES, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))
            self.around = nn.Linear(width * radial, hidden)
            self.here = nn.Linear(width, hidden)
            self.atom = nn.Sequential(nn.SiLU(), nn.Dropout(dropout), nn.Linear(hidden, width), nn.SiLU())
        told = len(NAMES) + (width if surroundings else 0)
        self.linear = nn.Linear(told, 1)
        self.pose = nn.Sequential(
            nn.Linear(told, hidden), nn.SiLU(), nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.SiLU(),
            nn.Dropout(dropout), nn.Linear(hidden, 1),
        )  # fmt: skip

    def forward(self, given: Candidates) -> Tensor:
        told = (given.descriptors - self.mean) / self.scale
        if self.surroundings:
            told = torch.cat([told, self._surroundings(given)], 1)
        return (self.linear(told) + self.pose(told))[:, 0]

    def _surroundings(self, given: Candidates) -> Tensor:
        """What the surroundings of a ligand's atoms add up to, [B, width]."""
        poses, n = given.positions.shape[:2]
        flat = given.positions.flatten(0, 1)
        distance = torch.cdist(flat, given.pocket, compute_mode="donot_use_mm_for_euclid_dist")
        atom, other = (distance < RADIUS).nonzero(as_tuple=True)
        gap = distance[atom, other]
        fade = 0.5 * (torch.pi * gap / RADIUS).cos() + 0.5
        radial = (-((gap[:, None] - self.centres) / self.spread).square()).exp() * fade[:, None]
        kinds = self.pocket(given.pocket_atoms)
        near = (radial[:, :, None] * kinds[other][:, None]).flatten(1)
        around = torch.zeros(poses * n, near.shape[1]).index_add(0, atom, near)
        here = self.here(self.ligand(given.ligand_atoms)).repeat(poses, 1)
        return self.atom(self.around(around) + here).view(poses, n, -1).sum(1) / n**0.5
