"""Ligands: every form they come in, what is said about them, what is refused, and a conformer that knows no crystal."""

from __future__ import annotations

import numpy as np
import pytest
from docking_samples import DATA, DRUG, drug, from_smiles, molecule, posed, prepare, read_ligands
from rdkit import Chem
from rdkit.Chem import rdMolTransforms

from diffx.errors import DataError

CHIRAL_MOL2 = """@<TRIPOS>MOLECULE
{name}
5 4 0 0 0
SMALL
NO_CHARGES

@<TRIPOS>ATOM
1 C1 0.000 0.000 0.000 {carbon} 1 LIG 0.0
2 F1 {one} F 1 LIG 0.0
3 CL1 {other} Cl 1 LIG 0.0
4 BR1 -1.120 1.120 -1.120 Br 1 LIG 0.0
5 I1 -1.250 -1.250 1.250 I 1 LIG 0.0
@<TRIPOS>BOND
1 1 2 1
2 1 3 1
3 1 4 1
4 1 5 1
"""


def entries(file) -> list[tuple[str, bool]]:
    return [(name, isinstance(mol, Chem.Mol)) for name, mol in read_ligands(file)]


def test_an_sdf_with_a_bad_entry_keeps_the_others(tmp_path) -> None:
    good = (DATA / "serotonin.sdf").read_text()
    lines = good.splitlines(keepends=True)
    bad = "".join([*lines[:4], lines[4].replace(" N ", " Qx", 1), *lines[5:]])
    file = tmp_path / "three.sdf"
    file.write_text(good + bad + good.replace("serotonin", "", 1))
    assert entries(file) == [("serotonin", True), ("three-2", False), ("three-3", True)]
    error = read_ligands(file)[1][1]
    assert str(error) == f"{file}, entry 2: RDKit cannot read it"


def test_a_molfile_and_an_sdf_say_the_same(tmp_path) -> None:
    file = tmp_path / "one.mol"
    file.write_text((DATA / "serotonin.sdf").read_text().replace("$$$$\n", ""))
    ((name, mol),) = read_ligands(file)
    assert name == "serotonin" and Chem.MolToSmiles(mol) == Chem.MolToSmiles(molecule("serotonin"))


def test_mol2_with_several_molecules_and_their_stereo(tmp_path) -> None:
    file = tmp_path / "three.mol2"
    here, there = "0.900 0.900 0.900", "0.900 -0.900 -0.900"
    left = CHIRAL_MOL2.format(name="left", carbon="C.3", one=here, other=there)
    bad = CHIRAL_MOL2.format(name="bad", carbon="Qq", one=here, other=there)
    right = CHIRAL_MOL2.format(name="right", carbon="C.3", one=there, other=here)
    file.write_text(left + bad + right)
    assert entries(file) == [("left", True), ("bad", False), ("right", True)]
    found = [prepare(read_ligands(file)[i][1], "x").mol for i in (0, 2)]
    assert {Chem.MolToSmiles(mol) for mol in found} == {"F[C@](Cl)(Br)I", "F[C@@](Cl)(Br)I"}


def test_smi_with_names_comments_and_errors(tmp_path) -> None:
    file = tmp_path / "library.smi"
    file.write_text("# a comment\nCCO ethanol\n\nc1ccccc1\nC1CC not closed\nCC(=O)O acetic acid\n")
    assert entries(file) == [("ethanol", True), ("library-4", True), ("not closed", False), ("acetic acid", True)]
    (tmp_path / "latin.smi").write_bytes(b"\xef\xbb\xbfCCO caf\xe9\n")  # a byte-order mark, and a name that is no UTF-8
    assert [fine for _, fine in entries(tmp_path / "latin.smi")] == [True]
    assert str(read_ligands(file)[2][1]) == f"{file}, line 5: RDKit cannot read 'C1CC'"


@pytest.mark.parametrize(
    "name, content, reason",
    [
        ("absent.sdf", None, "no such file"), ("p.pdb", "x", "a ligand is a SMILES or a file"),
        ("empty.sdf", "", "no molecule in it"), ("empty.smi", "# nothing\n", "no molecule in it"),
        ("empty.mol2", "text\n", "no molecule in it"),
    ],
)  # fmt: skip
def test_files_without_ligands_are_refused(tmp_path, name, content, reason) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=reason) as caught:
        read_ligands(tmp_path / name)
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_garbage_entries_are_errors_of_their_own(tmp_path) -> None:
    (tmp_path / "garbage.sdf").write_text("the quick brown fox\n" * 20)
    assert not any(fine for _, fine in entries(tmp_path / "garbage.sdf"))


@pytest.mark.parametrize("text", ["C1CC", "", "   ", "not a molecule", "c1cccc1", "C(C)(C)(C)(C)(C)C"])
def test_a_bad_smiles_is_refused(text) -> None:
    with pytest.raises(DataError, match="RDKit cannot read this SMILES"):
        from_smiles(text)


def test_salts_are_docked_by_their_largest_part() -> None:
    ligand = drug("[Na+].CC(=O)[O-].NCCc1ccccc1.Cl")
    assert Chem.MolToSmiles(ligand.mol) == "NCCc1ccccc1"
    assert ligand.notes == ("4 parts: the largest, NCCc1ccccc1, is docked",)
    assert drug("CCCO").notes == ()


@pytest.mark.parametrize(
    "smiles, reason",
    [
        ("C[Hg]CCO", "Hg"), ("CC[Zn]CC", "Zn"), ("N[Pt](N)(Cl)Cl", "Pt"), ("CC[Ti](C)(C)C", "Ti"),
        ("CC[Al](CC)CC", "Al"),
        ("C" * 200, "200 heavy atoms; at most 150"), ("[H][H]", "no heavy atom"), ("*CCO", "without an element"),
    ],
)  # fmt: skip
def test_what_cannot_be_docked_is_refused(smiles, reason) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        drug(smiles)
    assert str(caught.value).startswith("drug: ") and "\n" not in str(caught.value)


def test_macrocycles_are_noted() -> None:
    assert "macrocycle" in drug("O=C1CCCCCCCCCCCN1").notes[0]
    assert drug("C1CCCCCCC1CCO").notes == ()


def test_hydrogen_isotopes_are_hydrogens() -> None:
    ligand = drug("[2H]C([2H])([2H])OCCc1ccccc1")
    assert len(ligand) == len(ligand.types) == len(ligand.mol.GetAtoms()) == 10


def test_the_conformer_depends_on_the_seed_alone() -> None:
    one, same, other = drug(seed=1), drug(seed=1), drug(seed=2)
    np.testing.assert_array_equal(one.positions, same.positions)
    assert np.abs(one.positions - other.positions).max() > 0.1
    np.testing.assert_allclose(one.positions.mean(0), 0, atol=1e-9)
    np.testing.assert_array_equal(one.mol.GetConformer().GetPositions(), one.positions)


@pytest.mark.parametrize("name", ["serotonin", "chlorocarb", "benzamidine"])
def test_the_conformer_knows_nothing_of_the_files_coordinates(name) -> None:
    """Turned, moved, twisted and mirrored input: the same conformer."""
    mol = molecule(name)
    plain = prepare(mol, name)
    turn = np.eye(4)
    turn[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    turn[:3, 3] = [11, -7, 3]
    mirror = np.diag([-1.0, 1, 1, 1])
    for change in (turn, mirror):
        moved = Chem.Mol(mol)
        rdMolTransforms.TransformConformer(moved.GetConformer(), change)
        np.testing.assert_array_equal(prepare(moved, name).positions, plain.positions)
    assert np.abs(plain.positions - posed(name).positions).max() > 1


def test_stereo_of_a_file_is_kept(tmp_path) -> None:
    ligand = drug()
    Chem.MolToMolFile(ligand.mol, str(tmp_path / "drug.sdf"))
    again = prepare(read_ligands(tmp_path / "drug.sdf")[0][1], "again", 5)
    assert Chem.MolToSmiles(again.mol) == Chem.CanonSmiles(DRUG)


def test_what_vina_does_not_know_is_no_metal() -> None:
    for smiles, element in (("OB(O)c1ccccc1", "B"), ("C[Se]CCC(N)C(=O)O", "Se"), ("C[Si](C)(C)CCO", "Si")):
        types = drug(smiles).types
        i = types.elements.index(element)
        assert types.radius[i] >= 1.9 and not types.donor[i] and not types.acceptor[i]


def test_types_and_rotors() -> None:
    ligand = drug("NCCc1c[nH]c2ccc(O)cc12")  # serotonin
    elements = np.array(ligand.types.elements)
    assert ligand.types.donor[elements == "N"].all() and ligand.types.donor[elements == "O"].all()
    amine, pyrrole = np.flatnonzero(elements == "N")
    assert ligand.types.acceptor[amine] and not ligand.types.acceptor[pyrrole]
    assert ligand.rotors == 3.0  # the chain's two bonds, and half each of the terminal NH2 and OH
    assert drug("c1ccccc1").rotors == 0 and drug("CC(C)(C)C").rotors == 0
    for charged, accepts in (("C[NH3+]", False), ("CN", True), ("c1ccncc1", True), ("CC(=O)NC", False)):
        types = drug(charged).types
        assert types.acceptor[types.elements.index("N")] == accepts, charged
