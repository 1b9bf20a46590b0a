"""Known poses as the core's processes see them: translation, rotation and torsions of a fresh conformer."""

from __future__ import annotations

from typing import Any

import torch

from diffx.data import hold_out
from diffx.errors import DataError, UsageError

from .config import DockConfig
from .known import heavy_positions, known_complexes, read_known
from .ligand import prepare
from .match import match, numberings
from .process import shifted

_HELD_OUT = 0.1


class Poses:
    """The complexes of ``data.root``: each item is the pose of a fresh conformer that is nearest to the true one.

    The state is {"translation": [3] in Å from the middle of the pocket's box, "rotation": [3, 3], "torsion": [m]}.
    """

    def __init__(self, cfg: DockConfig, split: str):
        if not cfg.data.root:
            raise UsageError("data.root= says which folder of complexes (NAME/protein.pdb, NAME/ligand.sdf) to read")
        names = known_complexes(cfg.data.root)
        held = hold_out(names, _HELD_OUT, cfg.seed)
        self.root, self.seed = cfg.data.root, cfg.seed
        self.names = [name for name in names if (name in held) == (split != "train")]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> dict[str, Any]:
        ((name, known),) = read_known(self.root, [self.names[i]])
        if isinstance(known, DataError):
            raise known
        ligand = prepare(known.ligand, name, self.seed)
        order = numberings(ligand, known.truth)[0]
        pose, _ = match(ligand, heavy_positions(known.truth)[order], self.seed)
        state = {leaf: value[0].float() for leaf, value in pose.items()}
        return {"x": shifted(state, -torch.as_tensor(known.box.centre, dtype=torch.float32)), "name": name}
