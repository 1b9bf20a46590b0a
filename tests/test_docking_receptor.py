"""Receptors: what is read from PDB and mmCIF files, what is left out, and what is refused."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from docking_samples import DATA, atom, peptide

from diffx.errors import DataError
from diffx_docking.receptor import Receptor, read_receptor

SERINE = [("N", "N", (0, 0, 0)), ("CA", "C", (1.46, 0, 0)), ("C", "C", (2, 1.42, 0)), ("O", "O", (1.25, 2.39, 0)),
          ("CB", "C", (2, -0.77, -1.2)), ("OG", "O", (1.5, -2.1, -1.2))]  # fmt: skip


def serine(residue: str = "SER", chain: str = "A", number: int = 1, start: int = 1, shift: float = 0.0, **more) -> str:
    rows = [(n, e, (x + shift, y, z)) for n, e, (x, y, z) in SERINE]
    return "".join(atom(start + i, n, residue, chain, number, xyz, e, **more) for i, (n, e, xyz) in enumerate(rows))


def read(folder, text: str, **options) -> Receptor:
    file = folder / "p.pdb"
    file.write_text(text + "END\n")
    return read_receptor(file, **options)


def facts(receptor: Receptor, name: str) -> tuple[bool, bool, bool]:
    i = receptor.names.index(name)
    t = receptor.types
    return bool(t.hydrophobic[i]), bool(t.donor[i]), bool(t.acceptor[i])


def test_atoms_of_standard_residues() -> None:
    receptor = peptide()
    assert len(receptor) == 68 and receptor.residues[0] == "A:SER1" and receptor.numbers[-1] == "A:7"
    for name, wanted in {"OG": (0, 1, 1), "NZ": (0, 1, 0), "OD1": (0, 0, 1), "SD": (0, 0, 0), "OH": (0, 1, 1)}.items():
        assert facts(receptor, name) == tuple(map(bool, wanted)), name
    assert facts(receptor, "ND1") == (False, True, True)  # which of a histidine's nitrogens has the hydrogen is unknown
    assert facts(receptor, "CH2") == (True, False, False) and facts(receptor, "CA") == (False, False, False)


def test_of_alternate_locations_the_most_occupied(tmp_path) -> None:
    text = serine() + "".join(
        atom(10 + k, "CB", "SER", "A", 2, (9.0 + k, 0, 0), "C", altloc=letter, occupancy=share)
        for k, (letter, share) in enumerate((("A", 0.3), ("B", 0.7)))
    )
    receptor = read(tmp_path, text)
    assert len(receptor) == 7 and receptor.positions[-1, 0] == 10
    tie = text.replace("  0.30", "  0.50").replace("  0.70", "  0.50")
    assert read(tmp_path, tie).positions[-1, 0] == 9  # the first of equals


def test_of_two_residues_at_one_place_the_most_occupied(tmp_path) -> None:
    text = serine("SER", altloc="A", occupancy=0.4) + serine("THR", start=10, shift=0.2, altloc="B", occupancy=0.6)
    receptor = read(tmp_path, text)
    assert len(receptor) == 6 and set(receptor.residues) == {"A:THR1"}


def test_of_several_models_the_first_and_it_is_said(tmp_path) -> None:
    text = "".join(f"MODEL     {k:4d}\n{serine(shift=10.0 * k)}ENDMDL\n" for k in (1, 2, 3))
    receptor = read(tmp_path, text)
    assert len(receptor) == 6 and receptor.positions[0, 0] == 10
    assert receptor.notes == ("p.pdb holds 3 models: the first is used",)


def test_hydrogens_and_waters_are_left_out(tmp_path) -> None:
    text = serine() + atom(7, "HG", "SER", "A", 1, (1, -3, -1), "H") + atom(8, "D", "SER", "A", 1, (0, -1, 0), "D")
    for k, name in enumerate(("HOH", "WAT", "DOD")):
        text += atom(20 + k, "O", name, "A", 100 + k, (9, 9.0 * k, 9), "O", record="HETATM")
    text += atom(40, "X1", "UNX", "A", 200, (12, 12, 12), "X", record="HETATM")  # nor what is of no element
    assert len(read(tmp_path, text)) == 6
    kept = read(tmp_path, text, waters=True)
    assert len(kept) == 9 and kept.types.donor[6:].all() and kept.types.acceptor[6:].all()


@pytest.mark.parametrize("name", ["HID", "HIE", "HIP", "HSD"])
def test_histidine_by_any_name(tmp_path, name) -> None:
    text = (DATA / "peptide.pdb").read_text()
    receptor, plain = read(tmp_path, text.replace("HIS", name)), peptide()
    for field in ("radius", "hydrophobic", "donor", "acceptor"):
        np.testing.assert_array_equal(getattr(receptor.types, field), getattr(plain.types, field))
    assert f"A:{name}2" in receptor.residues


def test_selenomethionine_is_methionine(tmp_path) -> None:
    text = "".join(
        line.replace("MET", "MSE").replace(" SD ", "SE  ")[:76] + "SE\n"
        if " SD  MET" in line
        else line.replace("MET", "MSE")
        for line in (DATA / "peptide.pdb").read_text().splitlines(keepends=True)
    )
    receptor = read(tmp_path, text)
    assert receptor.types.elements == peptide().types.elements
    np.testing.assert_array_equal(receptor.types.radius, peptide().types.radius)


def test_metals_give_and_cofactors_are_perceived(tmp_path) -> None:
    text = serine() + atom(7, "ZN", "ZN", "A", 300, (5, 5, 5), "ZN", record="HETATM")
    # acetate and methanol, as a stranger might name them
    ligand = [
        ("C1", "C", (20, 0, 0)),
        ("C2", "C", (21.5, 0, 0)),
        ("O1", "O", (22.1, 1.1, 0)),
        ("O2", "O", (22.1, -1.1, 0)),
    ]
    alcohol = [("C9", "C", (30, 0, 0)), ("O9", "O", (31.43, 0, 0))]
    for k, (n, e, xyz) in enumerate(ligand + alcohol):
        text += atom(10 + k, n, "XYZ" if k < 4 else "MOH", "A", 301 if k < 4 else 302, xyz, e, record="HETATM")
    receptor = read(tmp_path, text)
    zinc = receptor.names.index("ZN")
    assert receptor.types.donor[zinc] and receptor.types.radius[zinc] == 1.2 and not receptor.types.acceptor[zinc]
    assert facts(receptor, "C1") == (True, False, False) and facts(receptor, "C2") == (False, False, False)
    assert facts(receptor, "O1") == (False, False, True) and facts(receptor, "O9") == (False, True, True)
    assert facts(receptor, "C9") == (False, False, False)


def test_mmcif_and_gzip_say_the_same_as_pdb(tmp_path) -> None:
    gemmi = pytest.importorskip("gemmi")
    structure = gemmi.read_structure(str(DATA / "peptide.pdb"))
    structure.setup_entities()
    structure.make_mmcif_document().write_file(str(tmp_path / "p.cif"))
    for name in ("p.pdb.gz", "p.cif.gz"):
        source = DATA / "peptide.pdb" if "pdb" in name else tmp_path / "p.cif"
        with gzip.open(tmp_path / name, "wb") as file:
            file.write(source.read_bytes())
    plain = peptide()
    for name in ("p.cif", "p.pdb.gz", "p.cif.gz"):
        again = read_receptor(tmp_path / name)
        np.testing.assert_allclose(again.positions, plain.positions, atol=1e-9)
        assert (again.names, again.residues, again.numbers) == (plain.names, plain.residues, plain.numbers)
        np.testing.assert_array_equal(again.types.donor, plain.types.donor)


def alpha(count: int, names: tuple[str, ...]) -> str:
    rows = [(n, e, xyz) for n, e, xyz in SERINE if n in names]
    return "".join(
        atom(4 * k + i, n, "ALA", "A", k, (x + 4 * k, y, z), e)
        for k in range(count)
        for i, (n, e, (x, y, z)) in enumerate(rows)
    )


@pytest.mark.parametrize(
    "content, reason",
    [
        (alpha(9, ("CA",)), "only CA atoms"),
        (alpha(9, ("N", "CA", "C", "O")), "only backbone atoms"),
        ("", "no atoms"),
        ("HEADER    NOTHING\nEND\n", "no atoms"),
        ("the quick brown fox\n" * 9, "no atoms"),
        (atom(1, "O", "HOH", "A", 1, (0, 0, 0), "O"), "no atoms of a receptor"),
        (atom(1, "H", "ALA", "A", 1, (0, 0, 0), "H"), "no atoms of a receptor"),
    ],
)
def test_what_is_no_receptor_is_refused_in_one_line(tmp_path, content, reason) -> None:
    file = tmp_path / "p.pdb"
    file.write_text(content)
    with pytest.raises(DataError, match=reason) as caught:
        read_receptor(file)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_receptor(tmp_path / "absent.pdb")
    with pytest.raises(DataError, match="no such file"):
        read_receptor(tmp_path)
    for name, content in (("p.cif", b"data_x\nloop_\n_a\n'"), ("p.pdb.gz", b"no gzip"), ("p.xyz", b"1\n\nC 0 0 0"),
                          ("q.pdb", bytes(range(256)) * 9), ("q.cif", b"")):  # fmt: skip
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError) as caught:
            read_receptor(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_near() -> None:
    receptor = peptide()
    point = receptor.positions[:1]
    gaps = np.linalg.norm(receptor.positions - point, axis=1)
    np.testing.assert_array_equal(receptor.near(point, 5.0), gaps <= 5.0)
    whole = receptor.whole_residues(receptor.near(point, 0.1))
    assert {receptor.residues[i] for i in np.flatnonzero(whole)} == {"A:SER1"} and whole.sum() == 6
    part = receptor.select(whole)
    assert part.names[-1] == "OG" and part.types.elements[-1] == "O"
