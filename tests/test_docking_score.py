"""The score network: that its parts are what they say in closed form, that its scores turn with the complex, that it
learns, and that the reverse diffusion comes back to a pose whose scores are known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from docking_samples import drug, peptide, poses
from torch import Tensor

import diffx_docking.diffusion as diffusion
from diffx.config import TrainConfig
from diffx.errors import DataError
from diffx.noise import Noise
from diffx.process import SO3
from diffx_docking.candidates import poses_in
from diffx_docking.config import SearchConfig
from diffx_docking.denoising import Lesson, held_out, learn
from diffx_docking.diffusion import drawn_poses, load_scores, save_scores
from diffx_docking.field import Field, nearest
from diffx_docking.match import match
from diffx_docking.opinions import OPINIONS, Site, opinions
from diffx_docking.pocket import Box
from diffx_docking.pose import Body
from diffx_docking.process import pose_process, shifted
from diffx_docking.receptor import Receptor
from diffx_docking.relax import moved
from diffx_docking.scene import Scene, drawn
from diffx_docking.score import LEAVES, ScoreNetwork

SMALL = {"width": 16, "channels": 6, "layers": 1, "pocket_layers": 1, "mixing": 1}
ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


def network(**changed: Any) -> ScoreNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = ScoreNetwork(**{**SMALL, **changed}).eval()
        with torch.no_grad():  # as if it were trained: forces of about unit size
            made.coefficients.weight.mul_(10)
            made.within.weights.weight.mul_(10)
    return made


def box() -> Box:
    return Box(peptide().positions.mean(0) + np.array([4.0, 0.0, 0.0]), np.full(3, 16.0))


def lesson(smiles: str = ASPIRIN) -> Lesson:
    ligand = drug(smiles)
    pose = {leaf: value[0].float() for leaf, value in poses(ligand, 1, 0.5).items()}
    return Lesson("one", Scene(ligand, peptide(), box().centre), pose)


def test_the_jacobian_says_how_atoms_move_and_its_transpose_is_the_forces() -> None:
    ligand = drug()
    body, pose = Body(ligand, torch.float64), poses(ligand, 3)
    positions = body.positions(pose)
    jacobian = body.jacobian(positions)
    step = 1e-6 * torch.randn(3, jacobian.shape[-1], generator=torch.Generator().manual_seed(0)).double()
    there = body.positions(moved(pose, step))
    torch.testing.assert_close(there - positions, (jacobian @ step[:, None, :, None])[..., 0], atol=1e-10, rtol=1e-4)
    force = torch.randn(positions.shape, generator=torch.Generator().manual_seed(1)).double()
    pulled = torch.cat(list(body.forces(positions, force).values()), -1)
    torch.testing.assert_close(torch.einsum("bncd,bnc->bd", jacobian, force), pulled)


def test_the_slope_of_a_field_is_its_gradient() -> None:
    torch.manual_seed(0)
    field, atoms = Field(8, 3).double(), torch.as_tensor(peptide().positions)
    charge = torch.randn(len(atoms), 3).double()
    points = (atoms.mean(0) + 3 * torch.randn(5, 3).double()).requires_grad_()
    with torch.no_grad():
        slope = field(charge, nearest(points, atoms)).slope
    value = field(charge, nearest(points, atoms)).value
    for k in range(3):
        (gradient,) = torch.autograd.grad(value[:, k].sum(), points, retain_graph=True)
        torch.testing.assert_close(slope[:, k], gradient, atol=1e-8, rtol=1e-6)


def test_scores_turn_with_the_complex() -> None:
    ligand, receptor, net = drug(), peptide(), network()
    turn = SO3().prior((3, 3), 1.0, Noise([3]))[0]
    turned = Receptor(
        (receptor.positions - box().centre) @ turn.double().numpy().T,
        receptor.types, receptor.names, receptor.residues, receptor.numbers,
    )  # fmt: skip
    pose = {leaf: value.float() for leaf, value in poses(ligand, 4, 2.0).items()}
    again = {**pose, "translation": pose["translation"] @ turn.T, "rotation": turn @ pose["rotation"]}
    times = torch.tensor([0.1, 0.3, 0.6, 0.9])
    here, there = (Scene(ligand, pocket, at) for pocket, at in ((receptor, box().centre), (turned, np.zeros(3))))
    with torch.no_grad():
        one = here.scores(net, here.encoded(net), pose, times)
        other = there.scores(net, there.encoded(net), again, times)
    for leaf in LEAVES:
        expected = one[leaf] if leaf == "torsion" else one[leaf] @ turn.T
        assert expected.abs().max() > 0.05
        torch.testing.assert_close(other[leaf], expected, atol=2e-4, rtol=2e-3)


def test_a_box_pulls_as_the_score_of_a_normal_distribution() -> None:
    """At sigma, data of spread 1.5 Å have the score -x / (sigma^2 + 1.5^2); in units of the noise, times sigma."""
    place, t = torch.tensor([[1.0, -2.0, 0.5]]), torch.tensor([1.0])
    torch.testing.assert_close(drawn(place, t), -5.0 * place / (25 + 2.25))


def test_a_network_learns_and_goes_on_to_the_bit(tmp_path: Path) -> None:
    one = lesson()
    config = TrainConfig(steps=60, batch=1, lr=1e-2, warmup=5, log_every=10, checkpoint_every=30)

    def run(folder: str, steps: int, resume: bool = False) -> ScoreNetwork:
        net = network()
        options = TrainConfig(**{**vars(config), "steps": steps})
        learn(net, [one], options, 16, 0, tmp_path / folder, {}, resume)
        return net

    whole = run("whole", 60)
    own, without = held_out(whole, [one], 32, 1)
    assert own["rotation"] < 0.85 * without["rotation"] and own["torsion"] < 0.7 * without["torsion"]

    def stop(step: int, losses: Mapping[str, float]) -> None:
        if step == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(network(), [one], config, 16, 0, tmp_path / "halves", {}, told=stop)
    halves = run("halves", 60, resume=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, halves.state_dict()[name]), name


def test_the_walk_comes_back_to_the_pose_whose_scores_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores of a single known pose: the walk ends there, in the receptor's frame, and a seed gives the same pose."""
    ligand, process = drug(ASPIRIN), pose_process()
    truth = {leaf: value.float() for leaf, value in poses(ligand, 1, 0.5).items()}

    def exact(scene: Scene, network: ScoreNetwork, process_: Any) -> Any:
        def predict(x: Mapping[str, Tensor], t: Mapping[str, float], condition: Any = None) -> dict[str, Tensor]:
            out = {}
            for leaf, own in process.leaves.items():
                away = own.space.log(truth[leaf].expand_as(x[leaf]), x[leaf])
                out[leaf] = own.space.score(away, torch.full((1, 1), float(own.schedule.sigma(t[leaf]))))
            return out

        return predict

    monkeypatch.setattr(diffusion, "score_guidance", exact)
    found = drawn_poses(network(), peptide(), ligand, box(), range(8), steps=40)
    body = Body(ligand)
    goal = body.positions(shifted(truth, torch.as_tensor(box().centre)))
    off = (body.positions(found) - goal).square().sum(-1).mean(-1).sqrt()
    assert off.max() < 1.2 and off.median() < 0.7
    again = drawn_poses(network(), peptide(), ligand, box(), [5], steps=40)
    for leaf in LEAVES:
        torch.testing.assert_close(again[leaf][0], found[leaf][5], atol=1e-5, rtol=1e-5)


def test_poses_come_from_where_guidance_says() -> None:
    ligand, net = drug(ASPIRIN), network()
    small = {"starts": 24, "draws": 8, "walk": 4, "steps": 5}

    def found(**options: Any) -> Any:
        return poses_in(box(), peptide(), ligand, SearchConfig(**small, **options), net)

    energy, walked, both = (found(guidance=way) for way in ("energy", "network", "both"))
    assert torch.equal(both.positions, torch.cat([energy.positions, walked.positions]))
    assert len(energy.energies) == 24 and len(walked.energies) == 8
    few = poses_in(box(), peptide(), ligand, SearchConfig(**{**small, "steps": 30}, guidance="energy", keep=6, scout=5))
    assert len(few.energies) == 6 and few.energies.min() <= energy.energies.min() + 1e-3


def test_weights_are_read_back_and_others_refused(tmp_path: Path) -> None:
    net, path = network(), tmp_path / "scores.safetensors"
    save_scores(path, net.state_dict(), SMALL, {"learnt": []})
    again = load_scores(path)
    for name, value in net.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, atol=1e-3, rtol=1e-3)
    save_scores(path, net.state_dict(), SMALL, {"learnt": [], "kind": "something"})
    from diffx.io import checkpoint

    checkpoint.save(path, net.state_dict(), {"kind": "docking ranking"})
    with pytest.raises(DataError, match="docking ranking"):
        load_scores(path)


def test_opinions_are_of_the_pose_and_not_of_its_frame() -> None:
    ligand, net = drug(ASPIRIN), network()
    body = Body(ligand)
    pose = {leaf: value.float() for leaf, value in poses(ligand, 3, 1.0).items()}
    here = body.positions(shifted(pose, torch.as_tensor(box().centre)))
    site = Site(net, [box()], torch.zeros(3, dtype=torch.long))
    told = opinions(ligand, peptide(), here, site)
    assert told.shape == (3, len(OPINIONS))
    losses, above = told.chunk(2, 1)
    assert losses.min() > 0 and torch.equal(above, losses - losses.amin(0))
    moved_box = Box(box().centre + 20.0, box().size)
    receptor = peptide()
    there = Receptor(
        receptor.positions + 20.0, receptor.types, receptor.names, receptor.residues, receptor.numbers
    )  # fmt: skip
    again = opinions(ligand, there, here + 20.0, Site(net, [moved_box], site.box_of))
    torch.testing.assert_close(again, told, atol=1e-3, rtol=1e-3)


def test_a_match_begins_with_the_torsions_of_the_target() -> None:
    """One start is enough to find a pose of the conformer itself, whatever its torsions."""
    ligand = drug()
    body = Body(ligand, torch.float64)
    target = body.positions(poses(ligand, 1))[0].numpy()
    pose, off = match(ligand, target, starts=1, steps=5)
    assert off < 1e-3
    np.testing.assert_allclose(body.positions(pose)[0].numpy(), target, atol=5e-3)
