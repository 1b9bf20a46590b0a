"""What is mistyped is said in a moment: before torch, MONAI or a run folder come in."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from diffx.config import resolve
from diffx.errors import DataError, UsageError
from diffx_mri.synth.config import SynthConfig
from diffx_mri.synth.inputs import check_inputs as check_synth
from diffx_mri.translate.config import TranslateConfig
from diffx_mri.translate.inputs import check_inputs as check_translate

HEAVY = ("torch", "numpy", "monai", "nibabel", "scipy", "matplotlib")


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A BIDS folder `bids` with a FLAIR and a T1w, an `empty` folder, files `scan.nii.gz`, `mask.nii.gz`, `broken`."""
    anat = tmp_path / "bids/sub-01/anat"
    anat.mkdir(parents=True)
    for suffix in ("T1w", "FLAIR"):
        (anat / f"sub-01_{suffix}.nii.gz").touch()
    (tmp_path / "empty").mkdir()
    for name in ("scan.nii.gz", "mask.nii.gz", "broken"):
        (tmp_path / name).write_text("something")
    (tmp_path / "link.nii.gz").symlink_to(".git/annex/objects/x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


SYNTH = {
    "task=sample": None,
    "task=sample from=mri-synth-ixy": (DataError, "no such id.*did you mean 'mri-synth-ixi"),
    "task=sample from=no/where": (DataError, "no/where"),
    "task=sample from=broken": (DataError, "broken: not a safetensors file"),
    "task=sample from=mri-translate-lgg": (DataError, "weights of 'mri_translate', not of 'mri_synth'"),
    "task=sample sample.weak=nowhere": (DataError, "nowhere"),
    "task=sample sample.weak=nowhere sample.autoguidance=1": None,
    "task=train": (UsageError, "data.root= says which BIDS folder of T1w scans to train on"),
    "task=train data.root=bids": None,
    "task=train data.root=bids from=nowhere": (DataError, "nowhere"),
    "task=train data.root=bidz": (DataError, "bidz: no such folder"),
    "task=train data.root=empty": (DataError, "empty: not a BIDS folder"),
    "task=train data.root=scan.nii.gz": (DataError, "scan.nii.gz: no such folder"),
    "task=adapt data.root=bidz": (DataError, "no such folder"),
    "task=evaluate": (UsageError, "to compare with"),
    "task=evaluate data.root=bids": None,
    "task=evaluate data.root=bids evaluate.measures=no-measures": (DataError, "no-measures"),
    "task=evaluate data.root=bids evaluate.measures=mri-synth-ixi": (DataError, "holds no measures"),
    "task=sample from=mri-measures-ixi": (DataError, "holds no weights of mri_synth"),
    "task=sample voxel=1 sample.fine=gone": (DataError, "gone"),
    "task=superres voxel=1 data.file=scan.nii.gz": (UsageError, "voxel=1 goes with task=sample"),
    "task=train_measures data.root=empty": (DataError, "not a BIDS folder"),
    "task=inpaint": (UsageError, "give one of the two"),
    "task=inpaint data.root=bids": None,
    "task=inpaint data.root=bids data.file=scan.nii.gz": (UsageError, "give one of the two"),
    "task=inpaint data.root=bids data.mask=mask.nii.gz": (UsageError, "go with data.file="),
    "task=inpaint data.file=scan.nii.gz": (UsageError, "data.mask= names the mask"),
    "task=inpaint data.file=scan.nii.gz data.mask=mask.nii.gz": None,
    "task=inpaint data.file=scam.nii.gz data.mask=mask.nii.gz": (DataError, "data.file=scam.nii.gz: no such file"),
    "task=inpaint data.file=scan.nii.gz data.mask=musk.nii.gz": (DataError, "data.mask=musk.nii.gz: no such file"),
    "task=inpaint data.file=scan.nii.gz data.mask=link.nii.gz": (DataError, "data.mask=link.nii.gz.*datalad get"),
    "task=inpaint data.file=scan.nii.gz data.mask=mask.nii.gz data.brain=no.nii": (DataError, "data.brain=no.nii"),
    "task=inpaint data.file=empty data.mask=mask.nii.gz": (DataError, "data.file=empty: a folder"),
    "task=superres data.file=scan.nii.gz": None,
    "task=superres data.file=scan.nii.gz data.mask=mask.nii.gz": (UsageError, "data.mask= goes with task=inpaint"),
    "task=superres data.root=bidz": (DataError, "no such folder"),
    "task=translate data.root=bids source=FLAIR": (UsageError, "target= says which contrast"),
    "task=translate data.root=bids source=FLAIR target=T1ce": None,
    "task=translate data.root=bidz source=FLAIR target=T1ce": (DataError, "no such folder"),
    "task=translate data.root=bids source=FLAIR target=T1ce sample.weak=x": (UsageError, "sample.weak=x"),
}
TRANSLATE = {
    "source=FLAIR target=T1ce": (UsageError, "data.root= says which BIDS folder holds the scans"),
    "source=FLAIR data.root=bids": (UsageError, "target= says"),
    "source=FLAIR target=FLAIR data.root=bids": (UsageError, "source and target are both FLAIR"),
    "source=FLAIR target=T1ce data.root=bids": None,
    "source=T1ce target=FLAIR data.root=bids": (DataError, "bids: no T1ce scan in it .found: FLAIR, T1w"),
    "source=T2w target=FLAIR data.root=bids": (UsageError, "these weights know FLAIR, T1ce, not T2w"),
    "source=FLAIR target=T1ce data.root=bids from=mri-synth-ixi": (DataError, "weights of 'mri_synth'"),
    "source=FLAIR target=T1ce data.root=bids from=nowhere": (DataError, "nowhere"),
    "task=train data.root=bids regression=true": None,
    "task=train data.root=bids": (UsageError, "train one first, with regression=true"),
    "task=train data.root=broken regression=true": (DataError, "broken: not a safetensors file"),
    "task=train data.root=bids regression=true data.contrasts=[FLAIR,flair]": (UsageError, "two different contrasts"),
    "task=evaluate data.root=bids source=FLAIR": (UsageError, "both source= and target="),
    "task=evaluate data.root=bids": None,
    "task=pack": (UsageError, "data.root= says which BIDS folder to pack"),
    "task=pack data.root=broken": (DataError, "broken: no such folder"),
    "task=average from=nowhere": None,  # the core's
}


@pytest.mark.parametrize("words", SYNTH)
def test_inputs_of_mri_synth(place, words):
    check(lambda: check_synth(resolve(SynthConfig, overrides=["plugin=mri_synth", *words.split()])), SYNTH[words])


@pytest.mark.parametrize("words", TRANSLATE)
def test_inputs_of_mri_translate(place, words):
    given = ["plugin=mri_translate", "task=translate", *words.split()]
    check(lambda: check_translate(resolve(TranslateConfig, overrides=given)), TRANSLATE[words])


def check(call, wanted) -> None:
    if wanted is None:
        call()
        return
    with pytest.raises(wanted[0], match=wanted[1]) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["synth", "translate"])
def test_checking_imports_nothing_heavy_and_takes_no_time(place, name):
    config, task = {"synth": ("SynthConfig", "inpaint"), "translate": ("TranslateConfig", "translate")}[name]
    words = [f"task={task}", "data.root=bids", *(["source=FLAIR", "target=T1ce"] if name == "translate" else [])]
    code = (
        f"import sys; from diffx.config import resolve; from diffx_mri.{name}.config import {config} as Config;"
        f"from diffx_mri.{name}.inputs import check_inputs;"
        f"check_inputs(resolve(Config, overrides=['plugin=mri_{name}', *sys.argv[1:]]));"
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    began = time.perf_counter()
    made = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert made.stdout == "[]\n", made.stderr
    assert time.perf_counter() - began < 5  # on a busy machine; alone it takes 0.3 s


def test_the_commands_start_without_monai():
    modules = "synth.tasks.sample", "synth.inverse", "synth.tasks.evaluate", "translate.tasks.translate", "register"
    code = f"import sys, {', '.join(f'diffx_mri.{m}' for m in modules)}; print('monai' in sys.modules)"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert made.stdout == "False\n", made.stderr
