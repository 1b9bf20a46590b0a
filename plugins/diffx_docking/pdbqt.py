"""PDBQT, the file format of AutoDock: for running Vina beside diffx on the same atoms."""

from __future__ import annotations

import numpy as np

from .receptor import Receptor

_AUTODOCK = {"C": "C", "N": "N", "O": "OA", "S": "SA", "P": "P", "F": "F", "Cl": "Cl", "Br": "Br", "I": "I", "Si": "Si"}


def receptor_pdbqt(receptor: Receptor) -> str:
    """A rigid receptor whose atoms have in Vina the types they have here.

    Vina calls a nitrogen or oxygen a donor when a hydrogen is bonded to it; the structure has none, so one is put 1 Å
    from each donor. Vina does not score hydrogens: where they are makes no difference.
    """
    lines, serial = [], 0
    types = receptor.types
    for i, (point, name, residue) in enumerate(zip(receptor.positions, receptor.names, receptor.residues, strict=True)):
        element = types.elements[i]
        kind = _AUTODOCK.get(element, element)
        if element == "N" and types.acceptor[i]:
            kind = "NA"
        serial += 1
        lines.append(_line(serial, name, residue, point, kind))
        if types.donor[i] and element in ("N", "O"):
            serial += 1
            lines.append(_line(serial, "H", residue, _hydrogen(receptor, i), "HD"))
    return "\n".join(lines) + "\n"


def _hydrogen(receptor: Receptor, i: int) -> np.ndarray:
    """A point 1 Å from atom i, away from what lies around it, so that no other atom seems bonded to it."""
    point = receptor.positions[i]
    gaps = receptor.positions - point
    near = (np.abs(gaps) < 2.5).all(1)
    near[i] = False
    away = -(gaps[near] / np.maximum(np.linalg.norm(gaps[near], axis=1, keepdims=True), 1e-6) ** 3).sum(0)
    norm = np.linalg.norm(away)
    return point + (away / norm if norm > 1e-6 else np.array([0.0, 0.0, 1.0]))


def _line(serial: int, name: str, residue: str, point: np.ndarray, kind: str) -> str:
    chain, _, rest = residue.partition(":")
    x, y, z = point
    return (
        f"ATOM  {serial % 100000:5d} {name[:4]:<4s} {rest[:3]:>3s} {chain[:1] or 'A'}{serial % 10000:4d}    "
        f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00     0.000 {kind:<2s}"
    )
