"""What the atoms of standard residues are to hydrogen bonds and hydrophobic contacts, by name.

Structures from crystals have no hydrogens, so donors follow from the residue's usual form at pH 7; a histidine's two
nitrogens may each give and take, since which of them carries the hydrogen cannot be seen.
"""

from __future__ import annotations

DONORS = {
    "ARG": {"NE", "NH1", "NH2"}, "ASN": {"ND2"}, "GLN": {"NE2"}, "HIS": {"ND1", "NE2"}, "LYS": {"NZ"}, "SER": {"OG"},
    "THR": {"OG1"}, "TRP": {"NE1"}, "TYR": {"OH"}, "HOH": {"O"},
}  # fmt: skip
POLAR_CARBONS = {  # beside a hetero atom, CA and C of the backbone apart
    "ARG": {"CD", "CZ"}, "ASN": {"CG"}, "ASP": {"CG"}, "CYS": {"CB"}, "GLN": {"CD"}, "GLU": {"CD"},
    "HIS": {"CG", "CD2", "CE1"}, "LYS": {"CE"}, "MET": {"CG", "CE"}, "PRO": {"CD"}, "SER": {"CB"}, "THR": {"CB"},
    "TRP": {"CD1", "CE2"}, "TYR": {"CZ"},
}  # fmt: skip
STANDARD = frozenset((
    "ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU", "GLY", "HIS", "ILE", "LEU", "LYS", "MET", "PHE", "PRO", "SER",
    "THR", "TRP", "TYR", "VAL",
))  # fmt: skip
ALIASES = {  # names that force fields and other programs give the same residues
    "HID": "HIS", "HIE": "HIS", "HIP": "HIS", "HSD": "HIS", "HSE": "HIS", "HSP": "HIS", "CYX": "CYS", "CYM": "CYS",
    "ASH": "ASP", "GLH": "GLU", "LYN": "LYS", "MSE": "MET",
}  # fmt: skip
WATERS = frozenset(("HOH", "WAT", "DOD", "H2O", "TIP", "TIP3", "SOL"))


def gives(residue: str, atom: str) -> bool:
    """Whether an atom of a standard residue has a hydrogen that it can donate."""
    return (atom == "N" and residue != "PRO") or atom in DONORS.get(residue, ())


def takes(residue: str, atom: str) -> bool:
    """Whether an atom of a standard residue accepts hydrogen bonds: every oxygen, and histidine's ring."""
    return atom.startswith("O") or (residue == "HIS" and atom in ("ND1", "NE2"))


def polar(residue: str, atom: str) -> bool:
    """Whether a carbon of a standard residue is bonded to a hetero atom."""
    return atom in ("C", "CA") or atom in POLAR_CARBONS.get(residue, ())
