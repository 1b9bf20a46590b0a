"""The score network: where a noised pose should go, from the pocket's field at its atoms.

Cf. PLANTAIN (Brocidiacono et al. 2023) and DeepDock (Mendez-Lucio et al. 2021) for pairs encoded once a complex; here
the sum over pairs is a field of the pocket, and the ligand's atoms talk to each other about what they find in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .features import LigandFeatures, PocketFeatures
from .field import Field, Sensed
from .net import Attention, LigandEncoder, PairForces, PocketEncoder
from .pose import Body
from .process import ROTATION, TORSION, TRANSLATION

LEAVES = ("translation", "rotation", "torsion")
_WAVES = 8  # frequencies of the noise level
_APART = 3  # bonds between two atoms of a ligand from which on they meet through space
_DAMPING = {"translation": 0.1, "rotation": 1.0, "torsion": 0.5}  # at the start, Å^2 an atom


@dataclass(frozen=True)
class Encoded:
    """A complex: the ligand's atoms [n, width] and graph, the pocket's charges [m, K]."""

    atoms: Tensor
    ligand: LigandFeatures
    charge: Tensor


class ScoreNetwork(nn.Module):
    """Scores of noised poses.

    Each atom of the ligand reads the field rho_k at its place, and Vina's energy there; layers of attention along the
    ligand's graph turn that, the atom's own code and the noise level into a coefficient for each channel. The force on
    an atom is the sum of the channels' gradients with these coefficients, plus central forces within the ligand. So
    every force is made of directions that turn with the complex. Forces are read as displacements f of atoms; those of
    the pose are the damped least squares (J^T J + n lambda)^-1 J^T f with the pose's Jacobian J, and scores are these,
    scaled leaf by leaf to unit size. lambda and scale are learned functions of the noise level.

    Args:
        width: of codes of atoms.
        channels: of the field.
        layers: of the ligand's encoder.
        pocket_layers: of the pocket's.
        mixing: layers of attention among a pose's atoms.
        dropout: of the codes of atoms, in training.
    """

    def __init__(
        self, width: int = 64, channels: int = 32, layers: int = 3, pocket_layers: int = 2, mixing: int = 2,
        dropout: float = 0.0,
    ):  # fmt: skip
        super().__init__()
        self.ligand, self.pocket = LigandEncoder(width, layers), PocketEncoder(width, pocket_layers)
        self.dropout = nn.Dropout(dropout)
        self.field = Field(width, channels)
        self.level = nn.Sequential(nn.Linear(2 * _WAVES, width), nn.SiLU(), nn.Linear(width, width))
        self.sense = nn.Linear(channels + 1, width)
        self.mixing = nn.ModuleList(Attention(width, 4) for _ in range(mixing))
        self.norm, self.coefficients = nn.LayerNorm(width), nn.Linear(width, channels + 1)
        self.within = PairForces(width, 8, 16, 8.0, width)
        self.leaves = nn.Linear(width, 2 * len(LEAVES))
        with torch.no_grad():
            self.coefficients.weight.mul_(0.1)
            self.within.weights.weight.mul_(0.1)
            self.leaves.weight.mul_(0.1)
            self.leaves.bias.copy_(torch.tensor([0.0, 0, 0, *(math.log(_DAMPING[leaf]) for leaf in LEAVES)]))

    def encode(self, ligand: LigandFeatures, pocket: PocketFeatures) -> Encoded:
        """Once a complex."""
        atoms = self.dropout(self.ligand(ligand))
        return Encoded(atoms, ligand, self.field.charge(self.dropout(self.pocket(pocket))))

    def levels(self, t: Tensor) -> Tensor:
        """Times [B] -> [B, width]."""
        angle = math.pi * t[:, None] * torch.arange(1, _WAVES + 1)
        return self.level(torch.cat([angle.sin(), angle.cos()], -1))

    def forces(self, code: Encoded, positions: Tensor, field: Sensed, physics: Sensed, level: Tensor) -> Tensor:
        """Displacements [B, n, 3] of atoms, in units of the noise.

        Args:
            code: of the complex.
            positions: of B noised poses, [B, n, 3] in Å.
            field: of the pocket at them, [B, n, K].
            physics: Vina's energy of each atom there, between -1 and 1, [B, n, 1].
            level: of the noise, [B, width].
        """
        rho = field.value / (field.value.square().mean(-1, keepdim=True) + 1).sqrt()
        h = code.atoms + self.sense(torch.cat([rho, physics.value], -1)) + level[:, None]
        for layer in self.mixing:
            h = layer(h, code.ligand)
        weights = self.coefficients(self.norm(h))
        slopes = torch.cat([field.slope, physics.slope], -2)
        outside = (weights[..., None] * slopes).sum(-2)
        far = code.ligand.apart >= _APART
        return outside + self.within(code.atoms, code.atoms, positions, positions, level, far)

    def scores(self, body: Body, positions: Tensor, force: Tensor, level: Tensor) -> dict[str, Tensor]:
        """Scores of the pose from displacements of its atoms, each leaf of about unit size."""
        scale, damping = self.leaves(level).exp().split(len(LEAVES), -1)
        jacobian = body.jacobian(positions).flatten(1, 2)
        sizes = [3, 3, jacobian.shape[-1] - 6]
        penalty = torch.cat([d.expand(-1, k) for d, k in zip(damping.split(1, -1), sizes, strict=True)], -1)
        metric = jacobian.transpose(1, 2) @ jacobian + torch.diag_embed(penalty * positions.shape[1])
        pulled = jacobian.transpose(1, 2) @ force.flatten(1)[..., None]
        step = torch.linalg.solve(metric, pulled)[..., 0].split(sizes, -1)
        units = (1.0, TRANSLATION[0] / ROTATION[0], TRANSLATION[0] / TORSION[0])
        return {
            leaf: part * unit * scale[:, k : k + 1]
            for k, (leaf, part, unit) in enumerate(zip(LEAVES, step, units, strict=True))
        }
