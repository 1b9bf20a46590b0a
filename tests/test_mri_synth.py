"""mri_synth on its shipped weights, as its user runs it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from diffx.errors import UsageError
from diffx.noise import Noise
from diffx.plugins.weights import resolve_weights, shipped
from diffx_mri import BrainSynth, Person
from diffx_mri.synth.config import BrainSampling
from diffx_mri.synth.segmentation.kept import one_piece, with_fluid, within_edge

QUICK = BrainSampling(steps=10, batch=2, stages=[])  # the prior alone


@pytest.fixture(scope="module")
def synth() -> BrainSynth:
    return BrainSynth.load(device="cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """One run of the command line in this process: its folder."""
    from diffx.cli import main

    out = tmp_path_factory.mktemp("run") / "brains"
    words = [
        "run",
        "plugin=mri_synth",
        "age=70",
        "sex=F",
        "n=2",
        "seed=1",
        "sample.steps=10",
        "sample.stages=[]",
        "device=cpu",
        f"out={out}",
    ]
    assert main(words) == 0
    return out


def test_shipped_weights_fit_the_budget_and_say_their_licence():
    for weights in shipped():
        assert weights.path.stat().st_size <= 16 * 2**20
        assert weights.entry.licence
    assert resolve_weights("mri-synth-ixi", "mri_synth").is_file()


def test_what_is_written_is_nifti_in_the_right_place(run):
    files = sorted(run.glob("samples/sub-*/anat/*_T1w.nii.gz"))
    assert [f.name for f in files] == [f"sub-synth00{i}_space-diffxbrain_desc-synth_T1w.nii.gz" for i in (1, 2)]
    for file in files:
        image = nib.load(file)
        assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
        assert image.shape == (96, 120, 96)
        np.testing.assert_allclose(image.header.get_zooms(), 2.0, atol=1e-5)
        assert image.header["sform_code"] > 0 and image.header["qform_code"] > 0
        np.testing.assert_allclose(image.get_sform(), image.get_qform(), atol=1e-4)
        assert image.header.get_xyzt_units()[0] == "mm"
        # the brain sits around the anterior commissure, as in MNI152: its centre a little behind and above the origin
        data = image.get_fdata()
        centre = nib.affines.apply_affine(image.affine, np.argwhere(data > 0.1).mean(0))
        np.testing.assert_allclose(centre, [0, -20, 7], atol=12)
        assert 0.9 < (data > 0).sum() * 8e-6 < 2.0  # litres


def test_labels_lie_on_the_voxels_of_the_image_and_one_table_says_what_they_are(run):
    image, labels = (nib.load(next(run.glob(f"samples/sub-synth002/anat/*_{what}.nii.gz"))) for what in ("T1w", "dseg"))
    np.testing.assert_array_equal(image.affine, labels.affine)
    numbers = np.asarray(labels.dataobj)
    assert numbers.dtype == np.uint8 and not numbers[image.get_fdata() == 0].any()
    with open(run / "samples/space-diffxbrain_desc-synth_dseg.tsv", newline="") as file:
        rows = [(r["index"], r["name"]) for r in csv.DictReader(file, delimiter="\t")]
    assert rows[1:4] == [("1", "grey matter"), ("2", "white matter"), ("3", "ventricles")]
    assert set(np.unique(numbers)) == {int(index) for index, _ in rows}


def test_sidecars_and_participants_say_what_was_asked_for(run):
    with open(run / "samples/participants.tsv", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [(r["age"], r["sex"], r["seed"]) for r in rows] == [("70", "F", "1"), ("70", "F", "2")]
    sidecar = json.loads(next(run.glob("samples/sub-synth002/anat/*_T1w.json")).read_text())
    assert (sidecar["Age"], sidecar["Sex"], sidecar["Seed"], sidecar["SkullStripped"]) == (70, "F", 2, True)
    description = json.loads((run / "samples/dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative" and description["GeneratedBy"][0]["Name"] == "diffx"


def test_the_report_is_one_file_with_pictures(run):
    page = (run / "report.html").read_text()
    assert page.count("data:image/") >= 2
    assert "Synthetic brains" in page and "sub-synth002" in page and "F, 70 y" in page
    assert json.loads((run / "status.json").read_text())["flags"] == []


def test_the_python_face_draws_the_same_brain_as_the_command_line(run, synth):
    brain = next(synth.brains([Person(70, "F", 1)], QUICK))  # alone, where the run drew two together
    written = nib.load(next(run.glob("samples/sub-synth001/anat/*_T1w.nii.gz"))).get_fdata()
    inside = written > 0.1
    assert np.corrcoef(brain.data[inside], written[inside])[0, 1] > 0.99  # rounding in bf16 depends on the batch


def test_a_brain_looks_like_the_mean_brain_but_not_like_another(synth):
    one, two = synth.brains([Person(70, "F", 1), Person(70, "F", 2)], QUICK)
    mean = synth.codec.mean_brain().numpy()
    inside = mean > 0.1
    for brain in (one, two):
        assert np.corrcoef(mean[inside], brain.data[inside])[0, 1] > 0.7
    difference = np.abs(one.data - two.data)[inside].mean()
    assert difference > 0.03


def test_a_brain_is_one_piece():
    data = np.zeros((8, 8, 8), np.float32)
    data[1:5, 1:5, 1:5], data[6, 6, 6] = 0.7, 0.9
    whole = one_piece(data)
    assert whole[6, 6, 6] == 0 and whole.dtype == np.float32
    assert np.array_equal(whole[:5], data[:5]) and not one_piece(np.zeros_like(data)).any()


def test_a_brain_ends_where_its_blur_fades_and_holds_no_holes():
    ball = ((np.indices((40, 40, 40)) - 19.5) ** 2).sum(0) < 15**2
    data = np.where(ball, 0.6, 0).astype(np.float32)
    data[19, 19, 10:30] = data[3, 19, 19] = 0.0
    data[5, 19, 19] = 0.3  # a grain beside the rim: the ball begins at 5
    data[2, 19, 19] = 0.3
    edged = within_edge(data)
    assert edged[2, 19, 19] == 0 and np.array_equal(edged[ball], data[ball])
    fluid = with_fluid(data)
    assert (fluid[19, 19, 10:30] == np.float32(0.25)).all() and fluid.dtype == np.float32
    rest = np.ones_like(ball)
    rest[19, 19, 10:30] = False
    assert np.array_equal(fluid[rest], data[rest])


def test_men_have_larger_brains(synth):
    """A fact of anatomy that the model can only have learned; the same seeds, so the same people but for their sex.

    Real scans: 0.2 l apart.
    """
    women, men = (list(synth.brains([Person(40, sex, seed) for seed in range(2)], QUICK)) for sex in "FM")
    assert np.mean([b.litres for b in men]) > np.mean([b.litres for b in women]) + 0.1


def test_ventricles_open_with_age(synth):
    """Fluid (below 0.4) in the block around the ventricles, ml, of the same two people at 25, 55 and 80.

    In 154 real scans it has a correlation of 0.98 with the ventricles' volume in automatic labels, whose mean is 14 ml
    under 35 years and 31 ml over 65.
    """
    fluid = []
    for age in (25, 55, 80):
        people = synth.brains([Person(age, "F", seed) for seed in range(2)], QUICK)
        fluid.append(np.mean([(b.data[36:60, 45:85, 40:62] < 0.4).sum() * 8e-3 for b in people]))
    assert fluid[0] < fluid[1] < fluid[2]
    assert fluid[2] > 2 * fluid[0]


def test_shapes_have_the_modes_their_seeds_drew(synth):
    seen = {}
    people = [Person(40, "M", 11), Person(40, "M", 12)]
    list(synth.brains(people, QUICK, lambda step, z: seen.update(z=z)))
    modes = synth.codec.modes.flatten(1)
    expected = synth.expected([synth.somebody(person) for person in people], QUICK.ageing)
    weights = (seen["z"] - expected)[:, :3].flatten(1) @ torch.linalg.pinv(modes)
    want = Noise([11, 12])["modes"].normal(len(modes))
    assert len(modes) == 16 and torch.allclose(weights, want, atol=0.02)


def test_who_is_not_described_is_drawn_from_the_training_set(synth):
    some = [synth.somebody(Person(None, None, seed)) for seed in range(300)]
    assert np.quantile([p.age for p in some], [0, 0.5, 1]) == pytest.approx([20, 48, 82], abs=7)
    assert 100 < sum(p.sex == "M" for p in some) < 185
    assert synth.somebody(Person(30, None, 3)).age == 30 and synth.somebody(Person(None, "M", 3)).sex == "M"
    again, same = (next(synth.brains([p], BrainSampling(steps=2, stages=[]))) for p in (Person(None, None, 3), some[3]))
    assert again.person == some[3] and np.array_equal(again.data, same.data)


def test_what_cannot_be_asked_for_is_refused(synth):
    with pytest.raises(UsageError, match="age: 150 is outside 18 to 90"):
        synth.sample(age=150)
    with pytest.raises(UsageError, match="sex: 'X' is none of F, M"):
        synth.sample(sex="X")
    with pytest.raises(UsageError, match="unknown sampler"):
        synth.sample(sampler="dpm")
