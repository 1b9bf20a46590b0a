"""Where a receptor has room for a ligand: the deepest places of its surface, for a search that is told no pocket.

A point is buried as deep as the share of directions that meet the receptor within 10 Å (after LIGSITE, Hendlich,
Rippmann and Barnickel 1997, with many directions in place of seven lines).
"""

from __future__ import annotations

import numpy as np
import torch

from diffx.errors import DataError

from .receptor import Receptor

CLOSE, FAR = 3.0, 6.0  # Å from the nearest atom: where a ligand's atom may be
REACH = 10.0  # Å that a direction is followed
DEEP = 0.6  # share of directions from which a point is in a cavity
_CELL = 1.5  # Å between the points that are looked at
_BODY = 1.8  # Å around an atom that a direction does not pass
_RADIUS = 5.0  # Å around a point over which depth is summed
_APART = 9.0  # Å between two places


def cavities(receptor: Receptor, most: int = 4) -> list[np.ndarray]:
    """Middles [3] in Å of at most ``most`` places, the deepest first.

    Raises:
        DataError: no place that is buried at all.
    """
    points = _free(receptor.positions)
    depth = _depth(receptor.positions, points)
    points, depth = points[depth > DEEP], depth[depth > DEEP] - 0.5
    near = [_within(part, points, _RADIUS) for part in np.array_split(points, max(1, len(points) // 1024))]
    weight = np.concatenate([mask @ depth for mask in near]) if len(points) else np.zeros(0)
    found: list[np.ndarray] = []
    for i in np.argsort(-weight, kind="stable"):
        mask = _within(points[i : i + 1], points, _RADIUS)[0]
        middle = np.average(points[mask], axis=0, weights=depth[mask])
        if all(np.linalg.norm(middle - other) > _APART for other in found):
            found.append(middle)
        if len(found) == most:
            break
    if not found:
        raise DataError("pocket=blind: the receptor has no cavity; say where to dock with pocket=x,y,z")
    return found


def _within(some: np.ndarray, points: np.ndarray, radius: float) -> np.ndarray:
    """Which of the points [k, 3] lie near each of some [j, 3]: [j, k]."""
    gaps = torch.cdist(torch.as_tensor(some, dtype=torch.float32), torch.as_tensor(points, dtype=torch.float32))
    return (gaps < radius).numpy()


def _free(atoms: np.ndarray) -> np.ndarray:
    """Points of a grid [k, 3] that are near the receptor, and not in it."""
    near, corner = _cells(atoms, FAR, _CELL)
    inside, _ = _cells(atoms, CLOSE, _CELL, FAR)
    return np.argwhere(near & ~inside) * _CELL + corner


def _depth(atoms: np.ndarray, points: np.ndarray, directions: int = 60) -> np.ndarray:
    """Share of the directions from each point that meet the receptor, [k]."""
    turn = np.pi * (3 - np.sqrt(5)) * np.arange(directions)  # a Fibonacci sphere
    z = 1 - (2 * np.arange(directions) + 1) / directions
    sphere = np.stack([np.sqrt(1 - z * z) * np.cos(turn), np.sqrt(1 - z * z) * np.sin(turn), z], 1)
    filled, corner = _cells(atoms, _BODY, 1.0)
    hit = np.zeros((len(points), directions), bool)
    for far in np.arange(2.0, REACH, 1.0):
        cell = np.round(points[:, None] + far * sphere - corner).astype(int)
        inside = ((cell >= 0) & (cell < filled.shape)).all(-1)
        cell = np.clip(cell, 0, np.array(filled.shape) - 1)
        hit |= filled[cell[..., 0], cell[..., 1], cell[..., 2]] & inside
    return hit.mean(1)


def _cells(atoms: np.ndarray, radius: float, edge: float, room: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Which cells of a grid lie within a radius of an atom, and the middle of its first cell.

    The grid holds all within the radius, or within ``room`` where that is larger.
    """
    reach, border = (int(np.ceil(max(radius, far) / edge)) for far in (0.0, room))
    corner = atoms.min(0) - edge * (border + 1)
    cell = np.round((atoms - corner) / edge).astype(int)
    filled = np.zeros(cell.max(0) + border + 2, bool)
    for offset in np.argwhere(np.ones((2 * reach + 1,) * 3)) - reach:
        if np.linalg.norm(offset) * edge <= radius:
            x, y, z = (cell + offset).T
            filled[x, y, z] = True
    return filled, corner
