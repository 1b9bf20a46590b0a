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


@dataclass(frozen=True, repr=False)
class Receptor:
    """Heavy atoms of a receptor.

    positions float64 [n, 3] in Å; types; of each atom [n] its name, such as "CA", its residue, such as "A:HIS45", and
    the number of that, "A:45"; notes: what was left out or chosen, in words.
    """

    positions: np.ndarray
    types: Types
    names: tuple[str, ...]
    residues: tuple[str, ...]
    numbers: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.positions)

    def __repr__(self) -> str:
        return f"Receptor of {len(self)} atoms in {len(set(self.numbers))} residues"

    def select(self, chosen: np.ndarray) -> Receptor:
        """The atoms at the indices, or where the mask is true."""
        kept = np.arange(len(self))[chosen]
        names, residues, numbers = (tuple(of[i] for i in kept) for of in (self.names, self.residues, self.numbers))
        return Receptor(self.positions[kept], self.types.select(kept), names, residues, numbers, self.notes)

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
    kept: list[_Residue] = []
    for chain in structure[0]:
        for residue in _one_each(chain):
            water = residue.name in WATERS
            if water and not waters:
                continue
            kind = "HOH" if water else ALIASES.get(residue.name, residue.name)
            number = f"{chain.name}:{residue.seqid}"
            kept.append(_Residue(f"{chain.name}:{residue.name}{residue.seqid}", number, kind, _occupied(residue)))
    if not any(residue.atoms for residue in kept):
        raise DataError(f"{path}: no atoms of a receptor in it")
    protein = [residue.atoms for residue in kept if residue.kind in STANDARD]
    if protein and all({a.name for a in atoms} <= {"N", "CA", "C", "O"} for atoms in protein) and len(protein) > 3:
        if all(len(atoms) == 1 for atoms in protein):
            raise DataError(f"{path}: only CA atoms; docking needs all heavy atoms")
        raise DataError(f"{path}: only backbone atoms; docking needs the side chains too")
    return _typed(kept, tuple(notes))


@dataclass(frozen=True)
class _Residue:
    label: str
    number: str
    kind: str
    atoms: list[gemmi.Atom]


def _one_each(chain: gemmi.Chain) -> list[gemmi.Residue]:
    """One residue a number: where two kinds share one (a point mutation in part of the crystal), the most occupied."""
    groups: dict[str, list[gemmi.Residue]] = {}
    for residue in chain:
        groups.setdefault(str(residue.seqid), []).append(residue)
    alternate = {n: all(a.altloc != "\0" for r in group for a in r) for n, group in groups.items() if len(group) > 1}
    chosen = []
    for number, group in groups.items():
        chosen += [max(group, key=lambda r: sum(a.occ for a in r) / len(r))] if alternate.get(number) else group
    return chosen


def _parsed(path: Path) -> gemmi.Structure:
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    try:
        structure = gemmi.read_structure(str(path))
    except (RuntimeError, ValueError, OSError, IndexError) as error:
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
        known = atom.element.atomic_number > 0  # of none are dummies, such as lone pairs
        if known and (atom.name not in chosen or atom.altloc == best):
            chosen[atom.name] = atom
    return list(chosen.values())


def _typed(kept: list[_Residue], notes: tuple[str, ...]) -> Receptor:
    positions, names, residues, numbers, elements, facts = [], [], [], [], [], []
    for residue in kept:
        points = np.array([atom.pos.tolist() for atom in residue.atoms]).reshape(-1, 3)
        symbols = [atom.element.name for atom in residue.atoms]
        if residue.kind in STANDARD or residue.kind == "HOH":
            own = [tuple(rule(residue.kind, a.name) for rule in (polar, gives, takes)) for a in residue.atoms]
        else:
            own = _perceived(symbols, points)
        positions.append(points)
        facts += own
        elements += ["S" if symbol == "Se" else symbol for symbol in symbols]  # selenomethionine is methionine
        names += [atom.name for atom in residue.atoms]
        residues += [residue.label] * len(symbols)
        numbers += [residue.number] * len(symbols)
    types = typed(elements, *([fact[i] for fact in facts] for i in range(3)))
    return Receptor(np.concatenate(positions), types, tuple(names), tuple(residues), tuple(numbers), notes)


def _perceived(symbols: list[str], points: np.ndarray) -> list[tuple[bool, ...]]:
    """(polar, donor, acceptor) of the atoms of a cofactor or modified residue, by distances within it."""
    radii = np.array([gemmi.Element(s).covalent_r for s in symbols])
    gaps = np.linalg.norm(points[:, None] - points[None], axis=-1)
    bonded = (gaps < radii[:, None] + radii[None] + _BOND) & (gaps > 0.1)
    facts: list[tuple[bool, ...]] = []
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
