"""Evaluation and training of docking: known answers of the figures, shipped weights, resumption."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rdkit")
pytest.importorskip("gemmi")

import torch

import diffx_docking
from diffx.errors import DataError
from diffx.io import checkpoint
from diffx_docking import Docker
from diffx_docking.confidence import Confidence
from diffx_docking.config import RankingConfig, RankingTraining, SearchConfig
from diffx_docking.descriptors import NAMES
from diffx_docking.evaluate.figures import Case, figures, strata
from diffx_docking.evaluate.vina import VinaPoses, keep, stored
from diffx_docking.known import known_complexes, read_known
from diffx_docking.ligand import read_ligands
from diffx_docking.ranking import Ranker
from diffx_docking.requests import EXAMPLE
from diffx_docking.result import Docking, Pose
from diffx_docking.training import Example, fit

HOME = Path(diffx_docking.__file__).parent / EXAMPLE
FAST = ["search.guidance=energy", "search.starts=48", "search.steps=15", "checks=own"]


def case(off: list[float], energies: list[float], valid: bool = True, vina: list[float] | None = None) -> Case:
    """A complex whose poses lie so far off, in the order of their ranks."""
    poses = tuple(
        Pose(k + 1, np.zeros((1, 3)), 0.9 if k == 0 else 0.1, e, e, {"all": valid} if k == 0 else {}, r)
        for k, (r, e) in enumerate(zip(off, energies, strict=True))
    )
    docking = Docking("a", None, None, None, poses, 100, "us", 1.0, 2.0)  # type: ignore[arg-type]
    ran = None if vina is None else VinaPoses(np.array(vina), None, 50.0, True)
    return Case(docking, 20.0 if off[0] < 2 else 95.0, ran)


def test_the_figures_are_those_of_counting() -> None:
    cases = [
        case([1.0, 5.0], [-7.0, -8.0], vina=[1.5, 9.0]),  # right by confidence, wrong by energy
        case([1.9, 5.0], [-8.0, -7.0], valid=False, vina=[3.0, 1.0]),
        case([4.0, 1.0], [-8.0, -7.0], vina=[3.0, 4.0]),
        case([6.0, 7.0], [-8.0, -7.0], vina=[1.0, 3.0]),
    ]
    found = figures(cases)
    by_name = {b.name: b.value for b in found["top1_2A"].baselines}
    assert found["top1_2A"].value == 0.5 and by_name == {"by energy": 0.25, "Vina": 0.5}
    assert found["top5_2A"].value == 0.75 == found["oracle_2A"].value
    assert found["valid"].value == 0.75
    both = found["top1_2A_and_valid"]
    assert both.value == 0.25 and both.baselines[0].value == 0.5 and both.goal is not None and both.goal.low == 0.5
    assert found["median_rmsd"].value == pytest.approx(2.95)
    assert found["cpu_seconds_per_complex"].value == 2.0 and found["cpu_seconds_per_complex"].baselines[0].value == 50.0
    assert found["calibration_error"].value == pytest.approx(0.4)  # said 0.9, happened 0.5
    assert {name: of.value for name, of in strata(cases).items()} == {"0_to_30": 1.0, "90_to_100": 0.0}


def test_vina_stands_beside_only_where_it_ran_on_every_complex() -> None:
    found = figures([case([1.0], [-7.0], vina=[1.0]), case([1.0], [-7.0])])
    assert [b.name for b in found["top1_2A"].baselines] == ["by energy"]
    assert found["top1_2A_and_valid"].goal is None


def test_stored_results_of_vina_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,dock_cpu_s,rmsd_top1,rmsd_top5,pb_valid\nx,40,3.5,1.2,1\ny,,,,\n")
    found = stored(str(tmp_path / "a.csv"))
    assert set(found) == {"x"} and found["x"].best(1) == 3.5 and found["x"].best(5) == 1.2 and found["x"].valid
    with pytest.raises(DataError, match="there is no such file"):
        stored(str(tmp_path / "gone.csv"))


def test_results_of_vina_that_were_kept_are_read_again(tmp_path: Path) -> None:
    nine = np.array([2.5, 4.0, 1.25, 3.0, 6.0, 0.5, 7.0, 8.0, 9.0])
    keep(tmp_path / "vina.csv", {"x": VinaPoses(nine, None, 40.0, False), "y": VinaPoses(nine[:1], None, 3.0)})
    found = stored(str(tmp_path / "vina.csv"))
    assert [found["x"].best(n) for n in (1, 5)] == [2.5, 1.25] and [found["y"].best(n) for n in (1, 5)] == [2.5, 2.5]
    assert found["x"].valid is False and found["y"].valid is None
    assert [found[name].cpu_seconds for name in "xy"] == [40.0, 3.0]


def separable(count: int) -> list[Example]:
    """Complexes whose right pose is the one with the most contacts, whatever its energy."""
    draw = torch.Generator().manual_seed(0)
    out = []
    for k in range(count):
        told = torch.randn(12, len(NAMES), generator=draw)
        off = torch.full((12,), 6.0)
        off[told[:, NAMES.index("contacts")].argmax()] = 0.7
        out.append(Example(f"c{k}", told, off, frozenset()))
    return out


def test_the_ranking_learns_what_decides_and_is_a_function_of_its_seed() -> None:
    examples = separable(400)
    options, network = RankingTraining(steps=200, batch=8, lr=2e-2), RankingConfig(hidden=8)
    one, two, other = (fit(examples[:300], network, options, seed) for seed in (1, 1, 2))
    assert all(a.equal(b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert not one.linear.weight.equal(other.linear.weight)
    with torch.no_grad():
        right = [bool(e.rmsd[one(e.descriptors).argmax()] < 2) for e in examples[300:]]
    assert np.mean(right) > 0.75, "chance is one in twelve"


def test_training_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    fit(separable(5), RankingConfig(hidden=4), RankingTraining(steps=2, batch=2), 0)
    assert before.equal(torch.get_rng_state())


def test_weights_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    from diffx_docking.confidence import Calibration

    members = [fit(separable(5), RankingConfig(hidden=4), RankingTraining(steps=2, batch=2), k) for k in (0, 1)]
    one = Confidence(members, Calibration(0.5, -0.1), {})
    one.save(tmp_path / "w.safetensors", {"net": {"hidden": 4, "dropout": 0.2}})
    again = Confidence.load(tmp_path / "w.safetensors")
    told = torch.randn(7, len(NAMES))
    assert again.logits(told).equal(one.logits(told)) and again.calibration == one.calibration


def test_the_shipped_weights_rank_and_say_a_probability() -> None:
    docker = Docker.load(options=SearchConfig(starts=96, steps=40, candidates=20, draws=8))
    found = docker.dock(HOME / "protein.pdb.gz", HOME / "ligand.sdf", HOME / "ligand.sdf", samples=20, checks="none")
    said = [pose.confidence for pose in found.poses]
    assert said == sorted(said, reverse=True) and all(0 < p < 1 for p in said)


def test_a_ranker_reads_each_pose_by_itself() -> None:
    torch.manual_seed(0)
    ranker, told = Ranker().eval(), torch.randn(9, len(NAMES))
    with torch.no_grad():
        torch.testing.assert_close(ranker(told)[[4, 2]], ranker(told[[4, 2]]))


def test_where_a_complex_lies_makes_no_difference() -> None:
    """The crystal's pose and protein, turned and moved together: descriptors and RMSD are the same."""
    from diffx_docking.confidence import described
    from diffx_docking.ligand import as_posed
    from diffx_docking.receptor import read_receptor
    from diffx_docking.search import Found

    receptor, mol = read_receptor(HOME / "protein.pdb.gz"), read_ligands(HOME / "ligand.sdf")[0][1]
    ligand = as_posed(mol, "a")
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    turn = q * np.sign(np.linalg.det(q))
    points = torch.as_tensor(np.stack([ligand.positions, ligand.positions + 0.4]), dtype=torch.float32)
    energies = torch.tensor([-7.0, -6.0])
    here = described(ligand, receptor, points, energies, Found(points, energies))
    moved = replace(receptor, positions=receptor.positions @ turn.T + 11)
    there_points = (points.double() @ torch.as_tensor(turn.T) + 11).float()
    there = described(ligand, moved, there_points, energies, Found(there_points, energies))
    pocket = NAMES.index("pocket atoms")  # of a box along the axes, which turns into another box
    keep = [k for k in range(len(NAMES)) if k != pocket]
    torch.testing.assert_close(here[:, keep], there[:, keep], atol=2e-3, rtol=1e-3)


@pytest.fixture
def complexes(tmp_path: Path) -> Path:
    for name in ("a", "b", "c", "d"):
        shutil.copytree(HOME, tmp_path / "known" / name)
    return tmp_path / "known"


def test_a_folder_of_complexes_is_read_and_what_is_wrong_is_said(complexes: Path) -> None:
    (complexes / "b/ligand.sdf").write_text("nothing\n")
    (complexes / "c/protein.pdb.gz").unlink()
    found = dict(read_known(complexes, known_complexes(complexes)))
    assert list(found) == ["a", "b", "c", "d"] and found["a"].box.holds(np.array([10.0, 36.0, 18.5]))
    assert not found["a"].ligand.GetNumConformers(), "the crystal's coordinates are not handed on"
    assert isinstance(found["b"], DataError) and isinstance(found["c"], DataError)
    assert "no protein.pdb" in str(found["c"])


def test_evaluate_writes_its_figures_and_a_resumed_run_has_the_same(strangers, complexes: Path) -> None:
    (complexes / "c/protein.pdb.gz").unlink()
    words = ["run", "plugin=docking", "task=evaluate", f"data.root={complexes}", *FAST, "out=e"]
    done = strangers.diffx(*words)
    assert done.returncode == 1 and "c: " in done.stderr, done.stderr
    file = strangers.folder / "e/metrics.json"
    first = json.loads(file.read_text())
    assert first["n"] == 3 and first["failures"] == 1
    assert first["top1_2A"]["value"] == 1.0, "three times the complex that energy alone finds"
    assert {"top5_2A", "oracle_2A", "valid", "top1_2A_and_valid", "median_rmsd", "cpu_seconds_per_complex"} <= set(
        first
    )
    again = strangers.diffx(*words, "resume=true")
    second = json.loads(file.read_text())
    assert again.returncode == 1 and second["median_rmsd"] == first["median_rmsd"]


OTHERS = {
    "ILE": "VAL",
    "LEU": "MET",
    "GLU": "GLN",
    "LYS": "ARG",
    "GLY": "ALA",
    "SER": "THR",
    "ASP": "ASN",
    "PHE": "TYR",
}


def test_train_makes_weights_that_dock_takes(strangers, complexes: Path) -> None:
    words = [
        "run", "plugin=docking", "task=train", f"data.root={complexes}", *FAST[:3], "ranking.folds=2",
        "ranking.members=1", "train.steps=5",
    ]  # fmt: skip
    refused = strangers.diffx(*words, "out=one")
    assert refused.returncode == 5 and "all proteins are of one family" in refused.stderr
    for name in ("c", "d"):  # another family, made up
        text = gzip.decompress((complexes / name / "protein.pdb.gz").read_bytes()).decode()
        for old, new in OTHERS.items():
            text = text.replace(f" {old} ", f" {new} ")
        (complexes / name / "protein.pdb.gz").write_bytes(gzip.compress(text.encode()))
    done = strangers.diffx(*words, "out=two")
    assert done.returncode == 0, done.stderr
    assert json.loads((strangers.folder / "two/metrics.json").read_text())["left_out"]["n"] == 4
    docked = strangers.diffx("run", "plugin=docking", "from=two", *FAST, "samples=2", "out=three")
    assert docked.returncode == 0, docked.stderr
    rows = (strangers.folder / "three/samples/poses.csv").read_text().splitlines()
    assert rows[0].startswith("name,rank,confidence") and len(rows) == 3
    old = next((strangers.folder / "two/checkpoints").glob("docked-*.safetensors"))  # as of a version that told less
    tensors, meta = checkpoint.load(old)
    told = tensors["descriptors"]
    meta = {name: value for name, value in meta.items() if name not in ("descriptors", "sha256")}
    checkpoint.save(old, {**tensors, "descriptors": told[:, :-1].contiguous()}, meta)
    again = strangers.diffx(*words, "out=two", "resume=true")
    assert again.returncode == 0, again.stderr
    assert torch.equal(checkpoint.load(old)[0]["descriptors"], told)  # made anew
