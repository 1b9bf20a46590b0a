"""A ligand in front of a pocket as the score network meets it: encoded once, then read at any poses and noise level."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffx.condition import Condition
from diffx.process import Noisy, Product
from diffx.schedule import VE

from .features import ligand_features, pocket_features
from .field import Near, Sensed, nearest
from .ligand import Ligand
from .pose import Body
from .process import TRANSLATION
from .receptor import Receptor
from .relax import Pose
from .score import Encoded, ScoreNetwork
from .vina import Pairing, pair_energy, pair_slope

SPREAD = 1.5  # Å: of the ligand's middle about that of the box, of which the network need not be told
_SOFT = 3.0  # kcal/mol: energies of an atom beyond are all alike


class Scene:
    """A ligand and the atoms of a pocket; positions are relative to the middle of the box.

    Args:
        ligand: of n atoms.
        pocket: what the network sees of the receptor, m atoms.
        centre: of the box [3], Å.
    """

    def __init__(self, ligand: Ligand, pocket: Receptor, centre: np.ndarray):
        self.body = Body(ligand)
        self.ligand, self.pocket = ligand_features(ligand), pocket_features(pocket)
        self.points = torch.as_tensor(pocket.positions - centre, dtype=torch.float32)
        self.pairing = Pairing(ligand.types, pocket.types)

    def __len__(self) -> int:
        return len(self.body.conformer)

    def energy(self, near: Near) -> Sensed:
        """Vina's energy of each atom between ligand and pocket, softly between -1 and 1: [N, 1], N = B n."""
        n = len(self)
        parts = (self.pairing.radii, self.pairing.hydrophobic, self.pairing.hydrogen)
        own = [part.expand(len(near.which) // n, -1, -1).flatten(0, 1).gather(1, near.which) for part in parts]
        value = torch.tanh(pair_energy(near.distance, *own).sum(1, keepdim=True) / _SOFT)
        slope = (pair_slope(near.distance, *own)[:, None] @ near.away) * (1 - value.square())[..., None] / _SOFT
        return Sensed(value, slope)

    def encoded(self, network: ScoreNetwork) -> Encoded:
        """Once a complex."""
        return network.encode(self.ligand, self.pocket)

    def directions(self, network: ScoreNetwork, code: Encoded, positions: Tensor, t: Tensor) -> dict[str, Tensor]:
        """Where poses at noise levels t [B] should go, each leaf in units of the noise, about 1 large.

        Args:
            network: of scores.
            code: what it made of this complex.
            positions: of atoms, [B, n, 3] in Å from the middle of the box.
            t: [B].
        """
        batch, n, _ = positions.shape
        near = nearest(positions.flatten(0, 1), self.points)
        sensed = (network.field(code.charge, near), self.energy(near))
        field, physics = (Sensed(*(part.unflatten(0, (batch, n)) for part in one)) for one in sensed)
        level = network.levels(t)
        force = network.forces(code, positions, field, physics, level)
        return network.scores(self.body, positions, force, level)

    def scores(
        self, network: ScoreNetwork, code: Encoded, pose: Pose, t: Tensor, middle: Tensor | float = 0.0
    ) -> dict[str, Tensor]:
        """:meth:`directions` of poses, and the pull of the box.

        Args:
            network: of scores.
            code: what it made of this complex.
            pose: of B, relative to the middle of the box.
            t: [B].
            middle: another middle that the box is said to have, [B, 3] in Å.
        """
        out = self.directions(network, code, self.body.positions(pose), t)
        return {**out, "translation": out["translation"] + drawn(pose["translation"] - middle, t)}


def score_guidance(scene: Scene, network: ScoreNetwork, process: Product) -> Callable[..., dict[str, Tensor]]:
    """A :class:`diffx.predict.Predict` of poses relative to the middle of the box: the network's scores."""
    code = scene.encoded(network)

    def predict(x: Pose, t: Any, condition: Condition | None = None) -> dict[str, Tensor]:
        batch = len(x["translation"])
        time = t["translation"] if isinstance(t, Mapping) else t
        times = torch.as_tensor(np.broadcast_to(np.asarray(time, dtype=np.float32), (batch,)).copy())
        parts = scene.scores(network, code, x, times)
        return {name: part * _column(process, name, times) for name, part in parts.items()}

    return predict


def _column(process: Product, leaf: str, times: Tensor) -> Tensor:
    own: Any = process.leaves[leaf]
    return torch.as_tensor(own.score_scale(times.double().numpy()), dtype=torch.float32)[:, None]


def drawn(place: Tensor, t: Tensor) -> Tensor:
    """How the box draws the middle of a noised ligand at places [B, 3] from its own middle, in units of the noise: the
    score where ligands lie about the middle of their box with a spread of 1.5 Å."""
    sigma = VE(*TRANSLATION).sigma(t.double().numpy())
    return -torch.as_tensor(sigma / (sigma**2 + SPREAD**2), dtype=torch.float32)[:, None] * place


def compared(scores: Mapping[str, Tensor], noisy: Noisy) -> dict[str, Tensor]:
    """Losses [B] of each leaf that a ligand has; scores are in units of the noise."""
    out = {}
    for leaf, target in noisy.target.items():
        if target[0].numel():
            wanted = target * noisy.weight[leaf].sqrt()[:, None]
            out[leaf] = (scores[leaf] - wanted).square().mean(1)
    return out
