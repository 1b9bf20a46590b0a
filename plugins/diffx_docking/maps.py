"""A receptor's energy on a grid, one map for each kind of ligand atom, so that a pose costs a look-up an atom."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .atoms import Types
from .pocket import Box
from .receptor import Receptor
from .vina import CUTOFF, Pairing

SPACING = 0.375  # Å, AutoDock's
_FINE = 128  # entries of a table a squared Å
_WALL = 10.0  # kcal/mol/Å^2 outside the box


Known = dict[tuple[float, ...], Tensor]  # what an atom is to Vina -> its map, flat


class Maps:
    """Energy of single atoms anywhere in a box, and the force on them, by trilinear interpolation.

    Args:
        receptor: whole, or all of it within 8 Å of the box.
        types: of the atoms to be looked up; those that score alike share a map.
        box: where they may be. Outside, an atom has the energy of the nearest point inside and a wall that rises with
            the square of the distance.
        spacing: between the points of the grid, Å.
        known: maps of the same receptor, box and spacing that were made before; new ones are added to it.
    """

    def __init__(
        self, receptor: Receptor, types: Types, box: Box, spacing: float = SPACING, known: Known | None = None
    ):
        kinds = types.kinds
        self.kind = torch.as_tensor(kinds)
        shape = np.ceil(box.size / spacing).astype(int) + 1
        self.origin = box.centre - (shape - 1) * spacing / 2
        self.shape, self.spacing = tuple(int(n) for n in shape), spacing
        first = np.array([int(np.flatnonzero(kinds == k)[0]) for k in range(kinds.max() + 1)])
        known = {} if known is None else known
        keys = [types.key(i) for i in first]
        if new := [i for i, key in zip(first, keys, strict=True) if key not in known]:
            near = receptor.near_box(self.origin, self.origin + (shape - 1) * spacing, CUTOFF)
            made = _filled(receptor.select(near), types.select(np.array(new)), self.origin, self.shape, spacing)
            known.update(zip((types.key(i) for i in new), made.view(len(new), -1), strict=True))
        self.values = torch.cat([known[key] for key in keys])
        self._origin = torch.as_tensor(self.origin, dtype=torch.float32)
        strides = (self.shape[1] * self.shape[2], self.shape[2], 1)
        self._strides = torch.tensor(strides)
        self._size = int(np.prod(self.shape))
        self._last = torch.tensor(self.shape) - 1

    def energy_and_force(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Energies [B] in kcal/mol and forces [B, n, 3] in kcal/mol/Å of atoms at positions [B, n, 3]."""
        place = (positions - self._origin) / self.spacing
        inside = torch.minimum(place.clamp_min(0.0), self._last.to(place))
        low = torch.minimum(inside.floor().long(), self._last - 1)
        f = inside - low
        flat = (low * self._strides).sum(-1) + self.kind * self._size
        sx, sy, _ = self._strides.tolist()
        values = self.values
        c = [values[flat + dx * sx + dy * sy + dz] for dx in (0, 1) for dy in (0, 1) for dz in (0, 1)]
        x, y, z = f.unbind(-1)
        z0 = [c[k] + z * (c[k + 1] - c[k]) for k in (0, 2, 4, 6)]  # along z, then y, then x
        y0, y1 = z0[0] + y * (z0[1] - z0[0]), z0[2] + y * (z0[3] - z0[2])
        energy = y0 + x * (y1 - y0)
        by_x = y1 - y0
        by_y = (z0[1] - z0[0]) + x * ((z0[3] - z0[2]) - (z0[1] - z0[0]))
        dz = [c[k + 1] - c[k] for k in (0, 2, 4, 6)]
        near, far = dz[0] + y * (dz[1] - dz[0]), dz[2] + y * (dz[3] - dz[2])
        by_z = near + x * (far - near)
        beyond = (place - inside) * self.spacing
        free = beyond == 0
        force = -torch.stack([by_x, by_y, by_z], -1) / self.spacing * free - 2 * _WALL * beyond
        return (energy + _WALL * beyond.square().sum(-1)).sum(-1), force


def _filled(receptor: Receptor, kinds: Types, origin: np.ndarray, shape: tuple[int, ...], spacing: float) -> Tensor:
    """Sums over the receptor's atoms, [K * X * Y * Z]; an atom adds to the points within 8 Å of it."""
    squared = torch.arange(int(CUTOFF**2 * _FINE) + 1, dtype=torch.float64) / _FINE
    receptor_kinds = receptor.types.kinds
    tables = {}
    for kind in np.unique(receptor_kinds):
        pairing = Pairing(kinds, receptor.types.select(np.flatnonzero(receptor_kinds == kind)[:1]), torch.float64)
        tables[kind] = pairing.energy(squared.sqrt()[:, None, None])[..., 0].T.float().contiguous()  # [K, entries]
    values = torch.zeros(len(kinds), *shape)
    axes = [torch.as_tensor(origin[d] + spacing * np.arange(shape[d]), dtype=torch.float32) for d in range(3)]
    for point, kind in zip(receptor.positions, receptor_kinds, strict=True):
        cuts, gaps = [], []
        for d in range(3):
            start = max(0, int(np.ceil((point[d] - CUTOFF - origin[d]) / spacing)))
            stop = min(shape[d], int(np.floor((point[d] + CUTOFF - origin[d]) / spacing)) + 1)
            cuts.append(slice(start, stop))
            gaps.append((axes[d][start:stop] - float(point[d])).square())
        index = gaps[0][:, None, None] + gaps[1][None, :, None] + gaps[2][None, None]
        index = index.mul_(_FINE).round_().clamp_(max=squared.numel() - 1).int()
        values[(slice(None), *cuts)] += tables[kind][:, index]
    return values.flatten()
