"""What a notebook prints of objects that hold arrays."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
import pytest
import torch

from diffx.data import Brief


@dataclass(repr=False)
class Drawn(Brief):
    name: str
    data: np.ndarray
    state: torch.Tensor
    image: nib.Nifti1Image
    seconds: float


def test_arrays_are_said_by_type_and_shape() -> None:
    image = nib.Nifti1Image(np.zeros((2, 3, 4), np.float32), np.eye(4))
    one = Drawn("a", np.zeros((5, 6), np.float32), torch.ones(7), image, 1.23456)
    assert repr(one) == (
        "Drawn(name='a', data=float32 [5, 6], state=float32 [7], image=Nifti1Image [2, 3, 4], seconds=1.235)"
    )


def test_what_the_domains_give_back_is_short() -> None:
    from diffx_audio.sound import Sound
    from diffx_mri.synth.model import Brain, Person
    from diffx_mri.volume import Volume

    volume = np.zeros((30, 30, 30), np.float32)
    for one in (
        Sound(np.zeros((2, 48_000), np.float32), 48_000),
        Brain(Person(60, "F"), volume, np.eye(4), 1.0),
        Volume(volume, np.eye(4)),
    ):
        assert len(repr(one)) < 250, repr(one)


def test_a_docking_is_a_table_of_its_poses() -> None:
    pytest.importorskip("rdkit")
    from diffx_docking.ligand import from_smiles, prepare
    from diffx_docking.pocket import Box
    from diffx_docking.receptor import Receptor
    from diffx_docking.result import Docking, Pose

    ligand = prepare(from_smiles("CCCCO"), "butanol", 0)
    receptor = Receptor(np.zeros((2, 3)), ligand.types, ("N", "CA"), ("A:GLY1", "A:SER2"), ("A:1", "A:2"))
    poses = tuple(Pose(k, ligand.positions, 0.5 / k, -4.0 + k, -5.0) for k in (1, 2))
    docking = Docking("butanol", ligand, receptor, Box(np.zeros(3), np.ones(3)), poses, 64, "geometry checks", 1.5, 1.4)
    head, names, first, second = repr(docking).splitlines()
    assert head == "Docking of butanol: 2 of 64 minimised poses, 1.5 s"
    assert names.split() == ["rank", "confidence", "energy_kcal_mol"]
    assert (first.split(), second.split()) == (["1", "0.500", "-3.00"], ["2", "0.250", "-2.00"])
    assert repr(ligand) == "Ligand butanol: CCCCO, 5 atoms, 2 torsions"
    assert repr(receptor) == "Receptor of 2 atoms in 2 residues"
