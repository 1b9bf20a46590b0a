"""Pockets: from numbers, from a reference ligand, from residues; and the ones that are refused."""

from __future__ import annotations

import numpy as np
import pytest
from docking_samples import DATA, from_smiles, molecule, peptide
from rdkit import Chem

from diffx.errors import DataError, UsageError
from diffx_docking.pocket import pocket_box


def test_from_numbers() -> None:
    box = pocket_box("1,-2, 3.5", peptide())
    np.testing.assert_array_equal(box.centre, [1, -2, 3.5])
    np.testing.assert_array_equal(box.size, [25, 25, 25])
    np.testing.assert_array_equal(pocket_box("1,-2,3.5,18", peptide()).size, [18, 18, 18])
    assert box.holds(np.array([[13.0, -2, 3], [14, -2, 3]])).tolist() == [True, False]


def test_from_a_reference_ligand(tmp_path) -> None:
    positions = Chem.RemoveAllHs(molecule("serotonin")).GetConformer().GetPositions()
    box = pocket_box(DATA / "serotonin.sdf", peptide())
    np.testing.assert_allclose(box.low, positions.min(0) - 4)
    np.testing.assert_allclose(box.high, positions.max(0) + 4)
    flat = from_smiles("CCCO")
    for name, conformer in (("flat", True), ("none", False)):
        if conformer:
            Chem.rdDepictor.Compute2DCoords(flat)
        (tmp_path / f"{name}.sdf").write_text(Chem.MolToMolBlock(flat if conformer else from_smiles("CCCO")))
        with pytest.raises(DataError, match=f"{name}.sdf: the reference ligand"):
            pocket_box(tmp_path / f"{name}.sdf", peptide())
    with pytest.raises(DataError, match="no such file"):
        pocket_box(tmp_path / "absent.sdf", peptide())


def test_from_residues() -> None:
    receptor = peptide()
    there = np.array([number in ("A:2", "A:5") for number in receptor.numbers])
    for words in ("A:2,A:5", " A:5 , A:2 ", "2,A:5", "5,2"):
        box = pocket_box(words, receptor)
        np.testing.assert_allclose(box.low, receptor.positions[there].min(0) - 4)
        np.testing.assert_allclose(box.high, receptor.positions[there].max(0) + 4)


@pytest.mark.parametrize(
    "words, error, reason",
    [
        ("400,0,0", DataError, "0 atoms of the receptor within 8 Å of the box, so it lies outside"),
        ("nan,0,0", UsageError, "a pocket is"),
        ("0,0,0,0.5", UsageError, "from 4 to 60"),
        ("0,0,0,-20", UsageError, "from 4 to 60"),
        ("0,0,0,1000", UsageError, "from 4 to 60"),
        ("A:99", UsageError, r"no residue A:99; its chains are A \(1 to 7\)"),
        ("B:2", UsageError, "no residue B:2"),
        ("A:2,A:x", UsageError, "a pocket is"),
        ("somewhere", UsageError, "a pocket is"),
        ("0,0", UsageError, "no residue A:0"),
        ("", UsageError, "a pocket is"),
        ("0,0,0,20,20,20", UsageError, "no residue A:0"),
    ],
)
def test_what_is_refused(words, error, reason) -> None:
    with pytest.raises(error, match=reason) as caught:
        pocket_box(words, peptide())
    assert "\n" not in str(caught.value)
