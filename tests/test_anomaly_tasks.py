"""mri_anomaly on the command line: train, calibrate, detect and evaluate, from files to files."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from anomaly_fakes import SHAPE, head, knowing, truth, write

from diffx.cli import main
from diffx_mri.anomaly import inputs
from diffx_mri.anomaly.config import AnomalyConfig, AnomalyData
from diffx_mri.anomaly.data import prepare
from diffx_mri.anomaly.evidence import Evidence
from diffx_mri.anomaly.face import AnomalyDetector
from diffx_mri.anomaly.model import HealthyModel
from diffx_mri.anomaly.tasks import train
from diffx_mri.anomaly.weighing import weigh

TINY = ["net.channels=[8,8]", "net.attention=[]", "net.condition=8", "net.fold=4", "train.batch=2", "train.steps=2",
        "train.val_every=0", "train.warmup=1", "device=cpu", "seed=2"]  # fmt: skip


@pytest.fixture(scope="module")
def bids(tmp_path_factory) -> Path:
    """Heads of five subjects in FLAIR: 1 to 3 to train on and healthy, 4 and 5 held out, each with the box."""
    root = tmp_path_factory.mktemp("bids")
    for number in range(1, 6):
        sub = f"sub-{number:02d}"
        ill = number > 3
        write(root / sub / "anat" / f"{sub}_FLAIR.nii.gz", head(number, 190 if ill else 0).data, "LPS")
        mask = truth() if ill else np.zeros(SHAPE)
        if number != 1:
            write(root / "derivatives/lesion" / sub / "anat" / f"{sub}_label-lesion_mask.nii.gz", mask, "LPS", np.uint8)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "toy", "License": "CC0"}))
    lines = ["participant_id\tsplit", *(f"sub-{i:02d}\t{'val' if i > 3 else 'train'}" for i in range(1, 6))]
    (root / "participants.tsv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def weights(bids, tmp_path_factory) -> Path:
    """Weights that know next to nothing, with thresholds; trained and calibrated by the command line."""
    folder = tmp_path_factory.mktemp("runs")
    common = ["run", "plugin=mri_anomaly", f"data.root={bids}", "contrast=FLAIR"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "weigh", partial(weigh, count=6))
        assert main([*common, "task=train", f"data.cache={folder}/cache", *TINY, f"out={folder}/trained"]) == 0
    assert main([*common, "task=calibrate", f"from={folder}/trained", "n=1", f"out={folder}/calibrated"]) == 0
    return folder


def test_training_ends_with_what_the_draws_are_worth(weights):
    model = HealthyModel.load(weights / "trained")
    assert model.evidence.weights.shape == (2, 5) and (model.evidence.weights[:, :4] >= 0).all()
    assert not np.array_equal(model.evidence.weights, Evidence().weights) and model.contrast == "FLAIR"
    calibrated = HealthyModel.load(weights / "calibrated")
    assert np.array_equal(calibrated.evidence.weights, model.evidence.weights) and "calibration" in calibrated.meta


def run(*words: str) -> int:
    return main(["run", "plugin=mri_anomaly", *words])


def test_a_scan_becomes_five_files_in_its_own_space(bids, weights, tmp_path, capsys):
    scan = tmp_path / "patient_FLAIR.nii.gz"
    write(scan, head(7, 250).data, "PSR")
    out = tmp_path / "out"
    assert run(f"image={scan}", f"from={weights}/calibrated", "n=2", "fpr=0.15", f"out={out}") == 0
    made = sorted(p.name for p in (out / "samples").iterdir())
    stems = ["desc-anomaly_FLAIR", "desc-certainty_FLAIR", "desc-healthy_FLAIR", "label-anomaly_mask"]
    assert made == sorted(
        ["dataset_description.json", "patient_desc-anomaly_lesions.json", "patient_desc-anomaly_lesions.tsv"]
        + [f"patient_{stem}{end}" for stem in stems for end in (".json", ".nii.gz")]
    )
    before = nib.load(scan)
    images = {stem: nib.load(out / "samples" / f"patient_{stem}.nii.gz") for stem in stems}
    assert all(np.array_equal(i.affine, before.affine) and i.shape == before.shape for i in images.values())
    mask = images["label-anomaly_mask"].get_fdata()
    assert set(np.unique(mask)) <= {0, 1}
    about = json.loads((out / "samples/patient_label-anomaly_mask.json").read_text())
    assert about["FalsePositiveRate"] == pytest.approx(0.15) and about["Sources"] == ["bids:raw:patient_FLAIR.nii.gz"]
    assert ((images["desc-anomaly_FLAIR"].get_fdata() > about["Threshold"] * 1.001) >= mask).mean() > 0.999
    rows = list(csv.DictReader((out / "samples/patient_desc-anomaly_lesions.tsv").open(), delimiter="\t"))
    total = sum(float(row["volume_ml"]) for row in rows)
    assert total == pytest.approx(mask.sum() * 0.054, abs=0.01) and all(float(r["volume_ml"]) >= 0.1 for r in rows)
    assert "report.html" in {p.name for p in out.iterdir()}
    # another batch, the same bits
    again = tmp_path / "again"
    words = [f"image={scan}", f"from={weights}/calibrated", "n=2", "fpr=0.15", f"out={again}", "sample.batch=3"]
    assert run(*words) == 0
    first, second = (nib.load(f / "samples/patient_desc-anomaly_FLAIR.nii.gz").get_fdata() for f in (out, again))
    assert np.allclose(first, second, atol=1e-4 * first.max())


def test_a_folder_goes_on_past_a_broken_scan(bids, weights, tmp_path, capsys):
    root = tmp_path / "bids"
    for number in (1, 2):
        write(root / f"sub-{number}/anat/sub-{number}_FLAIR.nii.gz", head(number).data)
    (root / "sub-1/anat/sub-1_FLAIR.nii.gz").write_bytes(b"broken")
    out = tmp_path / "out"
    assert run(f"data.root={root}", f"from={weights}/calibrated", "n=1", "fpr=0.15", f"out={out}") == 1
    status = json.loads((out / "status.json").read_text())
    assert [failed["item"] for failed in status["failures"]] == ["sub-1_FLAIR.nii.gz"]
    assert (out / "samples/sub-2/anat/sub-2_label-anomaly_mask.nii.gz").is_file()
    assert json.loads((out / "metrics.json").read_text())["scans"] == 1


def test_scans_that_cannot_be_packed_are_told_each_time(bids, tmp_path):
    root = tmp_path / "bids"
    for number in (1, 2):
        write(root / f"sub-{number}/anat/sub-{number}_FLAIR.nii.gz", head(number).data)
    (root / "sub-1/anat/sub-1_FLAIR.nii.gz").write_bytes(b"broken")
    cfg = AnomalyConfig(contrast="FLAIR", data=AnomalyData(root=str(root), cache=str(tmp_path)))
    said: list[str] = []
    for _ in range(2):
        failed: dict[str, str] = {}
        slices = prepare(cfg, said.append, failed.__setitem__)
        assert [row["subject"] for row in slices.rows] == ["sub-2"] and list(failed) == ["sub-1"]
    assert sum("kept in" in line for line in said) == 1


def test_thresholds_of_other_scans_are_taken(bids, weights, tmp_path):
    both = json.loads((weights / "calibrated/samples/calibration.json").read_text())
    made = both["head"]
    assert set(both) == {"head", "brain"} and 0 < both["brain"]["scans"] < made["scans"]
    # of sub-01 to 03 all, of 04 and 05 all but the four slices of the box and one on each side
    share = [region[:, :, np.r_[:7, 13:20]].sum() / region.sum()
             for region in (knowing(head()).maps(head(k, 190), n=1).region for k in (4, 5))]  # fmt: skip
    assert made["scans"] == pytest.approx(3 + sum(share), abs=0.01) and made["smallest"] == 0.1
    metrics = json.loads((weights / "calibrated/metrics.json").read_text())
    assert metrics["fpr_left_out_head"]["n"] == 5 and 0 < metrics["fpr_left_out_head"]["value"] < 0.05
    doubled = {**made, "thresholds": [2 * t / (1 + t) for t in made["thresholds"]], "weights": ""}  # the odds
    (tmp_path / "own.json").write_text(json.dumps({"head": doubled}))
    scan = bids / "sub-01/anat/sub-01_FLAIR.nii.gz"
    got = []
    for name, more in (("a", []), ("b", [f"calibration={tmp_path}/own.json"])):
        words = [f"image={scan}", f"from={weights}/calibrated", "n=1", "fpr=0.15", f"out={tmp_path}/{name}", *more]
        assert run(*words) == 0
        got.append(json.loads((tmp_path / name / "metrics.json").read_text())["threshold"])
    assert got[1] == pytest.approx(2 * got[0] / (1 + got[0]))


def test_the_share_of_healthy_voxels_that_is_marked_is_what_was_asked_for(weights, bids, tmp_path):
    """On the very scans of the calibration the rate holds by construction, but for the step between thresholds."""
    words = [f"data.root={bids}", f"from={weights}/calibrated", "n=1", "fpr=0.15", f"out={tmp_path}/out"]
    assert run(*words, "task=evaluate", "evaluate.all=true") == 0
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["healthy_fpr"]["value"] == pytest.approx(0.15, rel=0.5) and metrics["n_patients"] == 4
    assert metrics["fpr_requested"] == pytest.approx(0.15)


NAMES = {
    "auprc", "auprc_intensity", "dice_calibrated", "dice_val_threshold", "dice_oracle", "healthy_fpr", "fpr_requested",
    "dice_small", "dice_medium", "dice_large", "lesion_f1", "prevalence", "n_patients", "seconds_per_volume",
}  # fmt: skip


def test_a_model_that_knows_the_healthy_scan_finds_the_lesion(bids, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(AnomalyDetector, "load", lambda *_: knowing(head(4)))
    out = tmp_path / "out"
    words = [f"data.root={bids}", f"from={weights}/calibrated", "n=1", "fpr=0.005", f"out={out}"]
    assert run("task=evaluate", *words) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert set(metrics) >= NAMES and metrics["n_patients"] == 2
    assert metrics["auprc"]["value"] > 0.97 and metrics["dice_oracle"]["value"] > 0.85
    assert metrics["dice_val_threshold"]["value"] > 0.8 and metrics["lesion_f1"]["value"] == 1
    assert metrics["auprc_intensity"]["value"] < metrics["auprc"]["value"]
    assert metrics["dice_large"]["value"] is None and metrics["dice_medium"]["lesions"] == 2
    assert len(list((out / "pictures").iterdir())) == 3
    text = (out / "report.html").read_text()
    assert "Worst first" in text and "prevalence" in text.lower()


def test_lesions_are_put_in_and_found(bids, weights, tmp_path, monkeypatch):
    root = tmp_path / "bids"
    for number in (1, 2, 3):
        write(root / f"sub-{number}/anat/sub-{number}_FLAIR.nii.gz", head(5).data)
        brain = np.zeros(SHAPE, np.uint8)
        brain[16:48, 18:54, 4:16] = 1
        write(root / f"derivatives/x/sub-{number}/anat/sub-{number}_desc-brain_mask.nii.gz", brain, "RAS", np.uint8)
    monkeypatch.setattr(AnomalyDetector, "load", lambda *_: knowing(head(5)))
    words = [f"data.root={root}", f"from={weights}/calibrated", "n=1", "fpr=0.005", "data.masks=false"]
    simulated = ["evaluate.simulate=ellipsoids", "evaluate.volumes=[8,20]", f"out={tmp_path}/out"]
    assert run("task=evaluate", *words, *simulated) == 0
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["n_patients"] == 3 and metrics["auprc"]["value"] > 0.9 and metrics["lesion_f1"]["value"] > 0.7
    assert metrics["dice_medium"]["lesions"] == 3


LINES = {
    "image={scan} data.root={bids}": (2, "image= names one scan, data.root= a BIDS folder of them"),
    "mask={scan}": (2, "mask= goes with image="),
    "image=gone_FLAIR.nii.gz": (5, "image=gone_FLAIR.nii.gz: no such file"),
    "image={bids}": (5, "a folder, where a file is expected"),
    "image={odd}": (2, "the name does not tell FLAIR or T1w; contrast= says what it is"),
    "image={scan} contrast=T1w": (2, "contrast=T1w, but sub-01_FLAIR.nii.gz is named as FLAIR"),
    "image={odd} contrast=T2w": (2, "contrast=T2w: there are weights for FLAIR and T1w; from= names your own"),
    "image={enhanced}": (2, "the name shows T1w after contrast agent"),
    "image={odd} contrast=T1w from={weights}/trained": (5, "weights of FLAIR, and the scan is T1w"),
    "image={scan} from={weights}/trained": (2, "these weights have no thresholds: run task=calibrate"),
    "image={scan} from={weights}/calibrated calibration={scan}": (5, "not a file that task=calibrate wrote"),
    "image={scan} from={weights}/calibrated fpr=1e-6": (2, "healthy scans of this calibration tell"),
    "task=evaluate": (2, "data.root= says which BIDS folder to evaluate on"),
    "task=calibrate": (2, "data.root= says which BIDS folder of healthy scans to count in"),
    "task=train data.root={bids}": (2, "contrast= says which scans of the folder to learn"),
    "task=evaluate data.root={bids} contrast=T1w from={weights}/calibrated": (5, "weights of FLAIR"),
    "task=evaluate data.root={bids} from={weights}/calibrated evaluate.simulate=gone": (
        5,
        "no folder with NIfTI masks",
    ),
    "task=evaluate data.root={healthy} from={weights}/calibrated fpr=0.15": (
        5,
        "none of 1 FLAIR scans has a lesion mask",
    ),
}


@pytest.mark.parametrize("words", LINES)
def test_what_is_wrong_is_said_in_one_line(words, bids, weights, tmp_path, capsys):
    scan = bids / "sub-01/anat/sub-01_FLAIR.nii.gz"
    for name in ("odd.nii.gz", "sub-01_ce-GD_T1w.nii.gz"):
        (tmp_path / name).write_bytes(scan.read_bytes())
    alone = tmp_path / "healthy/sub-01/anat"
    alone.mkdir(parents=True)
    (alone / scan.name).write_bytes(scan.read_bytes())
    places = {"odd": tmp_path / "odd.nii.gz", "enhanced": tmp_path / "sub-01_ce-GD_T1w.nii.gz",
              "healthy": tmp_path / "healthy", "scan": scan, "bids": bids, "weights": weights}  # fmt: skip
    code, said = LINES[words]
    assert run(*words.format(**places).split(), f"out={tmp_path}/out") == code
    error = capsys.readouterr().err.strip()
    assert said in " ".join(error.split()) and error.splitlines()[-1].startswith("diffx: error:")


def test_a_mistake_is_told_before_torch_is_loaded(tmp_path):
    code = (
        "import sys; from diffx.cli import main; "
        "code = main(['run', 'plugin=mri_anomaly', 'image=gone_FLAIR.nii.gz']); "
        "print(code, [m for m in ('torch', 'nibabel', 'scipy', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == "5 []", done.stderr


def test_contrasts_are_told_by_names():
    assert inputs.told("x/patient_flair.nii.gz") == "FLAIR" and inputs.told("T1.nii") == "T1w"
    assert inputs.told("scan.nii.gz", "t1") == "T1w" and inputs.told("sub-1_acq-x_T1w.nii.gz", "T1w") == "T1w"
