"""What is to be docked where: complexes from options or from a table, ligands from a library one at a time."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from rdkit import Chem

from diffx.errors import DataError
from diffx.io.home import expanded

from .config import DockConfig
from .inputs import is_file, table_of
from .ligand import from_smiles, read_ligands

EXAMPLE = "example"  # folder of the package with a complex
_COLUMNS = ("complex_name", "protein_path", "ligand_description", "protein_sequence", "pocket")


@dataclass(frozen=True)
class Request:
    """A ligand (molecule, or why there is none) to dock into a pocket of a protein."""

    name: str
    protein: Path
    ligand: Chem.Mol | DataError
    pocket: str


def requests(cfg: DockConfig) -> list[Request]:
    """The complexes that ``task=dock`` is asked for; without any, the one that comes with the package.

    Raises:
        DataError: a table or ligand file that cannot be read at all.
    """
    if table := table_of(cfg):
        return list(_of_table(expanded(table), cfg))
    if not cfg.protein or not cfg.ligand:
        folder = Path(str(resources.files(__package__))) / EXAMPLE
        name, mol = read_ligands(folder / "ligand.sdf")[0]
        return [Request(name, folder / "protein.pdb.gz", mol, cfg.pocket or str(folder / "ligand.sdf"))]
    protein, pocket = expanded(cfg.protein), cfg.pocket or ""
    return [Request(name, protein, mol, pocket) for name, mol in ligands(cfg.ligand)]


def ligands(words: str) -> list[tuple[str, Chem.Mol | DataError]]:
    """(name, molecule or why there is none) of a SMILES or of all entries of a file."""
    if is_file(words):
        return read_ligands(expanded(words))
    try:
        return [("ligand", from_smiles(words))]
    except DataError as error:
        return [("ligand", error)]


class Library:
    """A library of any length, one molecule at a time: iterating gives (name, molecule or why there is none).

    SDF, SMILES and CSV files are never held whole, only counted first. A CSV needs a column ``smiles`` (or
    ``ligand_description``); ``name`` (or ``complex_name``, ``id``) is optional.

    Args:
        words: the file, or a SMILES.
    """

    def __init__(self, words: str):
        self.words, self.path = words, expanded(words)
        readers = {".csv": _library_table, ".sdf": _library_sdf, ".smi": _library_smiles, ".smiles": _library_smiles}
        self._reader = readers.get(self.path.suffix.lower())
        if self._reader and not self.path.is_file():
            raise DataError(f"{words}: there is no such file")

    def __len__(self) -> int:
        if self._reader is None:
            return len(ligands(self.words))
        if self.path.suffix.lower() == ".sdf":
            with open(self.path, "rb") as file:
                return max(1, sum(line.startswith(b"$$$$") for line in file))
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[tuple[str, Chem.Mol | DataError]]:
        return iter(ligands(self.words)) if self._reader is None else self._reader(self.path)


def _of_table(path: Path, cfg: DockConfig) -> Iterator[Request]:
    for number, row in _rows(path, ("ligand_description",)):
        name = row.get("complex_name") or f"complex-{number}"
        words, pocket = row["ligand_description"], row.get("pocket") or cfg.pocket or ""
        protein = row.get("protein_path") or cfg.protein or ""
        found: Chem.Mol | DataError
        if not protein:
            why = "a sequence alone cannot be docked to" if row.get("protein_sequence") else "no protein"
            found = DataError(f"{path}, line {number}: protein_path is empty: {why}")
        elif not pocket:
            found = DataError(f"{path}, line {number}: no pocket; add a column pocket, or give pocket=")
        else:
            found = _first(_beside(path, words) if is_file(words) else words)
        yield Request(name, _beside(path, protein), found, _pocket(path, pocket))


def _first(words: str | Path) -> Chem.Mol | DataError:
    try:
        return ligands(str(words))[0][1]
    except DataError as error:
        return error


def _beside(table: Path, name: str) -> Path:
    """A path of a table: as it stands, or beside the table where it is not there."""
    path = expanded(name)
    return path if path.is_absolute() or path.exists() else table.parent / path


def _pocket(table: Path, pocket: str) -> str:
    return str(_beside(table, pocket)) if is_file(pocket) else pocket


def _rows(path: Path, needed: tuple[str, ...]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, row) of a CSV whose header has the needed columns. A line with more fields than the header is refused."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file, skipinitialspace=True)
        header = [name.strip() for name in table.fieldnames or ()]
        if missing := [name for name in needed if name not in header]:
            raise DataError(f"{path}: no column {missing[0]!r} ({', '.join(_COLUMNS)}); it has {', '.join(header)}")
        table.fieldnames = header
        for row in table:
            if None in row:
                raise DataError(
                    f"{path}, line {table.line_num}: more fields than columns; a SMILES with a comma needs quotes"
                )
            yield table.line_num, {key: (value or "").strip() for key, value in row.items()}


def _library_table(path: Path) -> Iterator[tuple[str, Chem.Mol | DataError]]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        header = [name.strip().lower() for name in next(csv.reader(file, skipinitialspace=True), [])]
    column = next((name for name in ("smiles", "ligand_description") if name in header), None)
    if column is None:
        raise DataError(f"{path}: no column smiles; it has {', '.join(header)}")
    title = next((name for name in ("name", "complex_name", "id") if name in header), None)
    for number, row in _rows(path, ()):
        low = {key.lower(): value for key, value in row.items()}
        yield (low[title] if title else "") or f"{path.stem}-{number}", _molecule(low[column], f"{path}, line {number}")


def _library_smiles(path: Path) -> Iterator[tuple[str, Chem.Mol | DataError]]:
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            words = line.split(maxsplit=1)
            if words and not line.startswith("#"):
                name = words[1].strip() if len(words) > 1 else f"{path.stem}-{number}"
                yield name, _molecule(words[0], f"{path}, line {number}")


def _library_sdf(path: Path) -> Iterator[tuple[str, Chem.Mol | DataError]]:
    with open(path, "rb") as file:
        for number, mol in enumerate(Chem.ForwardSDMolSupplier(file, removeHs=False), start=1):
            name = mol.GetProp("_Name").strip() if mol is not None and mol.HasProp("_Name") else ""
            good = mol is not None and mol.GetNumAtoms()
            yield (
                name or f"{path.stem}-{number}",
                mol if good else DataError(f"{path}, entry {number}: RDKit cannot read it"),
            )


def _molecule(words: str, where: str) -> Chem.Mol | DataError:
    try:
        return from_smiles(words)
    except DataError:
        return DataError(f"{where}: RDKit cannot read {words!r}")
