"""task=train of mri_synth through the command line, on a small BIDS folder with one broken scan."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from diffx.cli import main
from diffx.io.checkpoint import load, read_meta
from diffx.plugins.weights import resolve_weights
from diffx_mri import BrainSynth, Person
from diffx_mri.align import prepare, read_mask
from diffx_mri.bids import find_scans
from diffx_mri.synth.config import BrainData, BrainSampling, SynthConfig
from diffx_mri.synth.data import cache_folder
from diffx_mri.volume import load as load_volume

DATA = Path(os.environ.get("DIFFX_DATA", Path(__file__).parents[1] / "../shared/data")) / "mri/ixi"


@pytest.fixture(scope="module")
def synth() -> BrainSynth:
    return BrainSynth.load(device="cpu")


@pytest.fixture(scope="module")
def bids(tmp_path_factory, synth) -> Path:
    """Three synthetic scans with masks, in an orientation of their own, and one file cut off."""
    root = tmp_path_factory.mktemp("bids")
    people = [Person(30, "F", 5), Person(70, "M", 6), Person(None, None, 7)]
    lines = ["participant_id\tage\tsex"]
    turn = nib.orientations.axcodes2ornt(("P", "S", "R"))
    drawn = synth.brains(people, BrainSampling(steps=6, stages=[]))
    for number, (person, brain) in enumerate(zip(people, drawn, strict=True), 1):
        subject = f"sub-{number:02d}"
        anat, masks = root / subject / "anat", root / "derivatives/seg" / subject / "anat"
        anat.mkdir(parents=True)
        masks.mkdir(parents=True)
        for data, path in (
            (brain.data * 700, anat / f"{subject}_T1w.nii.gz"),
            ((brain.data > 0).astype(np.float32), masks / f"{subject}_desc-brain_mask.nii.gz"),
        ):
            image = nib.Nifti1Image(data, brain.affine)
            image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(image.affine), turn)).to_filename(
                path
            )
        age = "n/a" if person.age is None else f"{person.age:g}"  # not what was drawn for the third
        lines.append(f"{subject}\t{age}\t{person.sex or 'n/a'}")
    broken = root / "sub-04/anat/sub-04_T1w.nii.gz"
    broken.parent.mkdir(parents=True)
    broken.write_bytes((root / "sub-01/anat/sub-01_T1w.nii.gz").read_bytes()[:2000])
    (root / "participants.tsv").write_text("\n".join(lines) + "\n")
    return root


def test_fine_tuning_leaves_the_broken_scan_out_and_its_weights_sample(bids, tmp_path, capsys) -> None:
    out = tmp_path / "run"
    words = ["run", "plugin=mri_synth", "task=train", f"data.root={bids}", f"data.cache={tmp_path / 'cache'}"]
    words += ["from=mri-synth-ixi", f"out={out}", "train.steps=2", "train.batch=1", "train.lr=1e-5", "device=cpu"]
    assert main(words) == 1  # one item of the batch failed, the rest is done
    status = json.loads((out / "status.json").read_text())
    assert [failure["item"] for failure in status["failures"]] == ["sub-04"]
    meta = read_meta(out / "checkpoints/weights.safetensors")
    with (bids / "participants.tsv").open(newline="") as file:
        people = [row for row in csv.DictReader(file, delimiter="\t") if row["participant_id"] != "sub-04"]
    known = read_meta(resolve_weights("mri-synth-ixi", "mri_synth"))["ages"]  # the trend's people, beside the few added
    ages = [float(row["age"]) for row in people if row["age"] != "n/a"]
    assert (meta["kind"], meta["step"], meta["ages"]) == ("weights", 2, [min(*ages, *known), max(*ages, *known)])
    before, _ = load(Path(BrainSynth.load().meta["path"]))
    after, _ = load(out / "checkpoints/weights.safetensors")
    former, now = (f"model.denoiser.net.{name}.weight" for name in ("enter", "conv_in"))  # the shipped file is older
    moved = (after[now].float() - before[former].float()).abs()
    assert 0 < float(moved.max()) < 1e-3  # two small steps from the shipped weights, not from scratch
    drawn = tmp_path / "drawn"
    asked = [f"from={out}", "n=1", "sample.steps=4", "device=cpu", f"out={drawn}"]
    assert main(["run", "plugin=mri_synth", *asked]) == 0
    assert len(list(drawn.glob("samples/sub-*/anat/*_T1w.nii.gz"))) == 1


def test_stages_are_trained_on_the_scans_resumed_and_drawn_with(bids, tmp_path) -> None:
    words = ["run", "plugin=mri_synth", f"data.root={bids}", f"data.cache={tmp_path / 'cache'}", "device=cpu"]
    small = ["task=train", "data.crop=16", "net.channels=[8,8]", "train.batch=2", "train.checkpoint_every=1"]
    for stage in ("8to4", "4to2"):
        out = [f"preset=stage_{stage}", f"out={tmp_path / stage}"]
        assert main([*words, *small, *out, "train.steps=1"]) == 1  # sub-04 is broken, the others are trained on
        assert main([*words, *small, *out, "train.steps=2", "resume=true"]) == 1
        meta = read_meta(tmp_path / stage / "checkpoints/weights.safetensors")
        assert (meta["step"], meta["config"]["stage"]) == (2, stage) and 0.02 < meta["scale"] < 0.2
    stages = f"sample.stages=[{tmp_path / '8to4'},{tmp_path / '4to2'}]"
    asked = ["age=40", "sex=F", "sample.steps=4", "sample.stage_steps=2", "device=cpu", f"out={tmp_path / 'drawn'}"]
    assert main(["run", "plugin=mri_synth", stages, "n=1", *asked]) == 0
    image = nib.load(next(tmp_path.glob("drawn/samples/sub-*/anat/*_T1w.nii.gz")))
    assert image.shape == (96, 120, 96) and 0.9 < (image.get_fdata() > 0.06).sum() * 8e-6 < 2.0  # litres


def test_a_synthetic_brain_is_encoded_to_where_it_came_from(bids, synth) -> None:
    """Scan -> latent -> brain: the volume decoded again is the volume that was written, in the pose of the codec."""
    scan = find_scans(bids)[0][0]
    image = load_volume(scan.path)
    z, poses = synth.codec.encode([prepare(image, read_mask(scan, image), synth.codec.geometry)])
    again = synth.codec.decode(z)[0].numpy()
    first = next(synth.brains([Person(30, "F", 5)], BrainSampling(steps=6, stages=[]))).data
    inside = (first > 0.1) | (again > 0.1)
    assert np.corrcoef(first[inside], again[inside])[0, 1] > 0.9
    np.testing.assert_allclose(poses[0][:3, :3], np.eye(3), atol=0.05)  # it was in pose already


@pytest.mark.skipif(not DATA.is_dir(), reason="the real scans of DIFFX_DATA are not here")
def test_a_held_out_real_scan_survives_the_codec(synth) -> None:
    scan = next(s for s in find_scans(DATA)[0] if s.split == "val")
    image = load_volume(scan.path)
    brain = prepare(image, read_mask(scan, image), synth.codec.geometry)
    z, poses = synth.codec.encode([brain])
    real = torch.from_numpy(brain.canvas(synth.codec.geometry, poses[0], 3))
    error = (synth.codec.decode(z)[0] - real)[real > 0.05]
    assert float(-10 * error.square().mean().log10()) > 24.5  # dB; 27.1 on average over the 15 held-out scans


def test_encoded_scans_are_kept_apart_by_all_that_shapes_them(tmp_path) -> None:
    scan = tmp_path / "sub-01/anat/sub-01_T1w.nii.gz"
    scan.parent.mkdir(parents=True)
    scan.touch()
    cfg = SynthConfig(data=BrainData(root=str(tmp_path)))
    seen = [cache_folder(cfg), cache_folder(replace(cfg, data=replace(cfg.data, components=24)))]
    for text in ("participant_id\tage\n", "participant_id\tage\nsub-01\t30\n"):
        (tmp_path / "participants.tsv").write_text(text)
        seen.append(cache_folder(cfg))
    assert cache_folder(cfg) == seen[-1] and len(set(seen)) == 4
