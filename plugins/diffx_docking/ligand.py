"""Ligands: molecules in any of chemistry's usual forms, a fresh conformer, and the bonds about which it may turn."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rdkit import Chem, RDLogger
from rdkit.Chem import AllChem, rdDistGeom

from diffx.errors import DataError
from diffx.noise import derive

from .atoms import Types, ligand_types, metal

MOST_ATOMS = 150  # heavy ones; what is larger is a peptide or a polymer, which torsions alone do not fold
# Single bonds outside rings, between two atoms that each have another heavy neighbour and no triple bond.
_TURNS = Chem.MolFromSmarts("[!D1;!$([D2]#*)]-&!@[!D1;!$([D2]#*)]")
# Amides, amidines and thioamides keep the form of the conformer; where the nitrogen carries two different substituents,
# both forms occur, and the bond may turn (AutoDock's rule).
_AMIDE = Chem.MolFromSmarts("[NX3]-[CX3]=[O,N,SX1]")
_TERTIARY = Chem.MolFromSmarts("[NX3]([!#1])([!#1])-[CX3]=[O,N,SX1]")


@dataclass(frozen=True)
class Torsion:
    """A bond about which atoms turn: the atoms `moved` [n] (a mask), about the axis from atom `a` to atom `b`."""

    a: int
    b: int
    moved: np.ndarray


@dataclass(frozen=True, repr=False)
class Ligand:
    """A molecule of n heavy atoms ready to be docked.

    mol: RDKit molecule without hydrogens, with stereochemistry; its one conformer is `positions` float64 [n, 3] in Å.
    types: Vina's. torsions: from the centre of the molecule outwards, so that each moves what hangs on it.
    pairs: int [p, 2], atoms over three bonds apart whose distance some torsion changes.
    rotors: Vina's count of rotors, in which a terminal OH or NH2 counts one half. notes: what was changed, in words.
    """

    name: str
    mol: Chem.Mol
    positions: np.ndarray
    types: Types
    torsions: tuple[Torsion, ...]
    pairs: np.ndarray
    rotors: float
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.positions)

    def __repr__(self) -> str:
        return f"Ligand {self.name}: {Chem.MolToSmiles(self.mol)}, {len(self)} atoms, {len(self.torsions)} torsions"

    def posed(self, positions: np.ndarray) -> Chem.Mol:
        """The molecule with these positions [n, 3]."""
        mol = Chem.Mol(self.mol)
        conformer = mol.GetConformer()
        for i, point in enumerate(np.asarray(positions, dtype=float)):
            conformer.SetAtomPosition(i, point.tolist())
        return mol


def from_smiles(text: str, name: str = "") -> Chem.Mol:
    """The molecule of a SMILES. Raises DataError where RDKit cannot read it."""
    with _quiet():
        mol = Chem.MolFromSmiles(text.strip())
    if mol is None or not mol.GetNumAtoms():
        raise DataError(f"{name or text!r}: RDKit cannot read this SMILES")
    return mol


def read_ligands(path: str | Path) -> list[tuple[str, Chem.Mol | DataError]]:
    """(name, molecule) of each entry of an SDF, MOL, MOL2 or SMILES file; an error in place of one that is unreadable.

    Raises:
        DataError: no file, another format, no entry.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    readers = {".sdf": _sdf, ".mol": _sdf, ".mol2": _mol2, ".smi": _smi, ".smiles": _smi}
    if path.suffix.lower() not in readers:
        raise DataError(f"{path}: a ligand is a SMILES or a file .sdf, .mol, .mol2 or .smi")
    with _quiet():
        found = readers[path.suffix.lower()](path)
    if not found:
        raise DataError(f"{path}: no molecule in it")
    return found


def prepare(mol: Chem.Mol, name: str, seed: int = 0) -> Ligand:
    """A ligand with a fresh conformer, whatever coordinates the molecule came with.

    The largest part of a salt or a mixture is taken. The conformer is ETKDG's (Wang et al. 2020), relaxed by MMFF94
    where that knows the atoms; the same seed gives the same one.

    Raises:
        DataError: metals, too many atoms, no conformer.
    """
    mol, notes = _largest(mol, name)
    heavy = mol.GetNumHeavyAtoms()
    if any(a.GetAtomicNum() == 0 for a in mol.GetAtoms()):
        raise DataError(f"{name}: it has an atom without an element (*), an open end or a query; only molecules dock")
    if metals := sorted({a.GetSymbol() for a in mol.GetAtoms() if metal(a.GetSymbol())}):
        raise DataError(f"{name}: it holds {', '.join(metals)}; molecules with metals cannot be docked")
    if not heavy:
        raise DataError(f"{name}: no heavy atom in it")
    if heavy > MOST_ATOMS:
        raise DataError(f"{name}: {heavy} heavy atoms; at most {MOST_ATOMS} can be docked")
    if any(len(ring) > 9 for ring in mol.GetRingInfo().AtomRings()):
        notes.append("a macrocycle: its ring keeps the form of the conformer")
    full = _embedded(Chem.AddHs(mol), name, seed)
    return as_posed(full, name, tuple(notes), centred=True)


def as_posed(mol: Chem.Mol, name: str, notes: tuple[str, ...] = (), centred: bool = False) -> Ligand:
    """A ligand whose conformer is the molecule's own: to score a pose that is known, or to move on from it.

    Docking begins with :func:`prepare` instead, which looks at no coordinates.

    Args:
        mol: of one part, with a conformer; hydrogens explicit or not.
        centred: moved so that its middle is the origin.
    """
    bare = Chem.RemoveAllHs(mol)
    positions = bare.GetConformer().GetPositions()
    if centred:
        positions = positions - positions.mean(0)
    torsions = _torsions(bare, positions)
    types, pairs, rotors = ligand_types(mol), _pairs(bare, torsions), _rotors(mol)
    ligand = Ligand(name, bare, positions, types, torsions, pairs, rotors, notes)
    return replace(ligand, mol=ligand.posed(positions))


def _largest(mol: Chem.Mol, name: str) -> tuple[Chem.Mol, list[str]]:
    parts = Chem.GetMolFrags(mol, asMols=True)
    if len(parts) == 1:
        return Chem.RemoveAllHs(mol), []
    largest = Chem.RemoveAllHs(max(parts, key=lambda part: part.GetNumHeavyAtoms()))
    return largest, [f"{len(parts)} parts: the largest, {Chem.MolToSmiles(largest)}, is docked"]


def _embedded(mol: Chem.Mol, name: str, seed: int) -> Chem.Mol:
    """With the first conformer that is found, in ways that are slower and surer by turns."""
    for attempt, (scattered, small_rings) in enumerate(((False, True), (True, True), (True, False))):
        options = rdDistGeom.ETKDGv3()
        options.randomSeed = derive(seed, "conformer", attempt) % 2**31
        options.useSmallRingTorsions = small_rings
        options.useRandomCoords = scattered
        options.maxIterations = 1000 if scattered else 0
        with _quiet():
            try:
                found = rdDistGeom.EmbedMolecule(mol, options) >= 0
            except RuntimeError:  # RDKit's minimiser gives up with an invariant violation
                found = False
            if found:
                return _relaxed(mol)
    raise DataError(f"{name}: RDKit finds no conformer of it")


def _relaxed(mol: Chem.Mol) -> Chem.Mol:
    """By MMFF94 where that knows the atoms and comes to an end."""
    if not AllChem.MMFFHasAllMoleculeParams(mol):
        return mol
    relaxed = Chem.Mol(mol)
    try:
        AllChem.MMFFOptimizeMolecule(relaxed, maxIters=500)
    except RuntimeError:
        return mol
    return relaxed


def _torsions(mol: Chem.Mol, positions: np.ndarray) -> tuple[Torsion, ...]:
    """From the atom nearest the middle outwards, the larger part stays."""
    bonds = {frozenset(pair) for pair in mol.GetSubstructMatches(_TURNS, maxMatches=10_000)} - _stiff(mol)
    neighbours = [[n.GetIdx() for n in atom.GetNeighbors()] for atom in mol.GetAtoms()]
    root, order = int(np.linalg.norm(positions - positions.mean(0), axis=1).argmin()), []
    seen, queue = {root}, deque([root])
    while queue:
        here = queue.popleft()
        for there in neighbours[here]:
            if frozenset((here, there)) in bonds and there not in seen:
                order.append((here, there))
            if there not in seen:
                seen.add(there)
                queue.append(there)
    return tuple(Torsion(a, b, _beyond(neighbours, a, b)) for a, b in order)


def _stiff(mol: Chem.Mol) -> set[frozenset[int]]:
    """Bonds of amides that do not turn."""
    stiff = {frozenset(match[:2]) for match in mol.GetSubstructMatches(_AMIDE, maxMatches=10_000)}
    rank = list(Chem.CanonicalRankAtoms(mol, breakTies=False))
    for n, one, other, c, _ in mol.GetSubstructMatches(_TERTIARY, uniquify=False, maxMatches=10_000):
        if rank[one] != rank[other]:
            stiff.discard(frozenset((n, c)))
    return stiff


def _beyond(neighbours: list[list[int]], a: int, b: int) -> np.ndarray:
    """Atoms on b's side of the bond, b itself apart: it lies on the axis."""
    moved = np.zeros(len(neighbours), bool)
    queue = deque([b])
    seen = {a, b}
    while queue:
        for there in neighbours[queue.popleft()]:
            if there not in seen:
                seen.add(there)
                moved[there] = True
                queue.append(there)
    return moved


def _pairs(mol: Chem.Mol, torsions: tuple[Torsion, ...]) -> np.ndarray:
    apart = Chem.GetDistanceMatrix(mol) > 3
    moves = np.zeros_like(apart)
    for torsion in torsions:
        fixed = ~torsion.moved
        fixed[[torsion.a, torsion.b]] = False
        moves |= torsion.moved[:, None] & fixed[None]
    return np.argwhere(np.triu(apart & (moves | moves.T)))


def _rotors(mol: Chem.Mol) -> float:
    """Vina's number of rotors of a molecule with hydrogens: one half for each end that has further neighbours."""
    stiff, total = _stiff(mol), 0.0
    for bond in mol.GetBonds():
        ends = (bond.GetBeginAtom(), bond.GetEndAtom())
        single = bond.GetBondType() == Chem.BondType.SINGLE and not bond.IsInRing()
        if single and all(map(_turns, ends)) and frozenset(end.GetIdx() for end in ends) not in stiff:
            total += sum(0.5 for end in ends if _bare_degree(end) > 1)
    return total


def _turns(atom: Chem.Atom) -> bool:
    """Whether a bond to this atom can be a rotor: a lone atom turns nothing unless it carries a polar hydrogen."""
    if atom.GetAtomicNum() == 1 or any(b.GetBondType() == Chem.BondType.TRIPLE for b in atom.GetBonds()):
        return False
    return _bare_degree(atom) > 1 or (atom.GetAtomicNum() != 6 and atom.GetTotalNumHs(True) > 0)


def _bare_degree(atom: Chem.Atom) -> int:
    return sum(n.GetAtomicNum() > 1 for n in atom.GetNeighbors())


def _sdf(path: Path) -> list[tuple[str, Chem.Mol | DataError]]:
    found: list[tuple[str, Chem.Mol | DataError]] = []
    if not path.read_bytes().strip():
        return found
    for number, mol in enumerate(Chem.SDMolSupplier(str(path), removeHs=False), start=1):
        entry = path.stem if number == 1 else f"{path.stem}-{number}"
        if mol is None or not mol.GetNumAtoms():
            found.append((entry, DataError(f"{path}, entry {number}: RDKit cannot read it")))
        else:
            title = mol.GetProp("_Name").strip() if mol.HasProp("_Name") else ""
            found.append((title or entry, mol))
    return found


def _mol2(path: Path) -> list[tuple[str, Chem.Mol | DataError]]:
    blocks = path.read_text(encoding="utf-8", errors="replace").split("@<TRIPOS>MOLECULE")[1:]
    found: list[tuple[str, Chem.Mol | DataError]] = []
    for number, block in enumerate(blocks, start=1):
        name = block.strip().splitlines()[0].strip() if block.strip() else ""
        mol = Chem.MolFromMol2Block("@<TRIPOS>MOLECULE" + block, removeHs=False)
        entry = name or (path.stem if len(blocks) == 1 else f"{path.stem}-{number}")
        found.append((entry, mol or DataError(f"{path}, entry {number}: RDKit cannot read it")))
    return found


def _smi(path: Path) -> list[tuple[str, Chem.Mol | DataError]]:
    found: list[tuple[str, Chem.Mol | DataError]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
        words = line.split(maxsplit=1)
        if not words or line.startswith("#"):
            continue
        name = words[1].strip() if len(words) > 1 else f"{path.stem}-{number}"
        mol = Chem.MolFromSmiles(words[0])
        found.append((name, mol or DataError(f"{path}, line {number}: RDKit cannot read {words[0]!r}")))
    return found


class _quiet:
    """RDKit's own messages off: what is wrong is said once, by us."""

    def __enter__(self) -> None:
        RDLogger.DisableLog("rdApp.*")

    def __exit__(self, *_: object) -> None:
        RDLogger.EnableLog("rdApp.error")
