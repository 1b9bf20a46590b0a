"""Docking as a product: files, tables, screens that are killed, bad input, and what a pose keeps of its conformer."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rdkit")
pytest.importorskip("gemmi")

import torch
from rdkit import Chem

import diffx_docking
from diffx.errors import DataError, UsageError
from diffx_docking import Docker
from diffx_docking.cavities import cavities
from diffx_docking.confidence import Calibration
from diffx_docking.config import SearchConfig
from diffx_docking.families import families, folds
from diffx_docking.hbonds import hydrogen_bonds
from diffx_docking.inputs import check_inputs
from diffx_docking.known import with_rmsd
from diffx_docking.ligand import read_ligands
from diffx_docking.receptor import read_receptor
from diffx_docking.requests import EXAMPLE, Library, requests
from diffx_docking.training import ranking_loss
from diffx_docking.validity import failed, geometry_checks
from diffx_docking.viewer import page, pocket_pdb
from diffx_docking.write import write_docking

HOME = Path(diffx_docking.__file__).parent / EXAMPLE
PROTEIN, LIGAND = HOME / "protein.pdb.gz", HOME / "ligand.sdf"
FAST = SearchConfig(guidance="energy", starts=96, steps=40, candidates=20)


@pytest.fixture(scope="module")
def docker() -> Docker:
    return Docker(None, FAST)


@pytest.fixture(scope="module")
def docking(docker):
    found = docker.dock(PROTEIN, LIGAND, LIGAND, samples=20, checks="own")
    return with_rmsd(found, read_ligands(LIGAND)[0][1])


def options(**given):
    from diffx.config import resolve

    del resolve
    from diffx_docking.config import DockConfig

    cfg = DockConfig(plugin="docking", task=given.pop("task", "dock"))
    for name, value in given.items():
        group, _, key = name.partition("__")
        setattr(getattr(cfg, group) if key else cfg, key or group, value)
    return cfg


def test_the_built_in_complex_is_docked_right(docking):
    assert docking.poses[0].rmsd < 2.0, "a rigid inhibitor of DHFR: energy alone finds it"
    assert docking.poses[0].energy < -7 and docking.poses[0].valid
    assert [pose.rank for pose in docking.poses] == list(range(1, len(docking) + 1))


def test_every_pose_has_the_bonds_angles_and_stereo_of_its_conformer(docker):
    drug = "CC(C)Oc1ccc(cc1)C(=O)NC[C@H](O)CN1CCC[C@@H]1c1ccncc1"
    found = docker.dock(PROTEIN, drug, LIGAND, samples=20, checks="none")
    i, j = np.nonzero(np.triu(Chem.GetDistanceMatrix(found.ligand.mol) <= 2, 1))
    conformer = np.linalg.norm(found.ligand.positions[i] - found.ligand.positions[j], axis=1)
    for pose, mol in zip(found.poses, found, strict=True):
        np.testing.assert_allclose(np.linalg.norm(pose.positions[i] - pose.positions[j], axis=1), conformer, atol=2e-4)
        Chem.AssignStereochemistryFrom3D(mol)
        assert Chem.MolToSmiles(Chem.RemoveHs(mol)) == Chem.CanonSmiles(drug)


def test_the_same_seed_gives_the_same_poses_and_another_gives_others(docker):
    one, two, other = (docker.dock(PROTEIN, LIGAND, LIGAND, 3, seed, "none") for seed in (1, 1, 2))
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(one.poses, two.poses, strict=True))
    assert not np.array_equal(one.poses[0].positions, other.poses[0].positions)


def test_the_pose_of_the_input_is_not_looked_at(docker, tmp_path):
    """The ligand's coordinates, turned and moved, change nothing: poses come from a conformer made afresh."""
    mol = read_ligands(LIGAND)[0][1]
    moved = Chem.Mol(mol)
    points = moved.GetConformer().GetPositions() @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1.0]]) + 7
    for k, point in enumerate(points):
        moved.GetConformer().SetAtomPosition(k, point.tolist())
    middle = ",".join(f"{x:.4f}" for x in mol.GetConformer().GetPositions().mean(0)) + ",16"
    one, two = (docker.dock(PROTEIN, m, middle, 3, 0, "none") for m in (mol, moved))
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(one.poses, two.poses, strict=True))


def test_files_hold_what_the_table_says(docking, tmp_path):
    rows = write_docking(tmp_path / "a", docking)
    assert [row["rank"] for row in rows] == [str(k) for k in range(1, len(docking) + 1)]
    first = Chem.MolFromMolFile(str(tmp_path / "a/rank01.sdf"), removeHs=False)
    (same, *rest) = list(Chem.SDMolSupplier(str(tmp_path / "a/poses.sdf"), removeHs=False))
    assert len(rest) == len(docking) - 1
    assert same.GetProp("energy_kcal_mol") == rows[0]["energy_kcal_mol"] and same.GetProp("valid") == "true"
    heavy = Chem.RemoveHs(first).GetConformer().GetPositions()
    np.testing.assert_allclose(heavy, docking.poses[0].positions, atol=1e-4)
    assert any(a.GetAtomicNum() == 1 for a in first.GetAtoms()), "hydrogens are written"


def test_own_checks_find_a_clash_a_broken_bond_and_the_other_hand(docking):
    best, ligand, receptor, box = docking.poses[0], docking.ligand, docking.receptor, docking.box
    assert not failed(geometry_checks(ligand, receptor, box, best.positions))
    inside = best.positions - best.positions.mean(0) + receptor.positions[len(receptor) // 2]
    assert "no_clash_with_receptor" in failed(geometry_checks(ligand, receptor, box, inside))
    bent = best.positions.copy()
    bent[0] += 0.5
    assert "bonds_of_the_conformer" in failed(geometry_checks(ligand, receptor, box, bent))
    far = best.positions + 40.0
    assert failed(geometry_checks(ligand, receptor, box, far)) == ["middle_in_the_box"]


def test_the_mirror_image_fails_the_check_of_stereo(docker):
    found = docker.dock(PROTEIN, "C[C@H](N)C(=O)O", LIGAND, samples=1, checks="none")
    mirrored = found.poses[0].positions * np.array([1.0, 1.0, -1.0])
    assert "stereo_kept" in failed(geometry_checks(found.ligand, found.receptor, found.box, mirrored))


def test_the_pocket_is_found_without_being_told():
    truth = read_ligands(LIGAND)[0][1].GetConformer().GetPositions().mean(0)
    places = cavities(read_receptor(PROTEIN))
    assert min(np.linalg.norm(place - truth) for place in places) < 6.0


def test_hydrogen_bonds_are_those_of_the_crystal():
    """DHFR's inhibitors bind to Glu32, and to the carbonyls of Ile9 and Ile112 (Whitlow et al. 2001)."""
    from diffx_docking.ligand import as_posed

    ligand, receptor = as_posed(read_ligands(LIGAND)[0][1], "x"), read_receptor(PROTEIN)
    found = hydrogen_bonds(ligand, ligand.positions, receptor)
    partners = {(receptor.numbers[b.receptor], receptor.names[b.receptor][:2]) for b in found}
    assert {("B:32", "OE"), ("B:9", "O"), ("B:112", "O")} <= partners
    assert all(2.4 < b.length <= 3.5 for b in found)


def test_the_viewer_needs_nothing_from_outside_and_holds_the_poses(docking):
    text = page([docking], [read_ligands(LIGAND)[0][1]])
    own = text.replace((Path(diffx_docking.__file__).parent / "vendor/3Dmol-min.js").read_text(encoding="utf-8"), "")
    assert "http" not in own.replace("http://www.w3.org", "") and 'src="' not in own
    data = json.loads(own.partition("const complexes = ")[2].partition(";\nconst el")[0])
    assert len(data[0]["poses"]) == 10 and data[0]["truth"] and "GLU32" in str(data[0]["poses"][0]["near"])


def test_the_pocket_written_as_pdb_is_read_back(tmp_path):
    receptor = read_receptor(PROTEIN)
    (tmp_path / "a.pdb").write_text(pocket_pdb(receptor))
    again = read_receptor(tmp_path / "a.pdb")
    np.testing.assert_allclose(again.positions, receptor.positions, atol=6e-4)
    assert again.residues == receptor.residues and again.names == receptor.names


def test_calibration_finds_the_law_that_outcomes_were_drawn_from():
    torch.manual_seed(0)
    logits = torch.randn(20_000) * 2
    right = (torch.rand(20_000) < torch.sigmoid(0.6 * logits - 0.8)).float()
    found = Calibration.fit(logits, right)
    assert abs(found.slope - 0.6) < 0.03 and abs(found.shift + 0.8) < 0.05


def test_the_loss_is_least_where_the_nearest_pose_is_first():
    off = torch.tensor([0.8, 5.0, 7.0, 3.0])
    good, bad = (ranking_loss(torch.tensor(z), off) for z in ([3.0, -3, -3, -3], [-3.0, 3, -3, -3]))
    assert good < 0.4 < bad
    assert torch.isfinite(ranking_loss(torch.zeros(3), torch.tensor([5.0, 6.0, 9.0])))


def test_families_join_what_shares_triples_and_folds_keep_them_whole():
    triple = lambda *names: frozenset((n, "ALA", "GLY") for n in names)  # noqa: E731
    pockets = [triple("A", "B", "C"), triple("C", "D", "E"), triple("X", "Y"), triple("E", "F", "G"), triple("Z")]
    family = families(pockets)
    assert family[0] == family[1] == family[3] and len(set(family.tolist())) == 3
    part = folds(family, 2)
    assert part[0] == part[1] == part[3] and set(part.tolist()) == {0, 1}


def test_families_are_numbered_by_their_first_pocket_in_whatever_order_they_are_joined():
    for word in "abcdefghijklmnop":  # triples lie in a set, whose order is that of their hashes
        first, second = frozenset({(word, "x", "x")}), frozenset({(word, "y", "y")})
        assert families([first, frozenset({("Z", "z", "z")}), second, first | second]).tolist() == [0, 1, 0, 0]


def test_a_table_of_diffdock_is_read(tmp_path):
    (tmp_path / "a.csv").write_text(
        "complex_name,protein_path,ligand_description,protein_sequence\n"
        f"one,{PROTEIN},CCO,\n"
        f"two,{PROTEIN},{LIGAND},\n"
        ",,CCO,MKV\n"
        f'three,{PROTEIN},"C,C",\n'
    )
    one, two, nameless, comma = requests(options(data__file=str(tmp_path / "a.csv"), pocket="1,2,3"))
    assert one.name == "one" and one.ligand.GetNumAtoms() == 3 and one.pocket == "1,2,3"
    assert two.ligand.GetNumHeavyAtoms() == 19
    assert isinstance(nameless.ligand, DataError) and "a sequence alone" in str(nameless.ligand)
    assert isinstance(comma.ligand, DataError) and "RDKit cannot read" in str(comma.ligand)


def test_a_comma_without_quotes_is_explained(tmp_path):
    (tmp_path / "a.csv").write_text(f"protein_path,ligand_description\n{PROTEIN},C,C\n")
    with pytest.raises(DataError, match=r"line 2: more fields than columns; a SMILES with a comma needs quotes"):
        requests(options(data__file=str(tmp_path / "a.csv"), pocket="1,2,3"))


@pytest.mark.parametrize(
    "given, error, why",
    [
        ({"protein": str(PROTEIN)}, UsageError, "ligand= is missing"),
        ({"protein": str(PROTEIN), "ligand": "CCO"}, UsageError, "pocket= says where to dock"),
        ({"protein": "gone.pdb", "ligand": "CCO", "pocket": "1,2,3"}, DataError, "protein=gone.pdb: there is no such"),
        ({"protein": str(PROTEIN), "ligand": "gone.sdf", "pocket": "1,2,3"}, DataError, "ligand=gone.sdf: there is no"),
        ({"protein": __file__, "ligand": "CCO", "pocket": "1,2,3"}, UsageError, "a receptor is a file .pdb"),
        ({"task": "evaluate"}, UsageError, "data.root= says which folder of complexes"),
        ({"task": "learn"}, UsageError, "data.root= says which folder of complexes"),
        ({"n": 40}, UsageError, "n=40: samples= says how many poses"),
        ({"task": "screen", "protein": str(PROTEIN)}, UsageError, "task=screen needs protein=, pocket=, and a library"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_before_anything_is_loaded(given, error, why):
    with pytest.raises(error, match=why):
        check_inputs(options(**given))


@pytest.mark.parametrize(
    "ligand, why",
    [
        ("C" * 200, "200 heavy atoms; at most 150"),
        ("[Na+].[Cl-]", "molecules with metals cannot be docked"),
        ("c1ccccc", "RDKit cannot read this SMILES"),
        ("[Pt](Cl)(Cl)", "molecules with metals cannot be docked"),
    ],
)
def test_a_ligand_that_cannot_be_docked_is_refused_in_one_line(docker, ligand, why):
    with pytest.raises(DataError, match=why) as caught:
        docker.dock(PROTEIN, ligand, LIGAND)
    assert "\n" not in str(caught.value)


def test_the_largest_part_of_a_salt_is_docked_and_said(docker):
    found = docker.dock(PROTEIN, "CC(=O)Nc1ccc(O)cc1.Cl", LIGAND, samples=1, checks="none")
    assert len(found.ligand) == 11 and "2 parts" in found.notes[0]


def library(folder: Path, count: int) -> Path:
    path = folder / "library.smi"
    path.write_text("".join(f"{'C' * (k % 5 + 2)}O alcohol{k}\n" if k != 3 else "c1cc bad\n" for k in range(count)))
    return path


def test_a_library_is_counted_and_streamed(tmp_path):
    found = Library(str(library(tmp_path, 6)))
    assert len(found) == 6
    names = [(name, isinstance(mol, DataError)) for name, mol in found]
    assert names[3] == ("bad", True) and [bad for _, bad in names].count(True) == 1


def test_a_screen_that_is_killed_goes_on_and_ends_like_one_that_was_not(strangers, tmp_path):
    words = [
        "run", "plugin=docking", "task=screen", f"protein={PROTEIN}", f"pocket={LIGAND}",
        f"ligand={library(tmp_path, 8)}", "rank=energy", "checks=own", "search.guidance=energy",
        "search.starts=32", "search.steps=10",
    ]  # fmt: skip
    straight = strangers.diffx(*words, "out=straight")
    assert straight.returncode == 1 and "bad:" in straight.stderr, straight.stderr
    journal = strangers.folder / "cut/checkpoints/screened.jsonl"
    running = subprocess.Popen(
        [sys.executable, "-m", "diffx", *words, "out=cut"], cwd=strangers.folder,
        env=strangers.environment | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until = time.monotonic() + 200
    while not (journal.exists() and journal.read_text().count("\n") >= 2) and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    before = journal.read_text().splitlines()
    assert 2 <= len(before) < 8, "it was killed too late to prove anything"
    resumed = strangers.diffx(*words, "out=cut", "resume=true")
    assert resumed.returncode == 1, resumed.stderr
    tables = [(strangers.folder / f"{name}/samples/hits.csv").read_text() for name in ("straight", "cut")]
    one, two = (list(csv.DictReader(text.splitlines())) for text in tables)
    assert one == two and len(one) == 7
    assert journal.read_text().splitlines()[: len(before)] == before, "nothing was docked twice"
