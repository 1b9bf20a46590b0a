"""What the network of scores says of finished poses: how badly it would denoise them, were they the truth.

The loss of a diffusion model at a sample, averaged over noise, bounds its negative logarithm of the probability density
(Song et al. 2021). Here it is asked level by level and leaf by leaf, and the ranking learns what to make of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffx.noise import Noise, derive

from .ligand import Ligand
from .pocket import Box
from .process import pose_process
from .receptor import Receptor
from .scene import Scene, compared, drawn
from .score import LEAVES, Encoded, ScoreNetwork
from .sites import pocket_of

TIMES = (0.1, 0.2, 0.35, 0.5, 0.65, 0.75)  # noise of 0.15, 0.2, 0.4, 0.7, 1.3 and 1.9 Å
DRAWS = 4  # of noise at each level, the same for all poses of a ligand
_LOSSES = tuple(f"{leaf} at {t:g}" for t in TIMES for leaf in LEAVES)
OPINIONS = (*_LOSSES, *(f"{name}, above the least" for name in _LOSSES))
_TOGETHER = 64  # noised poses in one pass of the network


@dataclass(frozen=True)
class Site:
    """Where poses were found, for the network to look at: the boxes, and which of them each pose [B] was found in."""

    network: ScoreNetwork
    boxes: Sequence[Box]
    box_of: Tensor


@torch.no_grad()
def opinions(ligand: Ligand, receptor: Receptor, positions: Tensor, site: Site) -> Tensor:
    """Denoising losses of each leaf at each of :data:`TIMES`, [B, 18]: 1 where the network knows nothing, less at poses
    to which it would bring noised ones back. 0 for the torsions of a ligand that has none. Beside them how far each
    lies above the least among these poses: [B, 36] together, as :data:`OPINIONS` names them.

    Args:
        ligand: of n atoms.
        receptor: whole, or all of it within 5 Å of the boxes.
        positions: of the poses, [B, n, 3] in Å.
        site: the network, and the boxes.
    """
    told = torch.zeros(len(positions), len(_LOSSES))
    for k in site.box_of.unique().tolist():
        box, own = site.boxes[k], site.box_of == k
        scene = Scene(ligand, pocket_of(receptor, box), box.centre)
        code = scene.encoded(site.network)
        here = positions[own] - torch.as_tensor(box.centre, dtype=torch.float32)
        parts = here.split(_TOGETHER // DRAWS)
        told[own] = torch.cat([torch.cat([_losses(scene, site.network, code, p, t) for t in TIMES], 1) for p in parts])
    return torch.cat([told, told - told.amin(0)], 1)


def _losses(scene: Scene, network: ScoreNetwork, code: Encoded, positions: Tensor, time: float) -> Tensor:
    """Of poses [B, n, 3] relative to the middle of the box, at one level: [B, 3]."""
    here = positions.repeat_interleave(DRAWS, 0)
    body, batch = scene.body.at(here), len(here)
    still = {
        "translation": here.mean(1),
        "rotation": torch.eye(3).expand(batch, 3, 3),
        "torsion": torch.zeros(batch, len(body.axes)),
    }
    t = torch.full((batch,), time)
    noise = Noise([derive(0, "opinion", f"{time:g}", k % DRAWS) for k in range(batch)])
    noisy = _PROCESS.corrupt(still, _PROCESS.times(t.double().numpy()), noise)
    scores = scene.directions(network, code, body.positions(noisy.x), t)
    scores["translation"] = scores["translation"] + drawn(noisy.x["translation"], t)
    losses = compared(scores, noisy)
    none = torch.zeros(batch)
    return torch.stack([losses.get(leaf, none).view(-1, DRAWS).mean(1) for leaf in LEAVES], 1)


_PROCESS = pose_process()
