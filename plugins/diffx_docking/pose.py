"""Poses: where a ligand is, how it is turned, and how its bonds are twisted - and atoms from them, both ways."""

from __future__ import annotations

from collections.abc import Mapping

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

    def internal(self, torsion: Tensor) -> Tensor:
        """The conformer with its bonds turned by torsion [B, m], centred: [B, n, 3]."""
        points = self.conformer.expand(len(torsion), *self.conformer.shape)
        for k, ((a, b), moved) in enumerate(zip(self.axes, self.moved, strict=True)):
            origin = points[:, b : b + 1]
            axis = torch.nn.functional.normalize(origin - points[:, a : a + 1], dim=-1)
            turned = origin + rotated(points[:, moved] - origin, axis, torsion[:, k, None, None])
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
        middle = positions.mean(1, keepdim=True)
        torque = torch.linalg.cross(positions - middle, force).sum(1)
        about = []
        total = force.sum(1)
        n = positions.shape[1]
        for (a, b), moved in zip(self.axes, self.moved, strict=True):
            axis = torch.nn.functional.normalize(positions[:, b] - positions[:, a], dim=-1)
            arms = positions[:, moved] - positions[:, b : b + 1]
            turning = torch.linalg.cross(arms, force[:, moved]).sum(1)
            # the middle moves with the atoms that turn, and is brought back
            shift = torch.linalg.cross(axis, arms.sum(1)) / n
            about.append((axis * turning).sum(-1) - (shift * total).sum(-1))
        twist = torch.stack(about, -1) if about else positions.new_zeros(len(positions), 0)
        return {"translation": total, "rotation": torque, "torsion": twist}

    def jacobian(self, positions: Tensor) -> Tensor:
        """How atoms at positions [B, n, 3] move with the pose: [B, n, 3, 6 + m], translation, rotation, torsions.

        :meth:`forces` is its transpose, applied.
        """
        batch, n, _ = positions.shape
        unit = torch.eye(3, dtype=positions.dtype, device=positions.device)
        arms = positions - positions.mean(1, keepdim=True)
        turned = torch.linalg.cross(unit.expand(batch, n, 3, 3), arms[:, :, None].expand(-1, -1, 3, -1))
        columns = [unit.expand(batch, n, 3, 3), turned.transpose(2, 3)]
        for (a, b), moved in zip(self.axes, self.moved, strict=True):
            axis = torch.nn.functional.normalize(positions[:, b] - positions[:, a], dim=-1)[:, None]
            arms, swing = positions[:, moved] - positions[:, b : b + 1], torch.zeros_like(positions)
            swing[:, moved] = torch.linalg.cross(axis.expand_as(arms), arms)
            columns.append((swing - swing.mean(1, keepdim=True))[..., None])
        return torch.cat(columns, -1)


def rotated(points: Tensor, axis: Tensor, angle: Tensor) -> Tensor:
    """Points [..., 3] turned by an angle about a unit axis through the origin (Rodrigues' formula)."""
    cos, sin = angle.cos(), angle.sin()
    axis = axis.expand_as(points)
    along = (axis * points).sum(-1, keepdim=True)
    return points * cos + torch.linalg.cross(axis, points) * sin + axis * along * (1 - cos)
