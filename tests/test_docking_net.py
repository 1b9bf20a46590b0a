"""The networks' parts: what they are shown, and that their forces turn with the complex. Nothing is trained yet."""

from __future__ import annotations

import numpy as np
import torch
from docking_samples import DRUG, drug, from_smiles, peptide, prepare
from rdkit import Chem

from diffx.noise import Noise
from diffx.process import SO3
from diffx_docking.features import LIGAND_FEATURES, POCKET_FEATURES, ligand_features, pocket_features
from diffx_docking.field import Radial
from diffx_docking.net import LigandEncoder, PairForces, PocketEncoder


def test_features_are_of_the_graph_and_not_of_the_conformer() -> None:
    one, other = (ligand_features(drug(seed=s)) for s in (0, 1))
    assert torch.equal(one.atoms, other.atoms) and torch.equal(one.bond, other.bond)
    assert one.atoms.shape == (28, LIGAND_FEATURES) and (one.bond > 0).sum() == 2 * drug().mol.GetNumBonds()
    pocket = pocket_features(peptide())
    assert pocket.atoms.shape == (68, POCKET_FEATURES) and pocket.neighbour.shape == (68, 16)
    gaps = np.linalg.norm(peptide().positions[:, None] - peptide().positions[None], axis=-1)
    np.testing.assert_allclose(pocket.distance.numpy(), np.sort(gaps, 1)[:, 1:17], atol=1e-4)


def test_a_ligand_is_encoded_the_same_in_any_order_of_its_atoms() -> None:
    torch.manual_seed(0)
    encoder = LigandEncoder(16, 2).eval()
    ligand = drug()
    again = prepare(from_smiles(Chem.MolToSmiles(ligand.mol, doRandom=True)), "again")
    order = list(again.mol.GetSubstructMatch(ligand.mol))
    with torch.no_grad():
        one, other = (encoder(ligand_features(one)) for one in (ligand, again))
    torch.testing.assert_close(other[order], one, atol=1e-5, rtol=1e-4)
    assert Chem.MolToSmiles(again.mol) == Chem.CanonSmiles(DRUG) and one.std(0).min() > 1e-3


def test_forces_turn_with_the_complex_and_end_at_the_cutoff() -> None:
    torch.manual_seed(0)
    ligand, pocket = ligand_features(drug()), pocket_features(peptide())
    pairs = PairForces(16, 4, 12, 8.0, 5).double()
    with torch.no_grad():
        first, second = LigandEncoder(16, 1)(ligand).double(), PocketEncoder(16, 1)(pocket).double()
        here = torch.as_tensor(drug().positions)[None] + torch.tensor([[[1.0, 0, 0]], [[0, 2.0, 0]]]).double()
        there, level = torch.as_tensor(peptide().positions), torch.randn(2, 5).double()
        force = pairs(first, second, here, there, level)
        turn, shift = SO3().prior((3, 3), 1.0, Noise([3]))[0].double(), torch.tensor([3.0, -4.0, 5.0]).double()
        turned = pairs(first, second, here @ turn.T + shift, there @ turn.T + shift, level)
        far = pairs(first, second, here + 60, there, level)
    assert force.shape == (2, 28, 3) and force.abs().max() > 1e-3 and far.abs().max() == 0
    torch.testing.assert_close(turned, force @ turn.T, atol=1e-6, rtol=1e-5)
    assert Radial(12, 8.0)(torch.tensor([8.0, 9.0])).abs().max() < 1e-6
