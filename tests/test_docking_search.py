"""Sampling without a network: energy guidance against a closed form, and basin hopping."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from docking_samples import drug, peptide

from diffx.noise import Noise
from diffx.plan import JointPlan, geodesic_random_walk
from diffx.process import rotation
from diffx.sampling import sample
from diffx_docking.guidance import energy_guidance
from diffx_docking.match import rmsd, symmetries
from diffx_docking.pocket import Box
from diffx_docking.pose import Body
from diffx_docking.process import pose_process, pose_shape, shifted
from diffx_docking.search import Found, basin_hopping, distinct, gaps, pose_energy, scattered

PROCESS = pose_process()
STIFF = {"translation": 4.0, "rotation": 60.0, "torsion": 30.0}
KT = 0.6


def plan(steps: int) -> JointPlan:
    times = tuple(1 - np.arange(steps + 1) / steps)
    return JointPlan({name: geodesic_random_walk(leaf.schedule, times) for name, leaf in PROCESS.leaves.items()})


def springs(pose):
    """k |log x|^2 / 2 in each leaf, about no shift, no turn, no twist."""
    parts = {"translation": pose["translation"], "rotation": rotation.log(pose["rotation"]), "torsion": pose["torsion"]}
    value = sum(STIFF[k] * v.square().sum(-1) / 2 for k, v in parts.items())
    return value, torch.cat([STIFF[k] * v for k, v in parts.items()], -1)


def test_guided_poses_of_a_harmonic_energy_have_its_covariance() -> None:
    """Variance kT / k and the process's own smallest; on R^3 as the recursion of the walk has it exactly."""
    count, steps = 3000, 60
    guide = energy_guidance(springs, PROCESS, KT, STIFF, limit=None)
    x = sample(guide, PROCESS, plan(steps), {"translation": (3,), "rotation": (3, 3), "torsion": (2,)}, range(count))
    for name in ("translation", "torsion"):
        sigma, data = PROCESS.leaves[name].schedule.sigma, KT / STIFF[name]
        variance = float(sigma(1.0)) ** 2
        for row in plan(steps).plans[name].rows:
            variance = (1 - row.b[0] / (data + float(sigma(row.t)) ** 2)) ** 2 * variance + row.c**2
        assert variance == pytest.approx(data + float(sigma(0)) ** 2, rel=0.1)  # what it should be
        slack = 5 * math.sqrt(2 / x[name].numel())
        if name == "translation":
            covariance = np.cov(x[name].numpy().T)
            np.testing.assert_allclose(covariance, variance * np.eye(3), atol=variance * (slack + 0.05))
        else:  # on a circle the noise of 3.14 wraps: a few samples come from the other side
            middle = x[name].abs().median().item()
            assert middle == pytest.approx(0.6745 * math.sqrt(variance), rel=0.15)
    turn = rotation.log(x["rotation"])
    assert turn.abs().median().item() == pytest.approx(0.6745 * math.sqrt(KT / STIFF["rotation"] + 0.03**2), rel=0.15)


def test_a_hotter_energy_spreads_more() -> None:
    shape = {"translation": (3,), "rotation": (3, 3), "torsion": (1,)}
    cold, hot = (
        sample(energy_guidance(springs, PROCESS, kt, STIFF), PROCESS, plan(30), shape, range(400)) for kt in (0.3, 3.0)
    )
    assert hot["translation"].std() / cold["translation"].std() == pytest.approx(math.sqrt(10), rel=0.3)


def test_scores_are_limited_where_atoms_overlap() -> None:
    def wall(pose):
        return pose["translation"].sum(-1), torch.full((len(pose["translation"]), 6), 1e9)

    x = PROCESS.prior({"translation": (3,), "rotation": (3, 3), "torsion": (0,)}, Noise(range(4)))
    t = dict.fromkeys(x, 0.5)
    scores = energy_guidance(wall, PROCESS, limit=3.0)(x, t)
    for name in ("translation", "rotation"):
        scale = float(PROCESS.leaves[name].score_scale(0.5))
        assert scores[name].norm(dim=-1).numpy() == pytest.approx(3 * scale * math.sqrt(3), rel=1e-4)
    assert scores["torsion"].shape == (4, 0)


@pytest.fixture(scope="module")
def system():
    receptor, ligand = peptide(), drug("OC(=O)CCc1ccc(Cl)cc1")
    box = Box.around(receptor.positions, 2.0)
    return ligand, box, pose_energy(receptor, ligand, box)


def test_guided_poses_are_reproducible_and_far_below_chance(system) -> None:
    ligand, box, energy = system
    centre = torch.as_tensor(box.centre, dtype=torch.float32)
    guide = energy_guidance(lambda pose: energy(shifted(pose, centre)), PROCESS)
    shape = pose_shape(Body(ligand))
    one, two = (sample(guide, PROCESS, plan(20), shape, range(32)) for _ in range(2))
    assert all(torch.equal(one[k], two[k]) for k in one)
    start = scattered(box, len(ligand.torsions), Noise(range(32)))
    assert energy(shifted(one, centre))[0].median() < energy(start)[0].median() - 10
    rigid = Body(drug("c1ccc2ccccc2c1"))
    naphthalene = pose_energy(peptide(), drug("c1ccc2ccccc2c1"), box)
    alone = sample(energy_guidance(naphthalene, PROCESS), PROCESS, plan(5), pose_shape(rigid), range(3))
    assert alone["torsion"].shape == (3, 0)


def test_basin_hopping_is_reproducible_and_lowers_energies(system) -> None:
    ligand, box, energy = system
    m = len(ligand.torsions)

    def run(seeds, rounds):
        noise = Noise(seeds)
        return basin_hopping(energy, scattered(box, m, noise), noise, rounds, steps=8)

    pose, lowest = run(range(16), 6)
    again, same = run(range(16), 6)
    assert torch.equal(lowest, same) and all(torch.equal(pose[k], again[k]) for k in pose)
    assert (energy(pose)[0] - lowest).abs().max() < 1e-3
    assert (lowest <= run(range(16), 0)[1] + 1e-4).all() and lowest.mean() < run(range(16), 0)[1].mean() - 0.1
    # other seeds, other poses; the same seeds in other company, the same poses
    assert not torch.equal(run(range(50, 66), 6)[1], lowest)
    torch.testing.assert_close(run(range(4, 12), 6)[1], lowest[4:12], atol=1e-4, rtol=0)


def test_chains_begin_inside_the_box(system) -> None:
    _, box, _ = system
    pose = scattered(box, 3, Noise(range(500)))
    assert box.holds(pose["translation"].numpy()).all()
    assert pose["translation"].numpy().std(0) == pytest.approx((box.size - 6) / math.sqrt(12), rel=0.1)
    assert pose["torsion"].abs().max() > 3 and pose["torsion"].mean().abs() < 0.2


def test_distinct_poses() -> None:
    positions = torch.tensor([0.0, 0.4, 5.0, 5.2, 9.0])[:, None, None].expand(-1, 4, 3) / math.sqrt(3)
    energies = torch.tensor([-3.0, -4.0, -5.0, -1.0, 0.0])
    assert distinct(positions, energies, 9) == [2, 1, 4]
    assert distinct(positions, energies, 2) == [2, 1] and distinct(positions, energies, 9, apart=0.0) == [2, 1, 0, 3, 4]
    found = Found(positions, energies, drawn=torch.tensor([False, False, False, True, True]))
    assert found.distinct(2, apart=0.1) == [2, 3] and Found(positions, energies).distinct(2, apart=0.1) == [2, 1]
    assert found.distinct(9, apart=0.1) == [2, 1, 0, 3, 4]


def test_a_pose_with_equal_atoms_exchanged_is_the_same_pose() -> None:
    """Para-difluorobenzene turned by half, which is the same, and by 60 degrees, which is not."""
    ligand = drug("Fc1ccc(F)cc1")
    flat = torch.as_tensor(ligand.positions, dtype=torch.float32)
    flat = flat - flat.mean(0)
    normal = torch.linalg.svd(flat).Vh[2]
    half = 2 * flat @ torch.outer(normal, normal) - flat
    cross = torch.linalg.cross(normal.expand_as(flat), flat)
    sixth = 0.5 * flat + math.sqrt(0.75) * cross + 0.5 * (flat @ normal)[:, None] * normal
    positions, energies, orders = torch.stack([flat, half, sixth]), torch.tensor([-3.0, -2.0, -1.0]), symmetries(ligand)
    assert len(orders) == 4 and orders[0].tolist() == list(range(8))
    assert distinct(positions, energies, 9) == [0, 1, 2] and distinct(positions, energies, 9, orders=orders) == [0, 2]
    found = gaps(positions, positions, orders)
    theirs = [rmsd(positions.numpy(), one.numpy(), orders.numpy()) for one in positions]
    np.testing.assert_allclose(found, theirs, atol=2e-3)
