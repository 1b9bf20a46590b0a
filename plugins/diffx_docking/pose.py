"""Poses: where a ligand is, how it is turned, and how its bonds are twisted - and atoms from them, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy

import torch
from torch import Tensor

from .ligand import Ligand


class Body:
    """A ligand as a body with joints: positions from poses, and forces on atoms to forces on poses.

    A pose is {"translation": [B, 3] in Å, "rotation": matrices [B, 3, 3], "torsion": [B, m] in radians, turned from the
    conformer's}. Its positions are R (c - mean(c)) + translation, where c is the conformer with its bonds turned: a
    torsion never moves the middle of the molecule.

    Args:
        ligand: of n atoms with m torsions.
        dtype: of the positions.
    """

    def __init__(self, ligand: Ligand, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"):
        self.conformer = torch.as_tensor(ligand.positions, dtype=dtype, device=device)
        self.axes = [(t.a, t.b) for t in ligand.torsions]
        self.moved = [torch.as_tensor(t.moved.nonzero()[0], device=device) for t in ligand.torsions]
        self._ends = torch.tensor(self.axes, dtype=torch.long, device=device).view(-1, 2)  # of the bonds
        self._turns = torch.zeros(len(self.axes), len(ligand), dtype=dtype, device=device)  # 1 where an atom is moved
        for row, moved in zip(self._turns, self.moved, strict=True):
            row[moved] = 1

    def at(self, positions: Tensor) -> Body:
        """A body for as many poses as there are in positions [B, n, 3]: each is its own conformer."""
        other = copy(self)
        other.conformer = positions
        return other

    def internal(self, torsion: Tensor) -> Tensor:
        """The conformer with its bonds turned by torsion [B, m], centred: [B, n, 3]."""
        points = self.conformer.expand(len(torsion), *self.conformer.shape[-2:])
        unit = torch.eye(3, dtype=points.dtype, device=points.device)
        for k, ((a, b), moved) in enumerate(zip(self.axes, self.moved, strict=True)):
            origin = points[:, b : b + 1]
            axis = torch.nn.functional.normalize(origin - points[:, a : a + 1], dim=-1)
            turn = rotated(unit.expand(len(points), 3, 3), axis, torsion[:, k, None, None])
            turned = torch.baddbmm(origin, points.index_select(1, moved) - origin, turn)
            points = points.index_copy(1, moved, turned)
        return points - points.mean(1, keepdim=True)

    def positions(self, pose: Mapping[str, Tensor]) -> Tensor:
        """Positions [B, n, 3] in Å."""
        return self.internal(pose["torsion"]) @ pose["rotation"].transpose(-1, -2) + pose["translation"][:, None]

    def forces(self, positions: Tensor, force: Tensor) -> dict[str, Tensor]:
        """Forces on atoms, [B, n, 3], as forces on the pose: tangent vectors of translation, rotation, torsion.

        Exact: the gradient of an energy in each, where `force` is its negative gradient at `positions`. The rotation's
        is a torque about the middle, in the world's frame; a torsion's leaves the middle where it is.
        """
        arms, total, n = positions - positions.mean(1, keepdim=True), force.sum(1), positions.shape[1]
        torques = torch.linalg.cross(arms, force)
        axis, ends = self._bonds(arms)
        about, pushed, reach = (self._turns @ torch.cat([torques, force, arms], -1)).split(3, -1)
        turning = about - torch.linalg.cross(ends, pushed)
        # the middle moves with the atoms that turn, and is brought back
        shift = torch.linalg.cross(axis, reach - self._turns.sum(1, keepdim=True) * ends) / n
        twist = (axis * turning).sum(-1) - (shift * total[:, None]).sum(-1)
        return {"translation": total, "rotation": torques.sum(1), "torsion": twist}

    def jacobian(self, positions: Tensor) -> Tensor:
        """How atoms at positions [B, n, 3] move with the pose: [B, n, 3, 6 + m], translation, rotation, torsions.

        :meth:`forces` is its transpose, applied.
        """
        batch, n, _ = positions.shape
        unit = torch.eye(3, dtype=positions.dtype, device=positions.device)
        arms = positions - positions.mean(1, keepdim=True)
        turned = torch.linalg.cross(unit.expand(batch, n, 3, 3), arms[:, :, None].expand(-1, -1, 3, -1))
        axis, ends = self._bonds(arms)
        reach = arms[:, :, None] - ends[:, None]
        swing = torch.linalg.cross(axis[:, None].expand_as(reach), reach) * self._turns.T[..., None]
        swing = swing - swing.mean(1, keepdim=True)
        return torch.cat([unit.expand(batch, n, 3, 3), turned.transpose(2, 3), swing.transpose(2, 3)], -1)

    def _bonds(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Unit vectors along the bonds that turn, and where they end: [B, m, 3] each."""
        start, end = positions[:, self._ends[:, 0]], positions[:, self._ends[:, 1]]
        return torch.nn.functional.normalize(end - start, dim=-1), end


def rotated(points: Tensor, axis: Tensor, angle: Tensor) -> Tensor:
    """Points [..., 3] turned by an angle about a unit axis through the origin (Rodrigues' formula)."""
    cos, sin = angle.cos(), angle.sin()
    axis = axis.expand_as(points)
    along = (axis * points).sum(-1, keepdim=True)
    return points * cos + torch.linalg.cross(axis, points) * sin + axis * along * (1 - cos)
