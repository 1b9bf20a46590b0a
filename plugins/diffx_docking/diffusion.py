"""Poses drawn by the reverse diffusion, and the file of weights of the network that guides it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffx.errors import DataError
from diffx.io import checkpoint
from diffx.plan import JointPlan, geodesic_random_walk
from diffx.plugins.weights import resolve_weights
from diffx.sampling import sample

from .config import PLUGIN, SCORES
from .ligand import Ligand
from .pocket import Box
from .process import pose_process, pose_shape, shifted
from .receptor import Receptor
from .scene import Scene, score_guidance
from .score import ScoreNetwork
from .sites import pocket_of

KIND = "docking scores"
ETA = 1.0  # of the reverse walk: ancestral sampling
END = 0.1  # time at which the walk ends, where 0.15 Å are left: the energy does the rest
_TOGETHER = 64  # poses in one pass of the network


def drawn_poses(
    network: ScoreNetwork, receptor: Receptor, ligand: Ligand, box: Box, seeds: Sequence[int],
    steps: int, eta: float = ETA,
) -> dict[str, Tensor]:  # fmt: skip
    """Poses [B, ...] in the receptor's frame, one for each seed: the same seed gives the same pose.

    Args:
        network: of scores.
        receptor: whole, or all of it within 5 Å of the box.
        ligand: whose poses are drawn.
        box: of the pocket; poses start about its middle with a spread of 5 Å.
        seeds: of the poses.
        steps: of the walk, one evaluation of the network each.
        eta: noise of the walk; 0 is the probability flow.
    """
    process = pose_process()
    scene = Scene(ligand, pocket_of(receptor, box), box.centre)
    predict = score_guidance(scene, network, process)
    times = tuple(np.linspace(1.0, END, steps + 1))
    plan = JointPlan({name: geodesic_random_walk(leaf.schedule, times, eta) for name, leaf in process.leaves.items()})
    parts = [
        sample(predict, process, plan, pose_shape(scene.body), seeds[first : first + _TOGETHER])
        for first in range(0, len(seeds), _TOGETHER)
    ]
    pose = {leaf: torch.cat([part[leaf] for part in parts]) for leaf in parts[0]}
    return shifted(pose, torch.as_tensor(box.centre))


def save_scores(path: Path, tensors: Mapping[str, Tensor], net: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    """Write the weights of a network, whose arguments are ``net``, in half precision."""
    half = {name: value.half() for name, value in tensors.items()}
    checkpoint.save(path, half, {**meta, "plugin": PLUGIN, "kind": KIND, "net": dict(net)})


def scores_file(scores: str | Path | None) -> Path:
    """The file of a network of scores: an id, a file or a run folder; None is the network that is shipped."""
    return resolve_weights(str(scores or SCORES), PLUGIN)


def load_scores(path: Path) -> ScoreNetwork:
    """The network of a file. Raises DataError for one that holds something else."""
    tensors, meta = checkpoint.load(path)
    if meta.get("kind") != KIND:
        raise DataError(f"{path} holds {meta.get('kind') or 'something else'}, not a network of scores")
    network = ScoreNetwork(**meta["net"])
    checkpoint.load_into(network, {name: value.float() for name, value in tensors.items()}, path)
    return network.eval()
