"""A mistyped path is said at once: no torch is loaded for it and no run folder is left behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import MANIFEST, Strangers

OWN = """
import diffx

def check(cfg):
    if cfg.size == 3:
        raise diffx.UsageError("size=3: there is no such tide")
    if cfg.size == 4:
        1 / 0
"""
WORDS = {
    # words -> exit code, what is said (None: it runs)
    "plugin=one data.root=houses": (5, "data.root=houses: no such file or folder in {here}; did you mean 'house'?"),
    "plugin=one data.root={here}/gone": (5, "data.root={here}/gone: no such file or folder"),
    "plugin=one data.root={here}/well.txt/deeper": (5, "data.root={here}/well.txt/deeper: "),
    "plugin=one data.root=house from=nowhere": (5, "weights 'nowhere': no such id, file or run folder"),
    "plugin=one from=house": (5, "house: no checkpoint (*.safetensors) in it or in its checkpoints/"),
    "plugin=one from=well.txt": (5, "well.txt: not a safetensors file, or cut off"),
    "plugin=one task=average from=mri-synth-ixi": (5, "holds weights of 'mri_synth', not of 'one'"),
    "plugin=one config=nowhere.yaml": (2, "config=nowhere.yaml: no such file or directory"),
    "plugin=one size=3": (2, "size=3: there is no such tide"),
    "plugin=one size=4": (3, "plugin 'one' (stranger-one 1.2) failed in check: ZeroDivisionError: division by zero"),
    "plugin=nilm data.file=hose.csv": (
        5,
        "data.file=hose.csv: no such file or folder in {here}; did you mean 'house.csv'?",
    ),
    "plugin=nilm task=train": (2, "data.root= says which folder of metered houses to read"),
    "plugin=nilm task=evaluate data.root=house": (5, "house: no house in it"),
    "plugin=nilm task=pack data.root={here} data.houses=[home]": (2, "data.houses: {here} has no home; it has house"),
    "plugin=nilm task=calibrate data.root={here}": (2, "from= says which weights to calibrate"),
    "plugin=nilm task=calibrate data.root={here} from=nilm-refit folds=[house]": (
        2,
        "folds: 'house' is not weights@house",
    ),
    "plugin=nilm task=evaluate data.root={here} baselines=gone": (5, "weights 'gone': no such id"),
    "plugin=nilm describe=gone.yaml": (5, "describe=gone.yaml: no such file"),
    "plugin=nilm from=mri-synth-ixi task=average": (5, "holds weights of 'mri_synth', not of 'nilm'"),
    "plugin=mri_synth task=train": (2, "data.root= says which BIDS folder of T1w scans to train on"),
    "plugin=mri_synth task=inpaint data.file=house.csv": (2, "data.mask= names the mask of what is to be filled"),
    "plugin=mri_synth from=nilm-refit": (5, "holds weights of 'nilm', not of 'mri_synth'"),
    "plugin=mri_translate source=T1": (2, "target= says which contrast, as in source=FLAIR target=T1ce"),
    "plugin=mri_synth task=train data.root=gone": (5, "data.root=gone: no such file or folder"),
    "plugin=mri_translate task=translate source=T1 target=T2 data.root=gone": (5, "data.root=gone: no such file"),
}
SCRIPT = """if True:
    import contextlib, io, json, sys, time
    from diffx.cli import main
    found = {}
    for words in json.loads(sys.argv[1]):
        said = io.StringIO()
        begin = time.process_time()
        with contextlib.redirect_stderr(said):
            code = main(["run", *words.split()])
        found[words] = [code, said.getvalue(), time.process_time() - begin]
    heavy = [name for name in ("torch", "numpy", "pandas", "monai", "nibabel") if name in sys.modules]
    print(json.dumps([found, heavy]))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, list[str]]:
    strangers = Strangers(tmp_path_factory.mktemp("inputs"))
    form = MANIFEST.format(name="one").replace("    api:", "    check: stranger_one.inputs:check\n    api:")
    package = strangers.add("one", manifest=form.replace("tasks: {", "tasks: {average: mean, "))
    (package / "inputs.py").write_text(OWN)
    here = strangers.folder
    (here / "house").mkdir()
    (here / "house.csv").write_text("")
    (here / "well.txt").write_text("no weights")
    done = strangers.python("-c", SCRIPT, json.dumps([words.format(here=here) for words in WORDS]))
    assert done.returncode == 0, done.stderr
    return here, *json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("words", WORDS)
def test_what_is_not_there_is_said_at_once(told, words: str) -> None:
    here, found, _ = told
    code, said, seconds = found[words.format(here=here)]
    assert (code, said.count("\n")) == (WORDS[words][0], 1), said
    assert WORDS[words][1].format(here=here) in said and seconds < 1, (said, seconds)


def test_nothing_heavy_was_loaded_and_no_run_folder_made(told) -> None:
    here, _, heavy = told
    assert heavy == [] and not (here / "runs").exists()


def test_several_things_that_are_missing_are_said_together(strangers: Strangers) -> None:
    done = strangers.diffx("run", "plugin=nilm", "data.root=gone", "data.file=away.csv", "from=lost")
    assert done.returncode == 5
    said = [line.removeprefix("diffx: error: ").partition(":")[0] for line in done.stderr.splitlines()]
    assert said == ["data.root=gone", "data.file=away.csv", "weights 'lost'"]


def test_check_finds_a_check_that_is_heavy_or_not_there(strangers: Strangers) -> None:
    form = MANIFEST.replace("    api:", "    check: stranger_{name}.inputs:check\n    api:")
    for name, code in (("heavy", "import numpy\n" + OWN), ("lacks", "def chek(cfg):\n    pass\n")):
        (strangers.add(name, manifest=form.format(name=name)) / "inputs.py").write_text(code)
    done = strangers.diffx("plugins", "check", "heavy", "--to", "import")
    assert done.returncode == 3
    assert "importing stranger_heavy.inputs:check imports numpy: every mistyped path and every typo" in done.stderr
    done = strangers.diffx("plugins", "check", "lacks", "--to", "import")
    assert done.returncode == 3 and "has no function check; did you mean 'chek'?" in done.stderr
    done = strangers.diffx("run", "plugin=lacks")
    assert done.returncode == 3 and "names stranger_lacks.inputs:check, but" in done.stderr
