"""Receptors from PDB and mmCIF files: heavy atoms, their Vina types, and the residues they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from diffx.errors import DataError

from .atoms import Types, typed
from .residues import ALIASES, STANDARD, WATERS, gives, polar, takes

_BOND = 0.45  # Å beyond the sum of covalent radii at which two atoms still count as bonded
_CARBONYL = 1.30  # Å: a shorter C-O is a double bond and has no hydrogen


@dataclass(frozen=True)
class Receptor:
    """Heavy atoms of a receptor.

    positions float64 [n, 3] in Å; types; names, such as "CA", and residues, such as "A:HIS45", of each atom [n];
    notes: what was left out or chosen, in words.
    """

    positions: np.ndarray
    types: Types
    names: tuple[str, ...]
    residues: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.positions)

    def select(self, chosen: np.ndarray) -> Receptor:
        """The atoms at the indices, or where the mask is true."""
        kept = np.arange(len(self))[chosen]
        names, residues = (tuple(of[i] for i in kept) for of in (self.names, self.residues))
        return Receptor(self.positions[kept], self.types.select(kept), names, residues, self.notes)

    def near(self, points: np.ndarray, within: float) -> np.ndarray:
        """Mask [n] of the atoms at most `within` Å from any of the points [m, 3]."""
        low, high = points.min(0) - within, points.max(0) + within
        maybe = ((self.positions >= low) & (self.positions <= high)).all(1)
        gaps = np.linalg.norm(self.positions[maybe, None] - points[None], axis=-1)
        maybe[maybe] = (gaps <= within).any(1)
        return maybe

    def near_box(self, low: np.ndarray, high: np.ndarray, within: float) -> np.ndarray:
        """Mask [n] of the atoms at most `within` Å from a box with corners low and high [3]."""
        gap = np.maximum(np.maximum(low - self.positions, self.positions - high), 0.0)
        return np.linalg.norm(gap, axis=1) <= within

    def whole_residues(self, mask: np.ndarray) -> np.ndarray:
        """The mask widened to all atoms of the residues it touches."""
        touched = {self.residues[i] for i in np.flatnonzero(mask)}
        return np.array([residue in touched for residue in self.residues])


def read_receptor(path: str | Path, waters: bool = False) -> Receptor:
    """A PDB or mmCIF file, gzipped or not: first model, most occupied conformations, without hydrogens.

    Cofactors and metals are kept; waters only on request.

    Raises:
        DataError: no file, none of these formats, no atoms, backbone only.
    """
    path = Path(path)
    structure = _parsed(path)
    notes = []
    if len(structure) > 1:
        notes.append(f"{path.name} holds {len(structure)} models: the first is used")
    structure.remove_hydrogens()
    kept: list[tuple[str, str, gemmi.Residue, list[gemmi.Atom]]] = []
    for chain in structure[0]:
        for residue in chain:
            name = ALIASES.get(residue.name, residue.name)
            if residue.name in WATERS and not waters:
                continue
            label = f"{chain.name}:{residue.name}{residue.seqid}"
            kept.append((label, "HOH" if residue.name in WATERS else name, residue, _occupied(residue)))
    if not any(atoms for *_, atoms in kept):
        raise DataError(f"{path}: no atoms of a receptor in it")
    protein = [atoms for _, name, _, atoms in kept if name in STANDARD]
    if protein and all({a.name for a in atoms} <= {"N", "CA", "C", "O"} for atoms in protein) and len(protein) > 3:
        if all(len(atoms) == 1 for atoms in protein):
            raise DataError(f"{path}: only CA atoms; docking needs all heavy atoms")
        raise DataError(f"{path}: only backbone atoms; docking needs the side chains too")
    return _typed(kept, tuple(notes))


def _parsed(path: Path) -> gemmi.Structure:
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    try:
        structure = gemmi.read_structure(str(path))
    except (RuntimeError, ValueError, OSError) as error:
        raise DataError(f"{path}: not a PDB or mmCIF file ({str(error).splitlines()[0]})") from None
    if not len(structure):
        raise DataError(f"{path}: no atoms in it")
    return structure


def _occupied(residue: gemmi.Residue) -> list[gemmi.Atom]:
    """One atom a name: of alternate locations the most occupied, the first of equals."""
    groups: dict[str, float] = {}
    for atom in residue:
        if atom.altloc != "\0":
            groups[atom.altloc] = groups.get(atom.altloc, 0.0) + atom.occ
    best = max(groups, key=lambda key: groups[key]) if groups else "\0"
    chosen: dict[str, gemmi.Atom] = {}
    for atom in residue:
        if atom.name not in chosen or atom.altloc == best:
            chosen[atom.name] = atom
    return list(chosen.values())


def _typed(kept: list[tuple[str, str, gemmi.Residue, list[gemmi.Atom]]], notes: tuple[str, ...]) -> Receptor:
    positions, names, residues, elements, hetero, donor, acceptor = [], [], [], [], [], [], []
    for label, name, _, atoms in kept:
        points = np.array([atom.pos.tolist() for atom in atoms]).reshape(-1, 3)
        symbols = [atom.element.name for atom in atoms]
        if name in STANDARD or name == "HOH":
            facts = [(polar(name, a.name), gives(name, a.name), takes(name, a.name)) for a in atoms]
        else:
            facts = _perceived(symbols, points)
        for atom, point, symbol, (is_polar, is_donor, is_acceptor) in zip(atoms, points, symbols, facts, strict=True):
            positions.append(point)
            names.append(atom.name)
            residues.append(label)
            elements.append("Se" if symbol == "Se" else symbol)
            hetero.append(is_polar)
            donor.append(is_donor)
            acceptor.append(is_acceptor)
    elements = ["S" if e == "Se" else e for e in elements]  # selenomethionine is methionine
    types = typed(elements, hetero, donor, acceptor)
    return Receptor(np.array(positions), types, tuple(names), tuple(residues), notes)


def _perceived(symbols: list[str], points: np.ndarray) -> list[tuple[bool, bool, bool]]:
    """(polar, donor, acceptor) of the atoms of a cofactor or modified residue, by distances within it."""
    radii = np.array([gemmi.Element(s).covalent_r for s in symbols])
    gaps = np.linalg.norm(points[:, None] - points[None], axis=-1)
    bonded = (gaps < radii[:, None] + radii[None] + _BOND) & (gaps > 0.1)
    facts = []
    for i, symbol in enumerate(symbols):
        near = np.flatnonzero(bonded[i])
        hetero = any(symbols[j] != "C" for j in near)
        gives_one = takes_one = False
        if symbol == "O":
            takes_one = True
            gives_one = len(near) == 1 and symbols[near[0]] == "C" and bool(gaps[i, near[0]] > _CARBONYL)
        elif symbol == "N":
            gives_one = takes_one = len(near) <= 2
        facts.append((hetero, gives_one, takes_one))
    return facts
