"""What the networks of docking are made of: encoders of a ligand and of a pocket, which run once a complex, and forces
between pairs of atoms.

All of it depends on graphs and distances alone, so that what comes out turns with the complex, whatever the weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .features import BOND_KINDS, FARTHEST, LIGAND_FEATURES, POCKET_FEATURES, LigandFeatures, PocketFeatures
from .field import Radial


class Attention(nn.Module):
    """A layer over a ligand's atoms: attention biased by bonds and by the number of bonds between, then an MLP."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.bond = nn.Embedding(BOND_KINDS, heads)
        self.apart = nn.Embedding(FARTHEST + 1, heads)
        self.out = nn.Linear(width, width)
        hidden = 2 * width
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.SiLU(), nn.Linear(hidden, width))

    def forward(self, h: Tensor, ligand: LigandFeatures) -> Tensor:
        """h [..., n, width] of one ligand's atoms, in any number of poses."""
        bias = (self.bond(ligand.bond) + self.apart(ligand.apart)).permute(2, 0, 1)
        parts = self.qkv(self.norm(h)).unflatten(-1, (3, self.heads, -1)).movedim(-3, 0)
        q, k, v = parts.transpose(-3, -2)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        h = h + self.out(mixed.transpose(-3, -2).flatten(-2))
        return h + self.mlp(h)


class LigandEncoder(nn.Module):
    """A ligand's graph -> [n, width]."""

    def __init__(self, width: int, layers: int, heads: int = 4):
        super().__init__()
        self.enter = nn.Linear(LIGAND_FEATURES, width)
        self.layers = nn.ModuleList(Attention(width, heads) for _ in range(layers))

    def forward(self, ligand: LigandFeatures) -> Tensor:
        h = self.enter(ligand.atoms)
        for layer in self.layers:
            h = layer(h, ligand)
        return h


class Messages(nn.Module):
    """A layer over a pocket's atoms: messages from nearest neighbours, filtered by distance (SchNet's form)."""

    def __init__(self, width: int, radial: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.source = nn.Linear(width, width)
        self.filter = nn.Linear(radial, width)
        self.out = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, h: Tensor, neighbour: Tensor, near: Tensor) -> Tensor:
        return h + self.out((self.source(self.norm(h))[neighbour] * self.filter(near)).sum(1))


class PocketEncoder(nn.Module):
    """A pocket -> [m, width]."""

    def __init__(self, width: int, layers: int, radial: int = 24):
        super().__init__()
        self.radial = Radial(radial, 8.0)
        self.enter = nn.Linear(POCKET_FEATURES, width)
        self.layers = nn.ModuleList(Messages(width, radial) for _ in range(layers))

    def forward(self, pocket: PocketFeatures) -> Tensor:
        h, near = self.enter(pocket.atoms), self.radial(pocket.distance)
        for layer in self.layers:
            h = layer(h, pocket.neighbour, near)
        return h


class PairForces(nn.Module):
    """Central forces [B, n, 3] of pairs, with weights over distance that depend on the noise level."""

    def __init__(self, width: int, rank: int, radial: int, cutoff: float, level: int):
        super().__init__()
        self.first, self.second = nn.Linear(width, rank), nn.Linear(width, rank)
        self.radial = Radial(radial, cutoff)
        self.weights = nn.Linear(level, radial * rank)
        self.shape = (radial, rank)
        nn.init.zeros_(self.weights.bias)
        nn.init.normal_(self.weights.weight, std=level**-0.5 / radial**0.5)

    def forward(
        self, first: Tensor, second: Tensor, here: Tensor, there: Tensor, level: Tensor, counts: Tensor | None = None
    ) -> Tensor:
        """h [n, width] and [m, width], positions [B, n, 3] and [m, 3] or [B, m, 3], level [B, level] -> [B, n, 3].

        counts: bool [n, m], the pairs that count; None is all.
        """
        gap = here[:, :, None] - there[..., None, :, :]
        distance = torch.linalg.vector_norm(gap, dim=-1).clamp_min(1e-3)
        weights = self.weights(level).view(len(level), 1, *self.shape)  # [B, 1, R, K]
        by_distance = self.radial(distance) @ weights  # [B, n, m, K]
        pull = torch.einsum("nk,mk,bnmk->bnm", self.first(first), self.second(second), by_distance)
        pull = pull if counts is None else pull * counts
        return ((pull / distance)[..., None] * gap).sum(2)
