"""Where poses come from: random starts, the reverse diffusion, or both, all minimised by the same energy."""

from __future__ import annotations

from dataclasses import replace

import torch

from diffx.noise import derive

from .config import SearchConfig
from .diffusion import drawn_poses
from .ligand import Ligand
from .maps import Known
from .pocket import Box
from .receptor import Receptor
from .score import ScoreNetwork
from .search import Found, pose_energy, random_starts, refined


def poses_in(
    box: Box,
    receptor: Receptor,
    ligand: Ligand,
    options: SearchConfig,
    network: ScoreNetwork | None = None,
    seed: int = 0,
    known: Known | None = None,
) -> Found:
    """Minimised poses of a ligand in a box; the same seed gives the same poses.

    Args:
        box: to search.
        receptor: whole, or all of it within 8 Å of the box.
        ligand: to dock.
        options: ``guidance`` says where poses come from.
        network: of scores; needed unless they come from the energy alone.
        seed: of the starts and the walks.
        known: maps of this receptor and box that were made before.
    """
    energy, parts = pose_energy(receptor, ligand, box, known), []
    if options.guidance != "network":
        parts.append(random_starts(energy, ligand, box, options, seed))
    if options.guidance != "energy":
        assert network is not None, "the reverse diffusion needs a network"
        seeds = [derive(seed, "walk", k) for k in range(options.draws)]
        pose = drawn_poses(network, receptor, ligand, box, seeds, options.walk)
        parts.append(refined(energy, ligand, pose, replace(options, keep=0)))
    positions, energies = torch.cat([part.positions for part in parts]), torch.cat([part.energies for part in parts])
    drawn = torch.arange(len(energies)) >= len(parts[0].energies) if len(parts) > 1 else None
    return Found(positions, energies, drawn=drawn)
