"""Poses in their pocket, in three dimensions: a page that works offline (3Dmol.js, Rego and Koes 2015)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np
from rdkit import Chem

from .hbonds import hydrogen_bonds
from .receptor import Receptor
from .result import Docking, Pose
from .validity import failed

NEAR = 5.0  # Å from the ligand within which residues are drawn
MOST = 10  # poses of a ligand that can be clicked through
HEIGHT = 560  # CSS pixels


def page(dockings: Sequence[Docking], truths: Sequence[Chem.Mol | None] | None = None) -> str:
    """The page of some dockings, with the reference poses where they are known."""
    from jinja2 import Environment, StrictUndefined

    known = truths or [None] * len(dockings)
    data = [_complex(docking, truth) for docking, truth in zip(dockings, known, strict=True)]
    folder = resources.files(__package__ or "")
    source = folder.joinpath("viewer.html.j2").read_text(encoding="utf-8")
    library = folder.joinpath("vendor/3Dmol-min.js").read_text(encoding="utf-8")
    engine = Environment(autoescape=True, undefined=StrictUndefined)
    text = json.dumps(data).replace("</", "<\\/")
    return engine.from_string(source).render(
        title="Poses", library=library.replace("</script", "<\\/script"), data=text
    )


def _complex(docking: Docking, truth: Chem.Mol | None) -> dict[str, Any]:
    poses = docking.poses[:MOST]
    near = np.zeros(len(docking.receptor), bool)
    for pose in poses:
        near |= docking.receptor.near(pose.positions, NEAR + 3)
    pocket = docking.receptor.select(docking.receptor.whole_residues(near))
    return {
        "name": docking.name,
        "pocket": pocket_pdb(pocket),
        "truth": Chem.MolToMolBlock(Chem.RemoveHs(truth)) if truth is not None else None,
        "poses": [_pose(docking, pose, pocket) for pose in poses],
    }


def _pose(docking: Docking, pose: Pose, pocket: Receptor) -> dict[str, Any]:
    bonds = hydrogen_bonds(docking.ligand, pose.positions, pocket)
    beside = pocket.near(pose.positions, NEAR)
    labels = list(dict.fromkeys(pocket.residues[i] for i in np.flatnonzero(beside)))
    return {
        "rank": pose.rank,
        "confidence": pose.confidence,
        "energy": pose.energy,
        "rmsd": pose.rmsd,
        "valid": pose.valid,
        "failed": failed(pose.checks),
        "sdf": Chem.MolToMolBlock(docking.molecule(pose, hydrogens=False)),
        "near": [_residue(pocket, label) for label in labels],
        "bonds": [
            {
                "start": _point(b.start),
                "end": _point(b.end),
                "label": f"{docking.ligand.types.elements[b.ligand]}{b.ligand + 1} – "
                f"{pocket.residues[b.receptor]} {pocket.names[b.receptor]}, {b.length:.1f} Å",
            }
            for b in bonds
        ],
    }


def _residue(pocket: Receptor, label: str) -> dict[str, Any]:
    own = [i for i, residue in enumerate(pocket.residues) if residue == label]
    chain, _, rest = pocket.numbers[own[0]].partition(":")
    at = next((i for i in own if pocket.names[i] == "CA"), own[0])
    digits = "".join(c for c in rest if c.isdigit() or c == "-")
    name = label.partition(":")[2]
    return {"chain": chain[:1], "number": int(digits), "label": name, "at": _point(pocket.positions[at])}


def _point(at: np.ndarray) -> dict[str, float]:
    return dict(zip("xyz", (round(float(v), 3) for v in at), strict=True))


def pocket_pdb(pocket: Receptor) -> str:
    """Atoms of a receptor as PDB, to be looked at: what is no standard residue as HETATM."""
    from .residues import ALIASES, STANDARD

    lines = []
    for i, (point, name, residue, number) in enumerate(
        zip(pocket.positions, pocket.names, pocket.residues, pocket.numbers, strict=True)
    ):
        chain, _, rest = number.partition(":")
        kind = residue.partition(":")[2].removesuffix(rest)
        record = "ATOM  " if ALIASES.get(kind, kind) in STANDARD else "HETATM"
        insertion = rest[-1] if rest and rest[-1].isalpha() else " "
        element = pocket.types.elements[i]
        atom = name[:4] if len(name) > 3 or len(element) > 1 else f" {name}"
        x, y, z = point
        lines.append(
            f"{record}{(i + 1) % 100000:5d} {atom:<4s} {kind[:3]:>3s} {chain[:1] or 'A'}{rest.rstrip(insertion):>4s}"
            f"{insertion}   {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {element.upper():>2s}"
        )
    return "\n".join([*lines, "END"]) + "\n"
