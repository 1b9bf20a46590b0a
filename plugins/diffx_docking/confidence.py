"""From candidates to an order: the ranking networks, their calibration, and the file that holds both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffx.errors import DataError
from diffx.io import checkpoint

from .config import PLUGIN
from .descriptors import NAMES, descriptors
from .ligand import Ligand
from .opinions import OPINIONS, Site, opinions
from .ranking import Ranker
from .receptor import Receptor
from .search import Found

KIND = "docking ranking"
AROUND = 8.0  # Å around the poses within which the receptor's atoms are the pocket


@dataclass(frozen=True)
class Calibration:
    """P(RMSD < 2 Å) of a pose: sigmoid(slope * logit + shift). Fitted on poses of proteins left out of the training."""

    slope: float = 1.0
    shift: float = 0.0

    def __call__(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(self.slope * logits + self.shift)

    @classmethod
    def fit(cls, logits: Tensor, right: Tensor) -> Calibration:
        """The most likely one (Platt 1999), with a slope above 0: of logits [N] and outcomes [N] of 0 or 1."""
        theta = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        x, y = logits.double(), right.double()
        optimiser = torch.optim.LBFGS([theta], max_iter=200, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimiser.zero_grad()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(theta[0].exp() * x + theta[1], y)
            loss = loss + 1e-3 * theta.square().sum()  # keeps it finite where all or none are right
            loss.backward()
            return loss

        optimiser.step(closure)
        slope, shift = theta.detach().tolist()
        return cls(float(torch.tensor(slope).exp()), shift)


class Confidence:
    """Networks that rank poses, and what their logits mean.

    Args:
        members: whose logits are averaged.
        calibration: of the average.
        meta: facts of the weights.
    """

    def __init__(self, members: Sequence[Ranker], calibration: Calibration, meta: Mapping[str, Any]):
        self.members, self.calibration, self.meta = [m.eval() for m in members], calibration, dict(meta)

    @property
    def asks_network(self) -> bool:
        """Whether the opinions of the network of scores are among the descriptors."""
        return len(self.members[0].mean) > len(NAMES)

    def logits(self, told: Tensor) -> Tensor:
        """Of the descriptors of poses, [B, D], [B]: the higher, the more likely."""
        with torch.no_grad():
            return torch.stack([member(told) for member in self.members]).mean(0)

    def save(self, path: Path, meta: Mapping[str, Any]) -> None:
        """Write networks and calibration as one file of weights.

        Args:
            path: of the file.
            meta: facts to keep: ``net``, the arguments of :class:`Ranker`, and whatever else.
        """
        tensors = {f"{k}.{name}": t for k, m in enumerate(self.members) for name, t in m.state_dict().items()}
        told = list(names(len(self.members[0].mean)))
        facts = {"plugin": PLUGIN, "kind": KIND, "members": len(self.members), "descriptors": told}
        calibration = {"slope": self.calibration.slope, "shift": self.calibration.shift}
        checkpoint.save(path, tensors, {**facts, "calibration": calibration, **meta})

    @classmethod
    def load(cls, path: Path) -> Confidence:
        """What :meth:`save` wrote. Raises DataError for a file that holds something else."""
        tensors, meta = checkpoint.load(path)
        if meta.get("kind") != KIND:
            raise DataError(f"{path} holds {meta.get('kind') or 'something else'}, not weights that rank poses")
        told = meta["descriptors"]
        if told != list(names(len(told))):
            raise DataError(f"{path} was trained on other descriptors of poses than this version computes")
        members = []
        for k in range(meta["members"]):
            member = Ranker(**meta["net"], told=len(told))
            checkpoint.load_into(member, checkpoint.under(tensors, str(k)), path)
            members.append(member)
        return cls(members, Calibration(**meta["calibration"]), meta)


def names(count: int) -> tuple[str, ...]:
    """Of so many descriptors: with the opinions of the network of scores, or without."""
    return NAMES if count == len(NAMES) else NAMES + OPINIONS


def described(
    ligand: Ligand, receptor: Receptor, positions: Tensor, energies: Tensor, found: Found, site: Site | None = None
) -> Tensor:
    """The descriptors of some of the poses that a search found, with the pocket cut out around them: [B, len(NAMES)],
    with the opinions of the network of scores beside them where there is one.

    Args:
        ligand: of n atoms.
        receptor: whole or a pocket.
        positions: of the candidates, [B, n, 3] in Å.
        energies: theirs, [B] in kcal/mol.
        found: all poses of the search.
        site: what the network of scores needs.
    """
    flat = positions.flatten(0, 1)
    low, high = flat.amin(0).numpy(), flat.amax(0).numpy()
    told = descriptors(ligand, receptor.select(receptor.near_box(low, high, AROUND)), positions, energies, found)
    return told if site is None else torch.cat([told, opinions(ligand, receptor, positions, site)], 1)
