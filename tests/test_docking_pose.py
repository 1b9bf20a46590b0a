"""Poses: forces against autograd, what torsions leave alone, minimisation, and the pose nearest to a known one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from docking_samples import DRUG, drug, peptide, poses
from rdkit import Chem

from diffx.errors import DataError
from diffx.noise import Noise
from diffx.process.rotation import exp
from diffx_docking.ligand import from_smiles, prepare
from diffx_docking.match import match, numberings, rmsd
from diffx_docking.pocket import Box
from diffx_docking.pose import Body
from diffx_docking.relax import minimise
from diffx_docking.search import pose_energy, scattered
from diffx_docking.vina import Vina


def test_forces_are_the_gradients_of_the_energy() -> None:
    ligand = drug()
    body, vina = Body(ligand, torch.float64), Vina(peptide(), ligand, torch.float64)
    pose = poses(ligand, 5)
    place, twist = (pose[k].clone().requires_grad_() for k in ("translation", "torsion"))
    turn = torch.zeros(5, 3, dtype=torch.float64, requires_grad=True)

    def energy(x):
        return vina.between(x) + vina.within(x)

    x = body.positions({"translation": place, "rotation": exp(turn) @ pose["rotation"], "torsion": twist})
    slopes = torch.autograd.grad(energy(x).sum(), [place, turn, twist])
    x = x.detach().requires_grad_()
    force = -torch.autograd.grad(energy(x).sum(), x)[0]
    assert force.norm() > 1 and len(ligand.torsions) >= 8
    for name, slope in zip(("translation", "rotation", "torsion"), slopes, strict=True):
        ours = body.forces(x.detach(), force)[name]
        torch.testing.assert_close(ours, -slope, atol=1e-9, rtol=1e-10)


def test_a_pose_without_torsions_is_a_rigid_body() -> None:
    ligand = drug("c1ccc2ccccc2c1")
    assert not ligand.torsions and not len(ligand.pairs)
    body = Body(ligand, torch.float64)
    x = body.positions(poses(ligand, 4))
    flat = torch.as_tensor(ligand.positions)
    torch.testing.assert_close(torch.cdist(x, x), torch.cdist(flat, flat).expand(4, -1, -1), atol=1e-9, rtol=0)
    assert body.forces(x, torch.ones_like(x))["torsion"].shape == (4, 0)


@pytest.mark.parametrize(
    "smiles", [DRUG, "C[C@@H](N)C(=O)N[C@H](C(=O)O)C(C)C", r"CC/C=C/C1CCC(CC1)S(=O)(=O)NCC", "OC1CCCC1CCF"]
)
def test_torsions_change_no_bond_angle_ring_or_stereo(smiles) -> None:
    ligand = drug(smiles)
    x = Body(ligand, torch.float64).positions(poses(ligand, 6))
    home = torch.as_tensor(ligand.positions)
    near = torch.as_tensor(Chem.GetDistanceMatrix(ligand.mol) <= 2)  # bonds, and angles by their third side
    for ring in ligand.mol.GetRingInfo().AtomRings():
        near[np.ix_(ring, ring)] = True
    change = (distances(x) - distances(home)).abs()
    assert change[:, near].max() < 1e-9
    assert change.max() > 0.5  # while what is far apart did move
    asked, form = from_smiles(smiles), stereo(ligand.mol)
    assert form.HasSubstructMatch(asked, useChirality=True)
    assert all(Chem.MolToSmiles(stereo(ligand.posed(one.numpy()))) == Chem.MolToSmiles(form) for one in x)


def distances(x: torch.Tensor) -> torch.Tensor:
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")


def stereo(mol: Chem.Mol) -> Chem.Mol:
    """As the coordinates have it."""
    mol = Chem.Mol(mol)
    Chem.RemoveStereochemistry(mol)
    Chem.AssignStereochemistryFrom3D(mol)
    return mol


def test_pairs_within_the_ligand_are_those_that_torsions_change() -> None:
    ligand = drug()
    x = Body(ligand, torch.float64).positions(poses(ligand, 8))
    home = torch.as_tensor(ligand.positions)
    moves = ((torch.cdist(x, x) - torch.cdist(home, home)).abs().amax(0) > 1e-3).numpy()
    wanted = np.argwhere(np.triu(moves & (Chem.GetDistanceMatrix(ligand.mol) > 3)))
    assert {tuple(p) for p in wanted} == {tuple(p) for p in ligand.pairs}


@pytest.mark.parametrize(
    "smiles, torsions",
    [
        ("c1ccccc1", 0), ("CC", 0), ("CCC", 0), ("CCCC", 1), ("CC#CC", 0), ("CCC#CCC", 0), ("CC=CC", 0),
        ("CC(=O)NC", 0), ("CCC(=O)NCC", 2), ("CC(=O)N(C)C", 0), ("CC(=O)N(C)CC", 2), ("c1ccccc1-c1ccccc1", 1),
        ("COC(=O)c1ccccc1", 2), ("CC(F)(F)F", 0), ("OCCO", 1),
    ],
)  # fmt: skip
def test_which_bonds_turn(smiles, torsions) -> None:
    assert len(drug(smiles).torsions) == torsions


def quadratic(size: int):
    """A valley, steep in some directions, whose lowest point is at a known place and torsions."""
    stiff = torch.logspace(0, 2, 3 + size, dtype=torch.float64)
    low = torch.linspace(-0.7, 0.9, 3 + size, dtype=torch.float64)

    def energy(pose):
        x = torch.cat([pose["translation"], pose["torsion"]], -1) - low
        slope = stiff * x
        return (slope * x).sum(-1) / 2, torch.cat([slope[:, :3], torch.zeros_like(slope[:, :3]), slope[:, 3:]], -1)

    return energy, low


def test_the_minimum_of_a_quadratic_is_found() -> None:
    ligand = drug()
    m = len(ligand.torsions)
    energy, low = quadratic(m)
    pose, value = minimise(energy, poses(ligand, 7, spread=2.0), steps=80)
    assert value.max() < 1e-8
    torch.testing.assert_close(
        torch.cat([pose["translation"], pose["torsion"]], -1), low.expand(7, -1), atol=1e-4, rtol=0
    )


def test_minimisation_raises_no_pose_and_keeps_rotations() -> None:
    ligand, receptor = drug(), peptide()
    box = Box.around(receptor.positions, 2.0)
    energy = pose_energy(receptor, ligand, box)
    start = scattered(box, len(ligand.torsions), Noise(range(24)))
    before, last = energy(start)[0], energy(start)[0]
    for steps in (1, 5, 20):
        pose, value = minimise(energy, start, steps)
        assert (value <= before).all() and (value <= last + 1e-4).all()
        torch.testing.assert_close(energy(pose)[0], value, atol=1e-3, rtol=1e-5)
        last = value
    assert (value < before - 0.1).float().mean() > 0.9
    r = pose["rotation"]
    assert (r @ r.mT - torch.eye(3)).abs().max() < 1e-5 and (torch.linalg.det(r) > 0.99).all()


@pytest.mark.parametrize("smiles", ["c1ccc(cc1)C(=O)NCC(C)(C)C", "OC(=O)CCc1ccc(cc1)C(F)(F)F", "CCCCOc1ccc(C#N)cc1"])
def test_match_finds_the_pose_that_made_the_positions(smiles) -> None:
    ligand = drug(smiles)
    target = Body(ligand, torch.float64).positions(poses(ligand, 1))[0].numpy()
    pose, off = match(ligand, target)
    assert off < 1e-3
    positions = Body(ligand, torch.float64).positions(pose).numpy()
    orders = numberings(ligand, ligand.posed(target))
    assert len(orders) > 1 and rmsd(positions, target, orders)[0] < 1e-3


def test_rmsd_is_spyrmsds() -> None:
    spyrmsd = pytest.importorskip("spyrmsd.rmsd")
    smiles = "OC(=O)c1ccc(cc1)CN(CC(C)C)C(F)(F)F"
    ligand = drug(smiles)
    reference = prepare(from_smiles(Chem.MolToSmiles(ligand.mol, doRandom=True)), "again", 3)  # atoms in another order
    orders = numberings(ligand, reference.mol)
    x = Body(ligand, torch.float64).positions(poses(ligand, 6, spread=1.0)).numpy()
    here, there = (Chem.GetAdjacencyMatrix(mol) for mol in (ligand.mol, reference.mol))
    numbers = [np.array([a.GetAtomicNum() for a in mol.GetAtoms()]) for mol in (ligand.mol, reference.mol)]
    theirs = spyrmsd.symmrmsd(reference.positions, list(x), numbers[1], numbers[0], there, here)
    np.testing.assert_allclose(rmsd(x, reference.positions, orders), theirs, atol=1e-9)


def test_another_molecule_is_no_reference() -> None:
    with pytest.raises(DataError, match="another molecule"):
        numberings(drug("CCCCO"), from_smiles("CCCCN"))
    with pytest.raises(DataError, match="another molecule"):
        numberings(drug("CCCCO"), from_smiles("CCCCCO"))
    assert math.isclose(rmsd(np.zeros((1, 2, 3)), np.ones((2, 3)), np.array([[0, 1]]))[0], math.sqrt(3))
