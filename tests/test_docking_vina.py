"""Vina's energy: its derivative, its maps, and the numbers of the program itself."""

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from docking_samples import DATA, drug, molecule, peptide, posed, poses
from rdkit import Chem

from diffx_docking.inside import Inside
from diffx_docking.ligand import as_posed, read_ligands
from diffx_docking.maps import Maps
from diffx_docking.pdbqt import receptor_pdbqt
from diffx_docking.pocket import Box
from diffx_docking.pose import Body
from diffx_docking.receptor import read_receptor
from diffx_docking.vina import CUTOFF, Vina, pair_energy, pair_slope

# name: (affinity, energy within the ligand) by vina 1.2.7; docking_data/README.md says how
PROGRAM = {"benzamidine": (-1.173, -0.038), "serotonin": (0.474, -0.059), "chlorocarb": (-1.505, -0.309)}


@pytest.mark.parametrize("name", PROGRAM)
def test_energies_are_vinas(name) -> None:
    ligand = posed(name)
    vina, x = Vina(peptide(), ligand, torch.float64), torch.as_tensor(ligand.positions)[None]
    affinity, within = PROGRAM[name]
    assert vina.affinity(x).item() == pytest.approx(affinity, abs=0.01)
    assert vina.within(x).item() == pytest.approx(within, abs=0.01)


def test_the_slope_is_the_derivative() -> None:
    d = torch.linspace(1.5, 8.3, 1501, dtype=torch.float64).requires_grad_()
    for radii in (3.4, 3.7, 4.0):
        for hydrophobic in (0.0, 1.0):
            for hydrogen in (0.0, 1.0):
                words = [torch.full_like(d, v).detach() for v in (radii, hydrophobic, hydrogen)]
                (slope,) = torch.autograd.grad(pair_energy(d, *words).sum(), d)
                corner = torch.stack([(d - radii - at).abs() for at in (-0.7, 0.0, 0.5, 1.5)]).amin(0) < 1e-9
                torch.testing.assert_close(pair_slope(d, *words)[~corner], slope[~corner], atol=1e-12, rtol=1e-12)
    assert pair_energy(torch.tensor([CUTOFF]), *torch.tensor([[3.8], [1.0], [1.0]])).item() == 0


def test_energies_within_come_from_tables_and_forces_are_their_slopes() -> None:
    ligand = drug()
    x = Body(ligand, torch.float64).positions(poses(ligand, 4)).requires_grad_()
    value, force = Inside(ligand, torch.float64).energy_and_force(x)
    truth = Vina(peptide(), ligand, torch.float64).within(x)
    assert truth.abs().max() > 0.5
    torch.testing.assert_close(value, truth, atol=2e-3, rtol=1e-3)
    (slope,) = torch.autograd.grad(value.sum(), x)
    torch.testing.assert_close(force, -slope, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("name", PROGRAM)
def test_maps_are_the_sum_over_atoms(name) -> None:
    """Trilinear interpolation errs by h^2 / 8 of the curvature: finer maps are nearer in proportion."""
    ligand, receptor = posed(name), peptide()
    vina = Vina(receptor, ligand)
    shifts = 0.3 * poses(ligand, 12, 1.0)["translation"][:, None]
    x = (torch.as_tensor(ligand.positions) + shifts).float()
    truth = vina.between(x)
    near = truth < 5  # without overlaps, where the energy is steep
    assert near.sum() >= 4
    errors = []
    for spacing in (0.5, 0.25, 0.125):
        maps = Maps(receptor, ligand.types, Box.around(ligand.positions), spacing)
        errors.append((maps.energy_and_force(x)[0] - truth)[near].abs().mean().item())
    assert errors[0] < 1.0 and errors[1] < errors[0] / 2 and errors[2] < errors[1] / 2 and errors[2] < 0.05


def test_forces_of_maps_are_their_derivative_and_the_wall_pushes_back() -> None:
    ligand = posed("serotonin")
    maps = Maps(peptide(), ligand.types, Box.around(ligand.positions))
    x = torch.as_tensor(ligand.positions, dtype=torch.float32)[None].expand(3, -1, -1).clone()
    x[1] += 3.9  # in part outside
    x[2] += 40.0
    x.requires_grad_()
    value, force = maps.energy_and_force(x)
    (slope,) = torch.autograd.grad(value.sum(), x)
    torch.testing.assert_close(force, -slope, atol=2e-3, rtol=1e-4)
    assert value[2] > 1000 and (force[2] < 0).all()


def live(folder: Path, receptor_file: Path, mol: Chem.Mol) -> tuple[float, float]:
    """Affinity of a molecule where it is: the program's, and ours."""
    peer, meeko = pytest.importorskip("vina"), pytest.importorskip("meeko")
    positions = Chem.RemoveAllHs(mol).GetConformer().GetPositions()
    full = read_receptor(receptor_file)
    receptor = full.select(full.near(positions, 9.0))
    file = folder / "receptor.pdbqt"
    file.write_text(receptor_pdbqt(receptor))
    program = peer.Vina(sf_name="vina", verbosity=0, cpu=1)
    program.set_receptor(str(file))
    size = (np.ptp(positions, axis=0) + 8).tolist()
    # the score is of the atoms themselves: maps must be there, however coarse
    program.compute_vina_maps(center=positions.mean(0).tolist(), box_size=size, spacing=1.0)
    hydrogens = Chem.AddHs(Chem.RemoveHs(mol), addCoords=True)
    text, fine, why = meeko.PDBQTWriterLegacy.write_string(meeko.MoleculePreparation().prepare(hydrogens)[0])
    assert fine, why
    program.set_ligand_from_string(text)
    ligand = as_posed(hydrogens, "ligand")
    x = torch.as_tensor(np.round(ligand.positions, 3))[None]
    return program.score()[0], Vina(receptor, ligand, torch.float64).affinity(x).item()


def test_energies_of_crystal_poses_are_vinas(tmp_path) -> None:
    root = Path(os.environ.get("DIFFX_DATA", "../shared/data")) / "docking" / "eval_astex"
    if not root.is_dir():
        pytest.skip(f"{root} is not there: set DIFFX_DATA")
    with open(root / "manifest.csv", newline="") as file:
        names = [row["id"] for row in csv.DictReader(file)][:5]
    for name in names:
        mol = read_ligands(root / name / "ligand.sdf")[0][1]
        theirs, ours = live(tmp_path, root / name / "protein.pdb.gz", mol)
        assert ours == pytest.approx(theirs, abs=0.05), name


def test_the_program_agrees_with_the_stored_numbers(tmp_path) -> None:
    for name, (affinity, _) in PROGRAM.items():
        theirs, _ = live(tmp_path, DATA / "peptide.pdb", molecule(name))
        assert theirs == pytest.approx(affinity, abs=0.03), name


def test_a_receptor_reads_the_same_gzipped(tmp_path) -> None:
    with gzip.open(tmp_path / "p.pdb.gz", "wt") as file:
        file.write((DATA / "peptide.pdb").read_text())
    again = read_receptor(tmp_path / "p.pdb.gz")
    np.testing.assert_array_equal(again.positions, peptide().positions)
    assert again.types.elements == peptide().types.elements
