"""Where to dock: a box from coordinates, a reference ligand or residues."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffx.errors import DataError, UsageError

from .ligand import read_ligands
from .receptor import Receptor

MARGIN = 4.0  # Å around a reference ligand or residues
SIZE = 25.0  # Å of a box of which only the centre is given
SMALLEST, LARGEST = 4.0, 60.0  # Å of an edge
FEWEST = 20  # atoms of the receptor within 8 Å of a box, below which there is nothing to dock to
_FORMS = "a pocket is x,y,z or x,y,z,size (Å), a file of a reference ligand, residues such as A:45,A:47, or blind"
_FILES = (".sdf", ".mol", ".mol2")


@dataclass(frozen=True)
class Box:
    """A box with edges along the axes: centre [3] and size [3] in Å."""

    centre: np.ndarray
    size: np.ndarray

    @classmethod
    def around(cls, points: np.ndarray, margin: float = MARGIN, least: float = 0.0) -> Box:
        """The box of points [n, 3] with a margin in Å on every side, no edge shorter than `least`."""
        low, high = points.min(0) - margin, points.max(0) + margin
        return cls((low + high) / 2, np.maximum(high - low, least))

    @property
    def low(self) -> np.ndarray:
        """The corner [3] of the smallest coordinates."""
        return self.centre - self.size / 2

    @property
    def high(self) -> np.ndarray:
        """The corner [3] of the largest coordinates."""
        return self.centre + self.size / 2

    def holds(self, points: np.ndarray) -> np.ndarray:
        """Whether each of the points [..., 3] lies inside."""
        return (np.abs(points - self.centre) <= self.size / 2).all(-1)


def pocket_box(pocket: str | Path, receptor: Receptor) -> Box:
    """The box that a user's words mean.

    Args:
        pocket: "x,y,z" or "x,y,z,size" in Å (25 Å without a size); a file .sdf, .mol or .mol2 of a ligand in the
            receptor's frame, whose box is widened by 4 Å on every side; or residues, "A:45,A:47" (chain and number,
            with insertion code if there is one; the chain may be left out where there is one only), widened likewise.
        receptor: what is docked to.

    Raises:
        UsageError: none of these, a residue that the receptor lacks, a size out of range.
        DataError: a file that cannot be read, a box with next to nothing of the receptor around it.
    """
    text = str(pocket).strip()
    if Path(text).suffix.lower() in _FILES:
        box = _of_ligand(Path(text))
    elif (numbers := _numbers(text)) is not None:
        box = _of_numbers(text, numbers)
    else:
        box = _of_residues(text, receptor)
    if (box.size > LARGEST).any():
        raise UsageError(f"pocket={text}: a box of {_size(box)} Å; edges are at most {LARGEST:g} Å")
    around = int(receptor.near_box(box.low, box.high, 8.0).sum())
    if around < FEWEST:
        where = ", ".join(f"{x:.1f}" for x in receptor.positions.mean(0))
        raise DataError(
            f"pocket={text}: {around} atoms of the receptor within 8 Å of the box, so it lies outside; "
            f"the receptor's middle is at {where}"
        )
    return box


def _of_ligand(path: Path) -> Box:
    first = read_ligands(path)[0][1]
    if isinstance(first, DataError):
        raise first
    if not first.GetNumConformers() or not np.ptp(positions := first.GetConformer().GetPositions(), axis=0).any():
        raise DataError(f"{path}: the reference ligand has no coordinates")
    if not first.GetConformer().Is3D() and not np.ptp(positions[:, 2]):
        raise DataError(f"{path}: the reference ligand is a drawing in two dimensions, not a pose")
    heavy = [atom.GetAtomicNum() > 1 for atom in first.GetAtoms()]
    return Box.around(positions[heavy])


def _numbers(text: str) -> list[float] | None:
    """The numbers of "x,y,z[,size]", None where the words are no such list."""
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        return None
    return numbers if len(numbers) in (3, 4) else None


def _of_numbers(text: str, numbers: list[float]) -> Box:
    if not np.isfinite(numbers).all():
        raise UsageError(f"pocket={text}: {_FORMS}")
    size = numbers[3] if len(numbers) == 4 else SIZE
    if not SMALLEST <= size <= LARGEST:
        raise UsageError(f"pocket={text}: the size is from {SMALLEST:g} to {LARGEST:g} Å, not {size:g}")
    return Box(np.array(numbers[:3]), np.full(3, size))


def _of_residues(text: str, receptor: Receptor) -> Box:
    chains = sorted({number.partition(":")[0] for number in receptor.numbers})
    known, chosen = set(receptor.numbers), set()
    for word in filter(None, (word.strip() for word in text.split(","))):
        chain, colon, number = word.rpartition(":")
        if not number.strip("-")[:1].isdigit():
            raise UsageError(f"pocket={text}: {_FORMS}")
        if not colon and len(chains) > 1:
            raise UsageError(f"pocket={text}: {word} of which chain ({', '.join(chains)})? Write {chains[0]}:{word}")
        wanted = f"{chain if colon else chains[0]}:{number}"
        if wanted not in known:
            raise UsageError(f"pocket={text}: the receptor has no residue {wanted}; {_spans(receptor)}")
        chosen.add(wanted)
    if not chosen:
        raise UsageError(f"pocket: {_FORMS}")
    return Box.around(receptor.positions[[number in chosen for number in receptor.numbers]])


def _spans(receptor: Receptor) -> str:
    """The chains, and from where to where each is numbered."""
    found: dict[str, list[str]] = {}
    for number in receptor.numbers:
        chain, _, rest = number.partition(":")
        found.setdefault(chain, []).append(rest)
    spans = (f"{chain or 'one without a name'} ({all_[0]} to {all_[-1]})" for chain, all_ in found.items())
    return "its chains are " + ", ".join(spans)


def _size(box: Box) -> str:
    return " x ".join(f"{edge:.0f}" for edge in box.size)
